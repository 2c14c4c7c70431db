"""SR: Hou and Zhang, "Saliency detection: a spectral residual approach" (CVPR 2007)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage

from dms_jax.comparison.classical.images import grey, normalised, resized

_SIDE = 64
_SIGMA = 2.5
_RADIUS = 4


def sr(image: ArrayLike) -> NDArray[np.float32]:
    """The part of the log spectrum that its own local mean does not predict.

    At 64 x 64, with A and P the amplitude and the phase of the spectrum and h a mean of 3 x 3:
    S = g * |F^-1[exp(R + i P)]|^2 with R = log(1 + A) - h * log(1 + A), where g is a Gaussian of sigma 2.5 in 9 x 9.
    The mean takes the spectrum for an image, and mirrors it at its borders.

    Args:
      image: [H, W, 3], uint8, 0..255, or floating point, 0..1.

    Returns:
      float32 [H, W], 0..1.

    Raises:
      ValueError: the image is of another shape, type or range.
    """
    intensity = grey(image)
    if np.ptp(intensity) == 0:
        # Of a spectrum that is 0 but for its mean, the residual is not.
        return np.zeros(intensity.shape, np.float32)
    spectrum = fft.fft2(np.rint(resized(intensity, (_SIDE, _SIDE))))
    log_amplitude = np.log1p(np.abs(spectrum))
    residual = log_amplitude - ndimage.uniform_filter(log_amplitude, 3, mode="mirror")
    energy = np.abs(fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    smooth = ndimage.gaussian_filter(energy, _SIGMA, mode="nearest", radius=_RADIUS)
    return normalised(resized(normalised(smooth).astype(np.float64), intensity.shape, enlarge=True))
