"""FT: Achanta, Hemami, Estrada and Suesstrunk, "Frequency-tuned salient region detection" (CVPR 2009)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dms_jax.comparison.classical.filters import binomial_blur
from dms_jax.comparison.classical.images import lab, normalised


def ft(image: ArrayLike) -> NDArray[np.float32]:
    """S(p) = |m - b(p)|^2 in CIELAB, with m the mean colour of the image and b the image blurred by a 5 x 5 binomial.

    The paper's equation has the distance, not its square: no threshold knows the difference, but the table's MAE does.

    Args:
      image: [H, W, 3], uint8, 0..255, or floating point, 0..1.

    Returns:
      float32 [H, W], 0..1.

    Raises:
      ValueError: the image is of another shape, type or range.
    """
    colours = lab(image)
    distances = np.sum((binomial_blur(colours, 5) - colours.mean(axis=(0, 1))) ** 2, axis=2)
    return normalised(distances, scale=100.0)
