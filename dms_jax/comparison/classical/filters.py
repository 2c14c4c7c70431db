"""Binomial blur, and means over boxes by a summed-area table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dms_jax.comparison.classical.images import Floats

_BINOMIAL = {3: np.array([1.0, 2.0, 1.0]) / 4, 5: np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16}


def binomial_blur(channels: Floats, size: int) -> Floats:
    """Blur [H, W] or [H, W, C] by 1, 2, 1 (size 3) or 1, 4, 6, 4, 1 (size 5) along both axes; borders are repeated."""
    weights = _BINOMIAL[size]
    return ndimage.correlate1d(ndimage.correlate1d(channels, weights, 0, mode="nearest"), weights, 1, mode="nearest")


def box_means(
    channels: Floats,
    rows: tuple[NDArray[np.int64], ...],
    columns: tuple[NDArray[np.int64], ...],
    *,
    short: bool = False,
) -> Floats:
    """The mean of each pixel's own box, which is the product of an interval of rows and one of columns.

    Args:
      channels: [H, W, C].
      rows: the first row and the last of the boxes of each row of pixels, int [H] each, both within the box.
      columns: the first column and the last, int [W] each.
      short: leave the last row and the last column out of the sum, but not out of the area that it is divided by.

    Returns:
      float64 [H, W, C].
    """
    table = np.pad(channels.cumsum(0).cumsum(1), ((1, 0), (1, 0), (0, 0)))
    (top, bottom), (left, right) = rows, columns
    area = (bottom - top + 1)[:, None, None] * (right - left + 1)[None, :, None]
    if not short:
        bottom, right = bottom + 1, right + 1
    below, above = table[bottom], table[top]
    return (below[:, right] - above[:, right] - below[:, left] + above[:, left]) / area
