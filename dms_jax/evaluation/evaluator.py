"""A network and a split of pictures to figures: every output, at each picture's own size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import reduce
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from dms_jax.data.pipeline import EvaluationBatch
from dms_jax.evaluation.metrics import (
    NUM_THRESHOLDS,
    AccuracyCount,
    PictureScores,
    SaliencyAverages,
    resize_map,
    score_map,
)

# Images uint8 [B, S, S, 3] to maps uint8 [B, N, S, S] and class probabilities float32 [B, N, K] (or [B, 0, K]).
Predict = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class OutputTotals:
    """Running sums for one output of the network.

    Attributes:
      everything: saliency over all pictures.
      defective: saliency over the pictures whose mask has a pixel above 127.
      accuracy: image-level labels; none without class heads.
    """

    everything: SaliencyAverages
    defective: SaliencyAverages
    accuracy: AccuracyCount

    @classmethod
    def empty(cls) -> OutputTotals:
        """Return the sums over no pictures."""
        return cls(SaliencyAverages.empty(), SaliencyAverages.empty(), AccuracyCount())

    def add(self, scores: PictureScores) -> OutputTotals:
        """Return these sums with one picture's map more."""
        defective = self.defective.add(scores) if scores.defective else self.defective
        return replace(self, everything=self.everything.add(scores), defective=defective)

    def merge(self, other: OutputTotals) -> OutputTotals:
        """Return the sums over both sets of pictures."""
        return OutputTotals(
            self.everything.merge(other.everything),
            self.defective.merge(other.defective),
            self.accuracy.merge(other.accuracy),
        )

    def compute(self) -> dict[str, Any]:
        """Return `mae`, `max_f`, `threshold`, `pictures`, the same under `defective`, and `accuracy`.

        A figure that does not exist is None: those of defective pictures where there are none, the accuracy of a
        network without class heads.
        """
        everything, defective = self.everything.compute(), self.defective.compute()
        return {**asdict(everything), "defective": asdict(defective), "accuracy": self.accuracy.compute()}


def evaluate(predict: Predict, batches: Iterable[EvaluationBatch]) -> list[OutputTotals]:
    """Score every output of a network on batches of pictures.

    A map goes from the network's square to the size of its mask as the paper's convention has it: 8 bits first, then
    bilinear (see `dms_jax.evaluation.metrics`).

    Args:
      predict: the network; takes and gives arrays of this process.
      batches: see `dms_jax.data.pipeline.evaluation_batches`.

    Returns:
      The sums of each output, coarse to final; of this process's pictures only.
    """
    totals: list[OutputTotals] = []
    with ThreadPoolExecutor() as pool:
        for batch, maps, probabilities in _predictions(predict, batches):
            totals = totals or [OutputTotals.empty()] * maps.shape[1]
            scored = list(pool.map(_score_picture, maps, batch.masks))
            for output in range(len(totals)):
                for scores in scored:
                    totals[output] = totals[output].add(scores[output])
            if probabilities.shape[1]:
                predicted = np.argmax(probabilities, axis=2)[: len(batch.labels)]
                for output, total in enumerate(totals):
                    accuracy = total.accuracy.add(predicted[:, output].astype(np.int32), batch.labels)
                    totals[output] = replace(total, accuracy=accuracy)
    return totals


def summarise(totals: list[OutputTotals]) -> dict[str, Any]:
    """The figures of the final output (see `OutputTotals.compute`), and those of every output under `outputs`."""
    outputs = [total.compute() for total in totals]
    return {**outputs[-1], "outputs": outputs}


def merge_processes(totals: list[OutputTotals]) -> list[OutputTotals]:
    """Merge the sums of all processes; each of them must call it, and gets the same."""
    if jax.process_count() == 1:
        return totals
    packed = np.stack([_pack(total) for total in totals])
    # As bytes: JAX would round the sums to float32 on the way.
    gathered = np.asarray(multihost_utils.process_allgather(packed.view(np.uint8)))
    parts = gathered.view(np.float64).reshape(jax.process_count(), *packed.shape)
    return [reduce(OutputTotals.merge, map(_unpack, parts[:, output])) for output in range(len(totals))]


def _pack(total: OutputTotals) -> np.ndarray:
    numbers: list[Any] = [total.accuracy.correct, total.accuracy.total]
    for averages in (total.everything, total.defective):
        numbers += [averages.mae_sum, averages.pictures, *averages.precision_sum, *averages.recall_sum]
    return np.array(numbers, np.float64)


def _unpack(vector: np.ndarray) -> OutputTotals:
    averages = [
        SaliencyAverages(float(part[0]), part[2 : 2 + NUM_THRESHOLDS], part[2 + NUM_THRESHOLDS :], int(part[1]))
        for part in np.split(vector[2:], 2)
    ]
    return OutputTotals(averages[0], averages[1], AccuracyCount(int(vector[0]), int(vector[1])))


def _predictions(
    predict: Predict, batches: Iterable[EvaluationBatch]
) -> Iterator[tuple[EvaluationBatch, np.ndarray, np.ndarray]]:
    """Yield batches with their predictions; the next batch is predicted while the caller scores one."""
    with ThreadPoolExecutor(max_workers=1) as device:
        ahead = None
        for batch in batches:
            following = batch, device.submit(predict, batch.images)
            if ahead is not None:
                yield ahead[0], *ahead[1].result()
            ahead = following
        if ahead is not None:
            yield ahead[0], *ahead[1].result()


def _score_picture(maps: np.ndarray, mask: np.ndarray) -> list[PictureScores]:
    return [score_map(resize_map(saliency_map, mask.shape), mask) for saliency_map in maps]
