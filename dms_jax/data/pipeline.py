"""From a source of examples to batches of uint8: decoded, resized to a square and stacked on the host.

Nothing random happens to a picture here but its place in the order, so a training batch is a function of the seed
and of its number alone. The random transforms run on the device (`dms_jax.data.augment`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grain
import numpy as np
from PIL import Image

from dms_jax.data.source import ExampleSource, defective_flags

Example = dict[str, Any]


def resize_picture(picture: np.ndarray, size: int) -> np.ndarray:
    """Squash a picture to a square, bilinear (averaging when it shrinks).

    Args:
      picture: uint8 [H, W, C], C is 1 or 3.
      size: side of the square in pixels.

    Returns:
      uint8 [size, size, C]; the picture itself where it has that size already.
    """
    if picture.shape[:2] == (size, size):
        return picture
    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    resized = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return resized.reshape(size, size, picture.shape[2])


@dataclass(frozen=True)
class _Squash:
    """An example as the training step takes it; a class, because worker processes need to pickle it."""

    size: int

    def __call__(self, example: Example) -> Example:
        return {
            "image": resize_picture(example["image"], self.size),
            "mask": resize_picture(example["mask"], self.size),
            "label": example["label"],
        }


def training_order(sources: Sequence[ExampleSource], *, seed: int, defective_fraction: float = 0.0) -> grain.MapDataset:
    """The endless order of training examples: every epoch a new shuffle of all of them.

    Args:
      sources: splits to train on together.
      seed: decides the order.
      defective_fraction: share of defective pictures, 0..1, in any long run of examples; these then come round more
        often than the others. 0 leaves the pictures as they come.

    Returns:
      A dataset of examples; index i is the i-th example since the beginning of training.
    """
    if not defective_fraction:
        whole = grain.MapDataset.concatenate([grain.MapDataset.source(source) for source in sources])
        return whole.seed(seed).shuffle().repeat()
    parts = []
    for defective in (True, False):
        subsets = []
        for source in sources:
            indices = np.flatnonzero(defective_flags(source) == defective)
            if len(indices):
                subsets.append(grain.MapDataset.source(source.subset(indices)))
        if not subsets:
            return training_order(sources, seed=seed)
        parts.append(grain.MapDataset.concatenate(subsets).seed(seed + int(defective)).shuffle().repeat())
    return grain.MapDataset.mix(parts, [defective_fraction, 1 - defective_fraction])


def training_batches(
    order: grain.MapDataset,
    *,
    batch_size: int,
    image_size: int,
    workers: int = 0,
    threads: int = 8,
    process_index: int = 0,
    process_count: int = 1,
) -> grain.DatasetIterator:
    """Batches of the order, endless; the iterator's state can be saved and restored.

    Global batch k holds the examples k * batch_size and so on of the order, whatever the number of processes; each
    process reads its rows of it.

    Args:
      order: see `training_order`.
      batch_size: of all processes together; a multiple of their number.
      image_size: side of the square pictures.
      workers: processes that load pictures; 0 loads in threads of this one.
      threads: threads that load batches, in each process.
      process_index: which rows to read.
      process_count: how many processes share a batch.

    Returns:
      An iterator of dicts of `image` uint8 [b, S, S, 3], `mask` uint8 [b, S, S, 1] and `label` int32 [b], where b is
      batch_size / process_count. Close it at the end.
    """
    rows = order.map(_Squash(image_size)).batch(batch_size // process_count)
    batches = rows[process_index::process_count] if process_count > 1 else rows
    # A buffer of whole batches: grain's default of 500 would be gigabytes.
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    dataset = batches.to_iter_dataset(options)
    if workers:
        dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
    return iter(dataset)


@dataclass(frozen=True)
class EvaluationBatch:
    """Pictures to predict and what is needed to score them.

    Attributes:
      images: uint8 [B, S, S, 3]; rows from len(masks) on are black and stand for no picture.
      masks: the n <= B masks, uint8 [H, W] each, at their own size.
      labels: int32 [n].
      names: n names.
    """

    images: np.ndarray
    masks: list[np.ndarray]
    labels: np.ndarray
    names: list[str]


def evaluation_batches(
    source: ExampleSource,
    *,
    batch_size: int,
    image_size: int,
    threads: int = 8,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[EvaluationBatch]:
    """All examples of a source, each exactly once, in its order; the last batch is filled up with black.

    Every process yields the same number of batches, the last ones possibly without any picture.

    Args:
      source: the examples.
      batch_size: of all processes together; a multiple of their number.
      image_size: side of the square that the network sees.
      threads: threads that load pictures.
      process_index: which rows of each batch to read.
      process_count: how many processes share a batch.

    Yields:
      Batches of this process's rows, batch_size / process_count each.
    """
    rows = batch_size // process_count
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * batch_size)
    numbers = np.arange(len(source))
    own = source.subset(numbers[numbers // rows % process_count == process_index])
    examples = iter(grain.MapDataset.source(own).to_iter_dataset(options))
    for start in range(0, len(source), batch_size):
        first = start + process_index * rows
        count = min(max(len(source) - first, 0), rows)
        batch = [next(examples) for _ in range(count)]
        images = np.zeros((rows, image_size, image_size, 3), np.uint8)
        for i, example in enumerate(batch):
            images[i] = resize_picture(example["image"], image_size)
        yield EvaluationBatch(
            images=images,
            masks=[example["mask"][..., 0] for example in batch],
            labels=np.array([example["label"] for example in batch], np.int32),
            names=[example["name"] for example in batch],
        )
