"""S-measure, E-measure and weighted F-measure, with the numbers of PySODMetrics.

Its conventions are not those of the other metrics here. It stretches each map so that its least value becomes 0 and
its largest 1 (a map that peaks at 3 of 255 counts as certain), takes `mask > 128` for the truth, and scores weighted F
0 for every image without a defect, whatever the map. E divides by one pixel less than there are, so that a perfect
map of few pixels exceeds 1. The measures are those of Fan et al., ICCV 2017 (S), Fan et al., IJCAI 2018 (E) and
Margolin et al., CVPR 2014 (weighted F).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONVENTION = (
    "pysodmetrics: each map stretched to 0..1, truth is mask > 128, weighted F of an image without a defect is 0"
)

# Above this a mask's pixel is defective.
_TRUTH_CUT = 128
# What the library adds to what it divides by.
_EPSILON = np.spacing(1)
# Of the errors of neighbours in weighted F: MATLAB's fspecial("gaussian", 7, 5), which is this one along both axes.
_KERNEL = np.exp(-(np.arange(-3.0, 4.0) ** 2) / 50)
_KERNEL /= _KERNEL.sum()
# How much a false alarm counts in weighted F, by its squared distance from the defect: twice when it is far away, and
# from 270 pixels on, no more in float64.
_FALSE_WEIGHTS = 2 - np.exp(np.log(0.5) / 5 * np.sqrt(np.arange(270**2)))


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
    truth = mask > _TRUTH_CUT
    values = stretched_values(saliency_map)
    counts = count_by_quadrant(saliency_map, truth)
    return SodAverages(
        s_measure(counts, values, truth.shape),
        e_curve(counts.sum(axis=0), values),
        weighted_f(values[saliency_map], truth),
        1,
    )


def stretched_values(saliency_map: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What each of the levels 0..255 of a map becomes, float64 [256]; right for those from its least to its largest.

    The least level becomes 0 and the largest 1. A map of one level keeps it, divided by 255.
    """
    values = np.arange(256) / 255
    low, high = values[saliency_map.min()], values[saliency_map.max()]
    return (values - low) / (high - low) if high > low else values


def count_by_quadrant(saliency_map: NDArray[np.uint8], truth: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count the pixels of each level in the four quadrants around the centre of the truth.

    The row and the column of the centre, the mean of the defective pixels rounded, belong to the quadrants above and
    left of it. Without a defect, all is one quadrant.

    Args:
      saliency_map: uint8 [H, W].
      truth: bool [H, W].

    Returns:
      int64 [4, 2, 256]: of each quadrant (above left, above right, below left, below right), the sound and the
      defective pixels of each level.
    """
    counts = np.zeros((4, 2, 256), np.int64)
    row, column = truth.shape
    if truth.any():
        # By the numbers of such pixels in each row and column, and not by a list of all of them.
        row, column = (
            int(np.round(np.arange(n) @ truth.sum(axis=axis) / np.count_nonzero(truth))) + 1
            for n, axis in zip(truth.shape, (1, 0), strict=True)
        )
    for counted, part in zip(counts, _quadrants(row, column), strict=True):
        levels = saliency_map[part].ravel()
        counted[1] = np.bincount(levels[truth[part].ravel()], minlength=256)
        counted[0] = np.bincount(levels, minlength=256) - counted[1]
    return counts


def s_measure(counts: NDArray[np.int64], values: NDArray[np.float64], shape: tuple[int, int]) -> float:
    """S-measure: half the likeness of objects, half that of the four quadrants.

    Args:
      counts: int64 [4, 2, 256], see `count_by_quadrant`.
      values: float64 [256], see `stretched_values`.
      shape: (H, W) of the map.

    Returns:
      The measure, 0..1. Where a quadrant of the map has one value in all pixels, its variance is 0, and not what
      rounding makes of it, by which the library scores such a quadrant without a defect 0 or 1.
    """
    sound, defective = counts.sum(axis=0)
    share = defective.sum() / (shape[0] * shape[1])
    if share in (0, 1):
        mean = (sound + defective) @ values / (shape[0] * shape[1])
        return float(mean if share else 1 - mean)
    objects = share * _object_score(defective, values) + (1 - share) * _object_score(sound, 1 - values)
    sizes = counts.sum(axis=(1, 2))
    regions = sum(size * _likeness(*part, values) for size, part in zip(sizes, counts, strict=True)) / sizes.sum()
    return float(max(0, (objects + regions) / 2))


def e_curve(counts: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """E-measure at the thresholds 255, 254, ..., 0 of the stretched map.

    Args:
      counts: int64 [2, 256], the sound and the defective pixels of each level of the map.
      values: float64 [256], see `stretched_values`.

    Returns:
      float64 [256], 0..1 or slightly above, see `dms_jax.evaluation.measures.sod`.
    """
    # Of the levels that do not occur, some lie beyond 0..1.
    levels = np.clip(values * 255, 0, 255).astype(np.uint8)
    false, hits = (np.cumsum(np.bincount(levels, of_kind, 256)[::-1]) for of_kind in counts)
    sound, defective = counts.sum(axis=1).tolist()
    size = sound + defective
    found = false + hits
    if not defective:
        total = size - found
    elif not sound:
        total = found
    else:
        predicted, share = found / size, defective / size
        total = sum(
            pixels * (2 * a * b / (a * a + b * b + _EPSILON) + 1) ** 2 / 4
            for pixels, a, b in (
                (hits, 1 - predicted, 1 - share),
                (false, 1 - predicted, -share),
                (defective - hits, -predicted, 1 - share),
                (sound - false, -predicted, -share),
            )
        )
    # The library divides by the number of pixels less one.
    return np.asarray(total, np.float64) / max(size - 1, 1)


def weighted_f(prediction: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Weighted F-measure: errors count by their distance from the defect, and less where they lie beside others.

    Args:
      prediction: float64 [H, W], 0..1.
      truth: bool [H, W].

    Returns:
      The measure, 0..1; 0 without a defect.
    """
    # Imported late, as all of SciPy is: a run that has only begun to train should not wait for it.
    from scipy.ndimage import correlate1d, distance_transform_edt

    if not truth.any():
        return 0.0
    nearest = distance_transform_edt(~truth, return_distances=False, return_indices=True)
    error = np.abs(prediction - truth)
    # Errors of defective pixels are smoothed, those beside the defect being that of its nearest pixel: nothing farther
    # away than the kernel reaches has a part in it.
    rows, columns = (np.flatnonzero(truth.any(axis=axis)) for axis in (1, 0))
    reach = len(_KERNEL) // 2
    around = tuple(slice(max(0, int(at[0]) - reach), int(at[-1]) + reach + 1) for at in (rows, columns))
    smooth = error[nearest[0][around], nearest[1][around]]
    for axis in (0, 1):
        smooth = correlate1d(smooth, _KERNEL, axis, mode="constant")
    inside = truth[around]
    missed = np.minimum(error[around][inside], smooth[inside])
    # A pixel that is black in the map is no false alarm, however far away.
    row, column = np.nonzero((prediction > 0) & ~truth)
    squared = (nearest[0][row, column] - row) ** 2 + (nearest[1][row, column] - column) ** 2
    false = prediction[row, column] @ _FALSE_WEIGHTS[np.minimum(squared, len(_FALSE_WEIGHTS) - 1)]
    hit = missed.size - missed.sum()
    recall, precision = 1 - missed.mean(), hit / (hit + false + _EPSILON)
    return float(2 * recall * precision / (recall + precision + _EPSILON))


def _quadrants(row: int, column: int) -> list[tuple[slice, slice]]:
    return [(y, x) for y in (slice(row), slice(row, None)) for x in (slice(column), slice(column, None))]


def _object_score(counts: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    """Likeness of the object, the higher the nearer its values are to 1, and the more alike."""
    size = counts.sum()
    mean = counts @ values / size
    spread = np.sqrt(counts @ (values - mean) ** 2 / max(size - 1, 1))
    return 2 * mean / (mean * mean + 1 + spread + _EPSILON)


def _likeness(sound: NDArray[np.int64], defective: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    """Structural similarity of one quadrant of the map and of the truth; 0 for one without pixels."""
    counts = sound + defective
    size = counts.sum()
    if not size:
        return 0.0
    present = np.flatnonzero(counts)
    mean = values[present[0]] if len(present) == 1 else counts @ values / size
    share = defective.sum() / size
    less_one = max(size - 1, _EPSILON)
    deviation = values - mean
    variance = (counts @ deviation**2 + share * (1 - share) * size) / less_one
    covariance = ((1 - share) * (defective @ deviation) - share * (sound @ deviation)) / less_one
    above = 4 * mean * share * covariance
    below = (mean * mean + share * share) * variance
    return above / (below + _EPSILON) if above else float(below == 0)
