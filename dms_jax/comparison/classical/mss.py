"""MSS: Achanta and Suesstrunk, "Saliency detection using maximum symmetric surround" (ICIP 2010)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dms_jax.comparison.classical.filters import binomial_blur, box_means
from dms_jax.comparison.classical.images import lab, normalised


def mss(image: ArrayLike, *, short_sums: bool = False) -> NDArray[np.float32]:
    """S(p) = |m(p) - b(p)|^2 in CIELAB: b is blurred by a 3 x 3 binomial, m the mean of the largest box centred at p.

    Args:
      image: [H, W, 3], uint8, 0..255, or floating point, 0..1.
      short_sums: let a box reach one row and column beyond its mirror image, as far as the image has them, and leave
        the last row and column out of its sum, but not out of its area: a uniform image is then salient at its border.

    Returns:
      float32 [H, W], 0..1.

    Raises:
      ValueError: the image is of another shape, type or range.
    """
    colours = lab(image)
    height, width = colours.shape[:2]
    rows, columns = _symmetric(height, short_sums), _symmetric(width, short_sums)
    means = box_means(colours, rows, columns, short=short_sums)
    distances = np.sum((binomial_blur(colours, 3) - means) ** 2, axis=2)
    return normalised(distances, scale=100.0)


def _symmetric(length: int, further: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first and the last index of the largest interval around each index, int64 [length] each."""
    index = np.arange(length)
    reach = np.minimum(index, length - index if further else length - 1 - index)
    return index - reach, np.minimum(index + reach, length - 1)
