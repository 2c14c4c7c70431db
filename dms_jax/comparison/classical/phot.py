"""PHOT: Aiger and Talbot, "The phase only transform for unsupervised surface defect detection" (CVPR 2010)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage

from dms_jax.comparison.classical.images import grey, normalised, resized

_SIDE = 256
_SIGMA = 3.0
_EPSILON = 1e-12


def phot(image: ArrayLike) -> NDArray[np.float32]:
    """What regular texture, whose spectrum has few large amplitudes, leaves when every amplitude is set to 1.

    At 256 x 256: P = g * |F^-1[F / |F|]| with a Gaussian g of sigma 3, and S = (P - m)^2 / v, the squared Mahalanobis
    distance from the mean m of P, whose variance is v.

    Args:
      image: [H, W, 3], uint8, 0..255, or floating point, 0..1.

    Returns:
      float32 [H, W], 0..1.

    Raises:
      ValueError: the image is of another shape, type or range.
    """
    intensity = grey(image)
    if np.ptp(intensity) == 0:
        # The phases of a spectrum that is 0 are those of rounding.
        return np.zeros(intensity.shape, np.float32)
    spectrum = fft.fft2(resized(intensity, (_SIDE, _SIDE), enlarge=True))
    phase_only = np.abs(fft.ifft2(spectrum / (np.abs(spectrum) + _EPSILON)))
    smooth = ndimage.gaussian_filter(phase_only, _SIGMA, mode="reflect")
    # Up to a factor, which is stretched away.
    distances = normalised((smooth - smooth.mean()) ** 2)
    return normalised(resized(distances.astype(np.float64), intensity.shape, enlarge=True))
