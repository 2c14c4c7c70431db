"""Pixels of many images counted together: IoU, F1 and average precision, and the operating threshold.

Where the field's own metrics average over images (`dms_jax.evaluation.measures.saliency`), these pool: a pixel counts
the same in whichever image it lies, so that false alarms on defect-free images weigh as much as they do in production.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dms_jax.evaluation.measures.saliency import NUM_THRESHOLDS, ImageScores


@dataclass(frozen=True, eq=False)
class PixelCounts:
    """Counts over the pixels of any number of images; `add` and `merge` return new ones.

    Attributes:
      true_positives: int64 [256], pixels with `map > t` and `mask > 127`, for t in 0..255.
      predicted: int64 [256], pixels with `map > t`.
      true: pixels with `mask > 127`.
      pixels: all pixels.
    """

    true_positives: NDArray[np.int64]
    predicted: NDArray[np.int64]
    true: int
    pixels: int

    @classmethod
    def empty(cls) -> PixelCounts:
        """Return the counts over no images."""
        nothing = np.zeros(NUM_THRESHOLDS, np.int64)
        return cls(nothing, nothing, 0, 0)

    def add(self, scores: ImageScores) -> PixelCounts:
        """Return these counts with one image more."""
        return self.merge(PixelCounts(scores.true_positives, scores.predicted, scores.true, scores.pixels))

    def merge(self, other: PixelCounts) -> PixelCounts:
        """Return the counts over both sets of images."""
        return PixelCounts(
            self.true_positives + other.true_positives,
            self.predicted + other.predicted,
            self.true + other.true,
            self.pixels + other.pixels,
        )

    def iou(self, threshold: int) -> float | None:
        """Return TP / (predicted + true - TP) at one threshold; None where no pixel is defective."""
        if not self.true:
            return None
        hits = int(self.true_positives[threshold])
        return hits / (int(self.predicted[threshold]) + self.true - hits)

    def f1(self, threshold: int) -> float | None:
        """Return 2 TP / (predicted + true) at one threshold; None where no pixel is defective."""
        if not self.true:
            return None
        return 2 * int(self.true_positives[threshold]) / (int(self.predicted[threshold]) + self.true)

    def best_threshold(self) -> int | None:
        """Return the (first) t in 0..255 with the largest F1, hence IoU; None where no pixel is defective.

        Both grow with TP / (predicted + true), so one threshold is the best for either.
        """
        if not self.true:
            return None
        return int(np.argmax(self.true_positives / (self.predicted + self.true)))

    def average_precision(self) -> float | None:
        """Return scikit-learn's average precision of all pixels, with the map as their score.

        AP is the sum over t of (R(t) - R(t + 1)) P(t). None where no pixel is defective.
        """
        if not self.true:
            return None
        # Imported late: it takes most of a second, and training needs it at its end.
        from sklearn.metrics import average_precision_score

        # How many pixels have each value: 256 weighted samples of either kind stand for millions of pixels.
        hits = -np.diff(self.true_positives, prepend=self.true)
        counts = -np.diff(self.predicted, prepend=self.pixels)
        truth = np.repeat([True, False], NUM_THRESHOLDS)
        values = np.tile(np.arange(NUM_THRESHOLDS), 2)
        weights = np.concatenate([hits, counts - hits])
        return float(average_precision_score(truth, values, sample_weight=weights))
