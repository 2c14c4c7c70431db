"""Evaluation of a network on a split: every output, at each image's own size."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial, reduce
from itertools import repeat
from types import MappingProxyType
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from dms_jax.data.framing import Crop, join
from dms_jax.data.pipeline import EvaluationBatch
from dms_jax.errors import UserError
from dms_jax.evaluation.observation import Observe, ObservedImage
from dms_jax.evaluation.scoring import Metric, ScoredImage, blacken_ignored, score_image
from dms_jax.evaluation.totals import Evaluation, collect
from dms_jax.inference.batching import Answers, Predict
from dms_jax.inference.interpretation import NO_NUMBERS, join_classes

T = TypeVar("T")


def evaluate(
    predict: Predict,
    batches: Iterable[EvaluationBatch],
    *,
    free_class: int | None = None,
    threshold: int | None = None,
    with_sod: bool = True,
    extra_metrics: Mapping[str, Metric] = MappingProxyType({}),
    observe: Observe | None = None,
) -> Evaluation:
    """Score every output of a network on batches of images.

    A map is brought from the network's crop to the size of its mask as in the paper's convention: 8 bits first, then
    bilinear (see `dms_jax.data.framing.join`). Images whose mask is unknown count for the labels alone.

    Args:
      predict: the network; takes and returns arrays of this process.
      batches: see `dms_jax.data.pipeline.evaluation_batches`.
      free_class: number of the defect-free class, or None.
      threshold: the final output's operating threshold, for the numbers kept of each image.
      with_sod: measure S, E and weighted F too.
      extra_metrics: further metrics of the final map, by name.
      observe: called with each image, from several threads; its image is there where the batches have `whole_images`.

    Returns:
      The evaluation of this process's images; see `merge_processes`.

    Raises:
      UserError: the network's answer to an image has no numbers (NaN).
    """
    score = partial(
        _score,
        free_class=free_class,
        threshold=threshold,
        with_sod=with_sod,
        extra_metrics=extra_metrics,
        observe=observe,
    )

    def scored() -> Iterator[ScoredImage]:
        with ThreadPoolExecutor() as pool:
            for batch, (maps, probabilities, finite) in _predictions(predict, batches):
                starts = np.cumsum([len(crops) for crops in batch.crops])[:-1]
                count = sum(len(crops) for crops in batch.crops)
                yield from pool.map(
                    score,
                    np.split(maps[:count], starts),
                    np.split(probabilities[:count], starts),
                    np.split(finite[:count], starts),
                    batch.crops,
                    batch.masks,
                    batch.has_mask,
                    batch.labels,
                    batch.names,
                    batch.whole_images or repeat(None),
                    repeat(batch.ignores),
                )

    return collect(scored())


def merge_processes(evaluation: Evaluation) -> Evaluation:
    """Merge the evaluations of all processes; each of them must call it, and gets the same."""
    return reduce(Evaluation.merge, gather_processes(evaluation))


def gather_processes(own_part: T) -> list[T]:
    """What each process has, in their order, where each of them calls it; for what can be pickled."""
    if jax.process_count() == 1:
        return [own_part]
    # As bytes: JAX would round numbers to float32 on the way.
    own = np.frombuffer(pickle.dumps(own_part), np.uint8)
    sizes = np.asarray(multihost_utils.process_allgather(np.array([own.size], np.int32))).ravel()
    gathered = multihost_utils.process_allgather(np.pad(own, (0, int(sizes.max()) - own.size)))
    return [pickle.loads(row[:size].tobytes()) for row, size in zip(np.asarray(gathered), sizes, strict=True)]


def _predictions(predict: Predict, batches: Iterable[EvaluationBatch]) -> Iterator[tuple[EvaluationBatch, Answers]]:
    """Yield batches with their predictions; the next batch is predicted while the caller scores one."""
    with ThreadPoolExecutor(max_workers=1) as device:
        ahead = None
        for batch in batches:
            following = batch, device.submit(predict, batch.images)
            if ahead is not None:
                yield ahead[0], ahead[1].result()
            ahead = following
        if ahead is not None:
            yield ahead[0], ahead[1].result()


def _score(
    maps: np.ndarray,
    probabilities: np.ndarray,
    finite: np.ndarray,
    crops: list[Crop],
    mask: np.ndarray,
    has_mask: bool,
    label: int,
    name: str,
    image: np.ndarray | None,
    ignores: bool,
    *,
    free_class: int | None,
    threshold: int | None,
    with_sod: bool,
    extra_metrics: Mapping[str, Metric],
    observe: Observe | None,
) -> ScoredImage:
    if not finite.all():
        raise UserError(f"{name} cannot be scored: {NO_NUMBERS}.")
    # A single class cannot be missed: no accuracy.
    has_classes = probabilities.shape[1] > 0 and probabilities.shape[2] > 1
    classes = join_classes(probabilities, free_class) if has_classes else None
    joined = [join(parts, crops, mask.shape) for parts in np.moveaxis(maps, 1, 0)]
    if ignores:
        joined, mask = blacken_ignored(joined, mask)
    scored = score_image(
        joined,
        mask if has_mask else None,
        name=name,
        label=int(label) if label >= 0 else None,
        predicted=() if classes is None else [int(number) for number in np.argmax(classes, axis=1)],
        probabilities=None if classes is None else classes[-1],
        free_class=free_class,
        threshold=threshold,
        with_sod=with_sod,
        extra_metrics=extra_metrics,
    )
    if observe is not None:
        observe(
            ObservedImage(
                row=scored.row,
                image=image,
                mask=mask if has_mask else None,
                maps=tuple(joined),
                threshold=threshold,
                free_class=free_class,
                predicted=scored.predicted,
                probabilities=None if classes is None else classes[-1],
            )
        )
    return scored
