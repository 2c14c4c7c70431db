"""MBP: Zhang, Sclaroff, Lin, Shen, Price and Mech, "Minimum barrier salient object detection at 80 FPS" (ICCV 2015)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dms_jax.comparison.classical.filters import binomial_blur
from dms_jax.comparison.classical.images import Floats, levels, normalised

_PASSES = 3
_STEEPNESS = 10.0


def mbp(image: ArrayLike, *, enhanced: bool = True) -> NDArray[np.float32]:
    """The least that the values must range over on a path to the border, summed over channels blurred by 5 x 5.

    A path's barrier is max - min of the values on it. Distances are found as in the paper, by passes that hand on each
    pixel's best path, but a whole row or column at a time, in four directions.

    Args:
      image: [H, W, 3], uint8, 0..255, or floating point, 0..1.
      enhanced: raise the contrast about the map's mean m: 1 / (1 + exp(-10 (S - m))), stretched.

    Returns:
      float32 [H, W], 0..1.

    Raises:
      ValueError: the image is of another shape, type or range.
    """
    channels = binomial_blur(levels(image), 5)
    total = np.zeros(channels.shape[:2])
    for channel in np.moveaxis(channels, 2, 0):
        total += barrier_distances(channel)
    saliency = normalised(total, scale=255.0)
    if not enhanced or not saliency.any():
        return saliency
    return normalised(1 / (1 + np.exp(-_STEEPNESS * (saliency.astype(np.float64) - saliency.mean()))))


def barrier_distances(values: Floats) -> Floats:
    """The (approximate) minimum barrier distance of each pixel to the border of [H, W], float64 [H, W]."""
    highest, lowest = values.copy(), values.copy()
    distances = np.full(values.shape, np.inf)
    for border in (distances[0], distances[-1], distances[:, 0], distances[:, -1]):
        border[:] = 0
    for _ in range(_PASSES):
        for turn in (lambda a: a, np.transpose, np.flipud, lambda a: np.flipud(a.T)):
            _hand_down(turn(values), turn(highest), turn(lowest), turn(distances))
    return distances


def _hand_down(values: Floats, highest: Floats, lowest: Floats, distances: Floats) -> None:
    """Extend the paths of each row to the next, in place, where that is shorter than what the next row has."""
    for above in range(len(values) - 1):
        row = above + 1
        high, low = np.maximum(highest[above], values[row]), np.minimum(lowest[above], values[row])
        barrier = high - low
        better = barrier < distances[row]
        np.copyto(distances[row], barrier, where=better)
        np.copyto(highest[row], high, where=better)
        np.copyto(lowest[row], low, where=better)
