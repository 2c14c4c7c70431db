"""S-measure, E-measure and weighted F-measure, as PySODMetrics measures them.

Its conventions are not those of the other metrics here. It stretches each map so that its least value becomes 0 and
its largest 1 (a map that peaks at 3 of 255 counts as certain), takes `mask > 128` for the truth, and scores weighted F
0 for every image without a defect, whatever the map. E divides by one pixel less than there are, so that a perfect
map of few pixels exceeds 1. The measures are those of Fan et al., ICCV 2017 (S), Fan et al., IJCAI 2018 (E) and
Margolin et al., CVPR 2014 (weighted F).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

CONVENTION = (
    "pysodmetrics: each map stretched to 0..1, truth is mask > 128, weighted F of an image without a defect is 0"
)


@dataclass(frozen=True, eq=False)
class SodAverages:
    """Sums of the three measures over images; `merge` returns new ones.

    Attributes:
      s_sum: sum of the S-measure.
      e_sum: float64 [T], sum of the E-measure at each of the library's thresholds; or 0.0 over no images.
      weighted_f_sum: sum of the weighted F-measure.
      images: how many images were summed.
    """

    s_sum: float = 0.0
    e_sum: NDArray[np.float64] | float = 0.0
    weighted_f_sum: float = 0.0
    images: int = 0

    def merge(self, other: SodAverages) -> SodAverages:
        """Return the sums over both sets of images."""
        return SodAverages(
            self.s_sum + other.s_sum,
            self.e_sum + other.e_sum,
            self.weighted_f_sum + other.weighted_f_sum,
            self.images + other.images,
        )

    def compute(self) -> dict[str, float | None]:
        """Return `s_measure`, `max_e`, `mean_e` and `weighted_f`, higher is better; None over no images.

        `max_e` is the largest value of the E-measure's averaged curve over the thresholds, `mean_e` its mean.
        """
        if not self.images:
            return {"s_measure": None, "max_e": None, "mean_e": None, "weighted_f": None}
        curve = self.e_sum / self.images
        return {
            "s_measure": self.s_sum / self.images,
            "max_e": float(np.max(curve)),
            "mean_e": float(np.mean(curve)),
            "weighted_f": self.weighted_f_sum / self.images,
        }


def measure(saliency_map: NDArray[np.uint8], mask: NDArray[np.uint8]) -> SodAverages:
    """Measure one saliency map against its mask.

    Args:
      saliency_map: uint8 [H, W], 0..255.
      mask: uint8 [H, W], 0..255, as stored.

    Returns:
      The three measures, as the sums over this one image.
    """
    s_measure, e_measure, weighted_f_measure = _library()
    # One instance per image: the library's objects keep a curve for every image.
    s, e, weighted_f = s_measure(), e_measure(), weighted_f_measure()
    for measure_ in (s, e, weighted_f):
        measure_.step(saliency_map, mask)
    e_curve = np.asarray(e.get_results()["em"]["curve"], np.float64)
    if mask.size == 1:
        # The library divides by the number of pixels less one.
        e_curve = np.minimum(e_curve, 1)
    return SodAverages(float(s.get_results()["sm"]), e_curve, float(weighted_f.get_results()["wfm"]), 1)


@cache
def _library() -> tuple[type, type, type]:
    """The classes of the S-measure, the E-measure and the weighted F-measure."""
    # Imported late: it takes seconds, which a run that has only begun to train should not wait for.
    from py_sod_metrics import Emeasure, Smeasure, WeightedFmeasure

    class SmeasureToTheEdge(Smeasure):
        """Smeasure, which is not a number where the defect's centre lies in the last row or column."""

        def ssim(self, pred: NDArray[np.float64], gt: NDArray[np.bool_]) -> float:
            # No pixel lies beyond such a centre, and the score of that quadrant has no weight.
            return super().ssim(pred, gt) if pred.size else 0.0

    return SmeasureToTheEdge, Emeasure, WeightedFmeasure
