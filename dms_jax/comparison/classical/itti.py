"""ITTI: Itti, Koch and Niebur, "A model of saliency-based visual attention for rapid scene analysis" (PAMI 1998)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from dms_jax.comparison.classical.images import Floats, levels, normalised, resized

_BINOMIAL = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
_LEVELS = 9
_CENTRES = (2, 3, 4)
_DELTAS = (3, 4)
_ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
_WAVELENGTH, _GABOR_SIGMA, _GABOR_RADIUS = 7.0, 7 / 3, 4
# Of an opponent colour: darker pixels have no hue.
_DARK = 0.1


def itti(image: ArrayLike, *, level: int = 4, promote: bool = True) -> NDArray[np.float32]:
    """Differences of a pyramid's levels 2, 3, 4 and those 3 and 4 coarser, of intensity, colours and orientations.

    Each difference is brought to one level, stretched to 0..1, and multiplied by (1 - m)^2, m being the mean of its
    local maxima other than the largest; so are the sums over each of the three features, which are added up. Intensity
    is the mean of red, green and blue; colours are red against green and blue against yellow; the four orientations are
    responses to Gabor filters.

    Args:
      image: [H, W, 3], uint8, 0..255, or floating point, 0..1.
      level: of the pyramid at which the maps are added, 2..8; level n has 1 / 2^n of the image's sides.
      promote: multiply by (1 - m)^2.

    Returns:
      float32 [H, W], 0..1.

    Raises:
      ValueError: the image is of another shape, type or range.
    """
    channels = levels(image) / 255
    intensity = _pyramid(channels.mean(axis=2))
    size = intensity[level].shape

    def conspicuity(pyramids: Iterable[list[Floats]]) -> Floats:
        total = np.zeros(size)
        for pyramid in pyramids:
            total += _promoted(_differences(pyramid, size, promote), promote)
        return _promoted(total, promote)

    saliency = conspicuity([intensity]) + conspicuity(_oriented(intensity))
    if channels.shape[2] == 3:
        saliency += conspicuity(map(_pyramid, _opponents(channels)))
    return normalised(resized(saliency, channels.shape[:2], enlarge=True))


def _pyramid(channel: Floats) -> list[Floats]:
    """Nine levels, each blurred by a 5 x 5 binomial and of half the sides, but of one pixel at least."""
    pyramid = [channel]
    for _ in range(_LEVELS - 1):
        blurred = pyramid[-1]
        for axis in (0, 1):
            blurred = ndimage.correlate1d(blurred, _BINOMIAL, axis, mode="mirror")
        pyramid.append(blurred[::2, ::2])
    return pyramid


def _differences(pyramid: list[Floats], size: tuple[int, int], promote: bool) -> Floats:
    total = np.zeros(size)
    for centre in _CENTRES:
        for delta in _DELTAS:
            coarse = _to_size(pyramid[centre + delta], pyramid[centre].shape)
            total += _promoted(_to_size(np.abs(pyramid[centre] - coarse), size), promote)
    return total


def _to_size(channel: Floats, size: tuple[int, int]) -> Floats:
    return resized(channel, size, enlarge=True)


def _promoted(channel: Floats, promote: bool) -> Floats:
    # The features are differences of numbers in 0..1, which were stored with 24 bits.
    stretched = normalised(np.where(np.abs(channel) < 1e-6, 0, channel)).astype(np.float64)
    if not promote or not stretched.any():
        return stretched
    peaks = np.sort(stretched[(stretched == ndimage.maximum_filter(stretched, 3)) & (stretched > 0)])[:-1]
    return stretched * (1 - (peaks.mean() if len(peaks) else 0.0)) ** 2


def _oriented(intensity: list[Floats]) -> Iterable[list[Floats]]:
    """For each angle, the pyramid's response to Gabor filters of two phases; the two finest levels are not used."""
    for angle in _ANGLES:
        even, odd = _gabor(angle, 0), _gabor(angle, np.pi / 2)
        yield [
            np.abs(ndimage.correlate(part, even, mode="mirror")) + np.abs(ndimage.correlate(part, odd, mode="mirror"))
            if scale >= min(_CENTRES)
            else part
            for scale, part in enumerate(intensity)
        ]


def _gabor(angle: float, phase: float) -> Floats:
    """A Gabor filter of 9 x 9, whose sum is 0 and whose L2 norm is 1."""
    y, x = np.mgrid[-_GABOR_RADIUS : _GABOR_RADIUS + 1, -_GABOR_RADIUS : _GABOR_RADIUS + 1]
    along = x * np.cos(angle) + y * np.sin(angle)
    kernel = np.exp(-(x**2 + y**2) / (2 * _GABOR_SIGMA**2)) * np.cos(2 * np.pi * along / _WAVELENGTH + phase)
    kernel -= kernel.mean()
    return kernel / np.linalg.norm(kernel)


def _opponents(channels: Floats) -> tuple[Floats, Floats]:
    """Red against green and blue against yellow, float64 [H, W] each, of hues: colours divided by their intensity."""
    intensity = channels.mean(axis=2)
    bright = intensity > _DARK * intensity.max()
    red, green, blue = (np.where(bright, c / np.maximum(intensity, 1e-6), 0) for c in np.moveaxis(channels, 2, 0))
    r, g, b = red - (green + blue) / 2, green - (red + blue) / 2, blue - (red + green) / 2
    yellow = (red + green) / 2 - np.abs(red - green) / 2 - blue
    r, g, b, yellow = (np.maximum(each, 0) for each in (r, g, b, yellow))
    return r - g, b - yellow
