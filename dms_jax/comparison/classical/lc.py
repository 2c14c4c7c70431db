"""LC: Zhai and Shah, "Visual attention detection in video sequences using spatiotemporal cues" (ACM MM 2006)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dms_jax.comparison.classical.images import grey, normalised


def lc(image: ArrayLike, *, power: Literal[1, 2] = 1, over_all_levels: bool = False) -> NDArray[np.float32]:
    """Global contrast of grey levels: S(p) = sum over q of |I(p) - I(q)|, by the histogram of the 256 levels.

    Args:
      image: [H, W, 3], uint8, 0..255, or floating point, 0..1.
      power: of the difference; the paper's is 1.
      over_all_levels: stretch the contrast of all 256 levels to 0..1, in 255 steps, rather than that of the levels that
        the image has.

    Returns:
      float32 [H, W], 0..1.

    Raises:
      ValueError: the image is of another shape, type or range.
    """
    rounded = np.rint(grey(image)).astype(np.int64)
    counts = np.bincount(rounded.ravel(), minlength=256)
    level = np.arange(256)
    contrast = (np.abs(level[:, None] - level).astype(np.float64) ** power) @ counts
    if not over_all_levels or np.count_nonzero(counts) == 1:
        return normalised(contrast[rounded])
    return (np.rint(normalised(contrast) * 255)[rounded] / 255).astype(np.float32)
