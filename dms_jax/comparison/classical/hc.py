"""HC: Cheng, Zhang, Mitra, Huang and Hu, "Global contrast based salient region detection" (CVPR 2011), by histogram."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dms_jax.comparison.classical.colours import quantised
from dms_jax.comparison.classical.filters import binomial_blur
from dms_jax.comparison.classical.images import Floats, normalised


def hc(image: ArrayLike, *, coverage: float = 0.95, blurred: bool = False) -> NDArray[np.float32]:
    """Contrast of a pixel's colour with all others: S(c) = sum over colours i of f_i D(c, i), D in CIELAB.

    The colours are those of 12 levels a channel. The saliency of each is then averaged with that of the nearest quarter
    of them: S'(c) = sum over these m colours of (T - D(c, i)) S(i) / ((m - 1) T), T = sum of D(c, i).

    Args:
      image: [H, W, 3], uint8, 0..255, or floating point, 0..1.
      coverage: share of the pixels that the colours that are kept must have, 0..1.
      blurred: blur the map by a 3 x 3 binomial.

    Returns:
      float32 [H, W], 0..1.

    Raises:
      ValueError: the image is of another shape, type or range.
    """
    colours = quantised(image, coverage)
    contrast = colours.distances @ (colours.counts / colours.counts.sum())
    saliency = _smoothed(contrast, colours.distances)[colours.index]
    return normalised(binomial_blur(saliency, 3) if blurred else saliency)


def _smoothed(contrast: Floats, distances: Floats) -> Floats:
    count = max(round(len(contrast) / 4), 2)
    if len(contrast) < count:
        return contrast
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :count]
    near = np.take_along_axis(distances, nearest, axis=1)
    # Above 0: two colours differ.
    total = near.sum(axis=1, keepdims=True)
    return np.sum((total - near) * contrast[nearest], axis=1) / ((count - 1) * total[:, 0])
