"""From a source of examples to batches of uint8: decoded, cropped and stacked on the host.

Nothing random happens to an image here but its place in the order, so a training batch is a function of the seed
and of its number alone. The random transforms run on the device (`dms_jax.training.augment`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grain
import numpy as np

from dms_jax.data.crops import CropNames, CropSource
from dms_jax.data.examples import ExampleSource
from dms_jax.data.framing import Crop, Framing, crops_of, cut
from dms_jax.runtime.signals import end_with_parent, starting_deaf

Example = dict[str, Any]

# Of an endless order: no run comes near, and grain divides the length as a float, which holds this one exactly.
_ENDLESS = 2**53


def training_order(
    sources: Sequence[ExampleSource | CropSource | CropNames],
    *,
    seed: int,
    defective_fraction: float = 0.0,
    masked_fraction: float = 0.0,
) -> grain.MapDataset:
    """The endless order of training examples: every epoch a new shuffle of all of them.

    Args:
      sources: splits to train on together, or their crops.
      seed: decides the order.
      defective_fraction: share of defective images, 0..1, in any long run of examples; these may then recur
        more often than the others. 0 takes the images as they come.
      masked_fraction: of these, the share of those whose mask is known, 0..1, where some are and some are not. 0 takes
        the defective images as they come, and so does a `defective_fraction` of 0.

    Returns:
      A dataset of examples; index i is the i-th example since the beginning of training.
    """
    if not defective_fraction:
        return _shuffled(sources, seed)
    kinds, shares = _kinds_of(sources, defective_fraction, masked_fraction)
    # Of one kind alone, there is nothing to choose, unless that kind is all that is asked for.
    if len(shares) == 1 and 1 not in shares.values():
        return _shuffled(sources, seed)
    parts, weights = [], []
    # Defective images first; grain takes no share of 0.
    for kind, share in sorted(shares.items(), reverse=True):
        if not share:
            continue
        indices = [np.flatnonzero(own == kind) for own in kinds]
        chosen = [source.subset(own) for source, own in zip(sources, indices, strict=True) if len(own)]
        parts.append(_shuffled(chosen, seed + kind))
        weights.append(share)
    return grain.MapDataset.mix(parts, weights)


def _kinds_of(
    sources: Sequence[ExampleSource | CropSource | CropNames], defective_fraction: float, masked_fraction: float
) -> tuple[list[np.ndarray], dict[int, float]]:
    """The kind of each example, and the share of each kind that there is.

    Kinds are 0, normal images; 1, defective ones; and 2, those of them with a mask, where some have none.
    """
    kinds = [defective_flags(source).astype(int) for source in sources]
    shares = {0: 1 - defective_fraction, 1: defective_fraction}
    if masked_fraction:
        masked = [kind * np.asarray(source.has_masks(), int) for kind, source in zip(kinds, sources, strict=True)]
        known = np.concatenate(masked)[np.concatenate(kinds) == 1]
        if 0 < known.sum() < len(known):
            kinds = [kind + own for kind, own in zip(kinds, masked, strict=True)]
            shares = {0: shares[0], 1: shares[1] * (1 - masked_fraction), 2: shares[1] * masked_fraction}
    present = np.unique(np.concatenate(kinds)).tolist()
    return kinds, {kind: shares[kind] for kind in present}


def _shuffled(sources: Sequence[ExampleSource | CropSource | CropNames], seed: int) -> grain.MapDataset:
    """All of the sources, endless, every epoch a new shuffle."""
    dataset = grain.MapDataset.concatenate([grain.MapDataset.source(source) for source in sources])
    dataset = dataset.seed(seed).shuffle()
    # Not grain's own endless one, which has 2**63 - 1 examples: batches of one would be 2**63, too many for `len`.
    return dataset.repeat(max(_ENDLESS // max(len(dataset), 1), 1))


def training_batches(
    order: grain.MapDataset,
    *,
    batch_size: int,
    workers: int = 0,
    threads: int = 8,
    process_index: int = 0,
    process_count: int = 1,
) -> grain.DatasetIterator:
    """Batches of the order, endless; the iterator's state can be saved and restored.

    Global batch k holds the examples from k * batch_size on in the order, whatever the number of processes; each
    process reads its own rows of it.

    Args:
      order: see `training_order`.
      batch_size: of all processes together; a multiple of their number.
      workers: processes that load images; 0 loads in threads of this one.
      threads: threads that load batches, in each process.
      process_index: which rows to read.
      process_count: how many processes share a batch.

    Returns:
      An iterator of dicts of `image` uint8 [b, S, S, 3], `mask` uint8 [b, S, S, 1], `has_mask` bool [b] (false where
      the mask is unknown, and `mask` all 0), `label` int32 [b] (-1 where unknown) and `content` int32 [b, 4] (where in
      the crop the image is: top, left, height, width), where b is batch_size / process_count. Close it at the end.
    """
    rows = order.batch(batch_size // process_count)
    batches = rows[process_index::process_count] if process_count > 1 else rows
    # A buffer of whole batches: grain's default of 500 would be gigabytes.
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    dataset = batches.to_iter_dataset(options)
    if workers:
        processes = grain.MultiprocessingOptions(num_workers=workers)
        # What they share is made here, and with it the first of Python's processes.
        with starting_deaf():
            return iter(dataset.mp_prefetch(processes, worker_init_fn=_end_with_parent))
    return iter(dataset)


@dataclass(frozen=True)
class EvaluationBatch:
    """Images to predict and what is needed to score them.

    Attributes:
      images: uint8 [M, S, S, 3], the crops of all images, one image's after another's; those beyond the last
        image's are black padding. M is a multiple of the rows that are predicted at once.
      crops: for each of the n images, its crops.
      masks: n masks, uint8 [H, W] each, not resized; all 0 where unknown.
      labels: int32 [n], -1 where unknown.
      names: n names.
      has_mask: which masks are known, bool [n].
      ignores: see `ExampleSource`.
      whole_images: n images, uint8 [H, W, 3] each, not resized; empty unless they were asked for.
    """

    images: np.ndarray
    crops: list[list[Crop]]
    masks: list[np.ndarray]
    labels: np.ndarray
    names: list[str]
    has_mask: np.ndarray
    ignores: bool = False
    whole_images: list[np.ndarray] = field(default_factory=list)


def evaluation_batches(
    source: ExampleSource,
    framing: Framing,
    *,
    batch_size: int,
    threads: int = 8,
    process_index: int = 0,
    process_count: int = 1,
    whole_images: bool = False,
) -> Iterator[EvaluationBatch]:
    """All examples of a source, each exactly once and in order; the last batch is padded with black images.

    Every process yields the same number of batches, the last ones possibly without any image.

    Args:
      source: the examples.
      framing: how they become crops for the network.
      batch_size: of all processes together; a multiple of their number.
      threads: threads that load images.
      process_index: which rows of each batch to read.
      process_count: how many processes share a batch. Their images may have different numbers of crops, so that one
        predicts more often than another.
      whole_images: yield the images as they are, too.

    Yields:
      Batches of this process's images, batch_size / process_count each.
    """
    rows = batch_size // process_count
    for batch in _batches(source, batch_size, threads, process_index, process_count):
        crops = [crops_of(example["mask"].shape[:2], framing) for example in batch]
        inputs = [
            cut(example["image"], crop, framing) for example, own in zip(batch, crops, strict=True) for crop in own
        ]
        images = np.zeros((max(-(-len(inputs) // rows), 1) * rows, framing.size, framing.size, 3), np.uint8)
        images[: len(inputs)] = np.reshape(inputs, (len(inputs), *images.shape[1:]))
        yield EvaluationBatch(
            images=images,
            crops=crops,
            masks=[example["mask"][..., 0] for example in batch],
            labels=np.array([example["label"] for example in batch], np.int32),
            names=[example["name"] for example in batch],
            has_mask=np.array([example["has_mask"] for example in batch], bool),
            ignores=source.ignores,
            whole_images=[example["image"] for example in batch] if whole_images else [],
        )


def crop_batches(
    crops: CropSource,
    size: int,
    *,
    batch_size: int,
    threads: int = 8,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[dict[str, np.ndarray]]:
    """All crops of a source, each exactly once and in order, to be evaluated on the device during training.

    Args:
      crops: the source.
      size: the side S of its crops.
      batch_size: of all processes together; a multiple of their number.
      threads: threads that load images.
      process_index: which rows of each batch to read.
      process_count: how many processes share a batch.

    Yields:
      `image` uint8 [b, S, S, 3], `mask` uint8 [b, S, S, 1], `has_mask` bool [b], `label` int32 [b], `content` int32
      [b, 4], and `valid` bool [b], False for the rows that pad the last batch; b is batch_size / process_count.
    """
    rows = batch_size // process_count
    padding = {
        "image": np.zeros((size, size, 3), np.uint8),
        "mask": np.zeros((size, size, 1), np.uint8),
        "has_mask": np.bool_(False),
        "label": np.int32(0),
        "content": np.array([0, 0, size, size], np.int32),
    }
    for batch in _batches(crops, batch_size, threads, process_index, process_count):
        examples = [*batch, *[padding] * (rows - len(batch))]
        stacked = {name: np.stack([example[name] for example in examples]) for name in padding}
        yield {**stacked, "valid": np.arange(rows) < len(batch)}


def _batches(
    source: ExampleSource | CropSource, batch_size: int, threads: int, process_index: int, process_count: int
) -> Iterator[list[Example]]:
    """This process's examples of each batch; as many lists in every process, the last ones possibly empty."""
    rows = batch_size // process_count
    # A buffer smaller than the number of threads would leave some of them without work, of which grain warns.
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(2 * batch_size, threads))
    numbers = np.arange(len(source))
    own = source.subset(numbers[numbers // rows % process_count == process_index])
    examples = iter(grain.MapDataset.source(own).to_iter_dataset(options))
    for start in range(0, len(source), batch_size):
        first = start + process_index * rows
        yield [next(examples) for _ in range(min(max(len(source) - first, 0), rows))]


def _end_with_parent(index: int, count: int) -> None:
    """See `end_with_parent`: grain's workers wait for ever for the queue of a process that was killed."""
    end_with_parent()


def defective_flags(source: ExampleSource | CropSource | CropNames) -> np.ndarray:
    """Which examples have a defective pixel (mask > 127), bool [n].

    Where the mask is unknown, the label decides: any class other than the defect-free one is a defect.
    """
    # First, since it reads the labels as well.
    by_mask = source.defective()
    labels, known = source.labels(), source.has_masks()
    return np.where(known, by_mask, (labels >= 0) & (labels != source.free_class))
