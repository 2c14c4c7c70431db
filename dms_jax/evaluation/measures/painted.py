"""Maps painted with their image's class: the mean IoU that semantic segmentation reports.

A pixel's predicted class is its image's predicted class where `map > threshold`, else background; its true class is the
image's label where `mask > 127`, else background. The defect-free class is background wherever it comes up. IoU is that
of all pixels of all images together, class by class, and its mean is over the classes. A class without a pixel, true
or predicted, has no IoU, and is not in the mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dms_jax.evaluation.measures.pixels import PixelCounts
from dms_jax.evaluation.measures.saliency import ImageScores

CONVENTION = (
    "a pixel is of its image's predicted class where the map is above the operating threshold, and of its image's "
    "label where mask > 127; IoU of each class over the pixels of all images together, and their mean"
)


@dataclass(frozen=True, eq=False)
class PaintedCounts:
    """Counts of pixels by the classes of their images; `add` and `merge` return new ones.

    Attributes:
      pairs: for each (label, predicted class) that an image has, the counts over the pixels of all such images.
    """

    pairs: Mapping[tuple[int, int], PixelCounts] = field(default_factory=dict)

    def add(self, scores: ImageScores, label: int, predicted: int) -> PaintedCounts:
        """Return these counts with one image more.

        Args:
          scores: of the image's map.
          label: its class.
          predicted: the class predicted for it.
        """
        counts = self.pairs.get((label, predicted), PixelCounts.empty()).add(scores)
        return PaintedCounts({**self.pairs, (label, predicted): counts})

    def merge(self, other: PaintedCounts) -> PaintedCounts:
        """Return the counts over both sets of images."""
        pairs = dict(self.pairs)
        for pair, counts in other.pairs.items():
            pairs[pair] = pairs[pair].merge(counts) if pair in pairs else counts
        return PaintedCounts(pairs)

    def confusion(self, threshold: int, num_classes: int, free_class: int | None = None) -> NDArray[np.int64]:
        """Count the pixels of each true class by their predicted class.

        Args:
          threshold: `map > threshold` is painted, 0..255.
          num_classes: K.
          free_class: number of the defect-free class, which is background; None where there is none.

        Returns:
          int64 [K + 1, K + 1], a row for each true class; the last row and column are background's. Those of the
          defect-free class are 0.
        """
        counts = np.zeros((num_classes + 1, num_classes + 1), np.int64)
        for (label, predicted), pixels in self.pairs.items():
            row, column = (num_classes if number == free_class else number for number in (label, predicted))
            hits, painted = int(pixels.true_positives[threshold]), int(pixels.predicted[threshold])
            counts[row, column] += hits
            counts[row, num_classes] += pixels.true - hits
            counts[num_classes, column] += painted - hits
            counts[num_classes, num_classes] += pixels.pixels - pixels.true - painted + hits
        return counts

    def compute(
        self, threshold: int | None, class_names: Sequence[str], free_class: int | None = None
    ) -> dict[str, Any]:
        """Return the metrics; see the module for their definition.

        Args:
          threshold: see `confusion`; None where there is none.
          class_names: of all classes, in the order of their numbers.
          free_class: see `confusion`.

        Returns:
          `miou`, the mean over the defect classes; `miou_with_background`, with background as a class more;
          `background`, its IoU; `per_class`, the IoU of each defect class, by name; `convention`. What does not exist
          is None: all of them without a threshold, or where no image has a label, a predicted class and a mask.
        """
        names = {number: name for number, name in enumerate(class_names) if number != free_class}
        ious: NDArray[np.float64] = np.full(len(class_names) + 1, np.nan)
        if threshold is not None and self.pairs:
            counts = self.confusion(threshold, len(class_names), free_class)
            union = counts.sum(axis=0) + counts.sum(axis=1) - counts.diagonal()
            ious[union > 0] = counts.diagonal()[union > 0] / union[union > 0]
        defects = ious[list(names)]
        return {
            "miou": _mean(defects),
            "miou_with_background": _mean(np.append(defects, ious[-1])) if not np.isnan(defects).all() else None,
            "background": _mean(ious[-1:]),
            "per_class": {name: _mean(ious[[number]]) for number, name in names.items()},
            "convention": CONVENTION,
        }


def _mean(values: NDArray[np.float64]) -> float | None:
    """The mean of the values that exist; None where none does."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None
