"""AC: Achanta, Estrada, Wils and Suesstrunk, "Salient region detection and segmentation" (ICVS 2008)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dms_jax.comparison.classical.filters import box_means
from dms_jax.comparison.classical.images import lab, normalised

_SCALES = (2, 4, 8)


def ac(image: ArrayLike, *, power: Literal[1, 2] = 1, short_sums: bool = False) -> NDArray[np.float32]:
    """Contrast of a pixel's CIELAB colour with the mean of a box around it, summed over three sizes of the box.

    S(p) = sum over s of |c(p) - mean of c over the box of side w / s at p|, s = 2, 4, 8, with w the smaller side of the
    image; a box is cut at the border.

    Args:
      image: [H, W, 3], uint8, 0..255, or floating point, 0..1.
      power: of the distances before they are summed; the paper's is 1.
      short_sums: leave the last row and column out of each box's sum, but not out of its area: a uniform image is then
        salient where boxes are small.

    Returns:
      float32 [H, W], 0..1.

    Raises:
      ValueError: the image is of another shape, type or range.
    """
    colours = lab(image)
    height, width = colours.shape[:2]
    saliency = np.zeros((height, width))
    for scale in _SCALES:
        half = min(height, width) // scale // 2
        rows, columns = (
            (np.maximum(np.arange(n) - half, 0), np.minimum(np.arange(n) + half, n - 1)) for n in (height, width)
        )
        means = box_means(colours, rows, columns, short=short_sums)
        saliency += np.linalg.norm(colours - means, axis=2) ** power
    return normalised(saliency, scale=100.0)
