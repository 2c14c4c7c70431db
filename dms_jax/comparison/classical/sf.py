"""SF: Perazzi, Kraehenbuehl, Pritch and Hornung, "Saliency filters" (CVPR 2012)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dms_jax.comparison.classical.images import Floats, lab, normalised
from dms_jax.comparison.classical.regions import regions, squared_distances
from dms_jax.comparison.classical.scikit_image import segmentation

_SUPERPIXELS, _COMPACTNESS = 400, 0.1  # of SLIC, in CIELAB / 100
_NEAR = 0.25  # sigma of positions, in units of the larger side
_ALIKE = 20.0  # sigma of colours, in CIELAB
_SHARPNESS = 6.0


def sf(image: ArrayLike, *, saturated: float = 0.0) -> NDArray[np.float32]:
    """Superpixels whose colour is unlike that of near ones (uniqueness U), and is not spread over the image (D).

    U(i) = sum over j of |c_i - c_j|^2 w_p(i, j) and D(i) = sum over j of |p_j - m_i|^2 w_c(i, j), with Gaussian weights
    of positions p (sigma 0.25 of the larger side) and of colours c (sigma 20 in CIELAB), each adding up to 1 over j,
    and m_i = sum over j of w_c(i, j) p_j. S = U exp(-6 D), with U and D stretched to 0..1. The paper then gives each
    pixel a mean of superpixels like it; here it has its own superpixel's value, whose MAE and maxF on MTDD are the same
    to 0.001, in a tenth of the time.

    Args:
      image: [H, W, 3], uint8, 0..255, or floating point, 0..1.
      saturated: stretch the map until this share of the pixels is at 1, 0..1.

    Returns:
      float32 [H, W], 0..1.

    Raises:
      ValueError: the image is of another shape, type or range.
      UserError: scikit-image is not installed.
    """
    colours = lab(image)
    labels = segmentation("SF").slic(
        colours / 100,
        n_segments=_SUPERPIXELS,
        compactness=_COMPACTNESS,
        start_label=0,
        convert2lab=False,
        channel_axis=-1,
    )
    parts = regions(labels)
    colour_distances = squared_distances(parts.means(colours))
    near = _weights(squared_distances(parts.centres), _NEAR)
    uniqueness = _stretched(np.sum(near * colour_distances, axis=1))
    alike = _weights(colour_distances, _ALIKE)
    middles = alike @ parts.centres
    away = np.sum((parts.centres[None] - middles[:, None]) ** 2, axis=2)
    distribution = _stretched(np.sum(alike * away, axis=1))
    saliency = (uniqueness * np.exp(-_SHARPNESS * distribution))[parts.labels]
    if saturated:
        bright = float(np.quantile(saliency, 1 - saturated))
        if bright > saliency.min():
            saliency = np.minimum(saliency, bright)
    return normalised(saliency)


def _weights(squared: Floats, sigma: float) -> Floats:
    weights = np.exp(-squared / (2 * sigma**2))
    return weights / weights.sum(axis=1, keepdims=True)


def _stretched(values: Floats) -> Floats:
    return normalised(values).astype(np.float64)
