"""Images as the classic methods take them, and maps as they return them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

Floats = NDArray[np.float64]

# Linear sRGB to CIE XYZ, divided by the white point of D65, so that the rows add up to 1: greys have a = b = 0.
_RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_RGB_TO_WHITE = _RGB_TO_XYZ / _RGB_TO_XYZ.sum(axis=1, keepdims=True)
_LUMA = np.array([0.299, 0.587, 0.114])
# What rounding leaves of a uniform image's contrast, relative to the values that it was computed from.
_FLAT = 1e-9


def levels(image: ArrayLike) -> Floats:
    """The channels of an image, float64, 0..255: [H, W, 1] where all three are equal, else [H, W, 3].

    Raises:
      ValueError: the image is not [H, W, 3] with at least one pixel, or neither uint8 nor floating point in 0..1.
    """
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"image must be [H, W, 3] with at least one pixel, not {pixels.shape}")
    if np.issubdtype(pixels.dtype, np.floating):
        if not (pixels.min() >= 0 and pixels.max() <= 1):
            raise ValueError("an image of floating-point numbers must be in 0..1")
        scaled = pixels.astype(np.float64) * 255
    elif pixels.dtype == np.uint8:
        scaled = pixels.astype(np.float64)
    else:
        raise ValueError(f"image must be uint8 or floating point, not {pixels.dtype}")
    return scaled[..., :1] if (scaled == scaled[..., :1]).all() else scaled


def grey(image: ArrayLike) -> Floats:
    """The luma of an image (ITU-R BT.601), float64 [H, W], 0..255.

    Raises:
      ValueError: as `levels`.
    """
    channels = levels(image)
    return channels[..., 0] if channels.shape[2] == 1 else channels @ _LUMA


def lab(image: ArrayLike) -> Floats:
    """CIELAB of an sRGB image under D65, float64: [H, W, 3], or of a grey image L alone, [H, W, 1]. L is in 0..100.

    Raises:
      ValueError: as `levels`.
    """
    return levels_to_lab(levels(image))


def levels_to_lab(channels: Floats) -> Floats:
    """CIELAB of colours [..., 3] or greys [..., 1], 0..255; of greys L alone, [..., 1]."""
    values = channels / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    if linear.shape[-1] == 3:
        linear = linear @ _RGB_TO_WHITE.T
    cube = np.where(linear > 216 / 24389, np.cbrt(linear), (24389 / 27 * linear + 16) / 116)
    lightness = 116 * cube[..., -2:-1] - 16 if cube.shape[-1] == 3 else 116 * cube - 16
    if cube.shape[-1] == 1:
        return lightness
    red_green, blue_yellow = 500 * (cube[..., :1] - cube[..., 1:2]), 200 * (cube[..., 1:2] - cube[..., 2:])
    return np.concatenate([lightness, red_green, blue_yellow], axis=-1)


def normalised(saliency: Floats, scale: float = 1.0) -> NDArray[np.float32]:
    """Stretch a map to 0..1; zeros where it is uniform but for rounding.

    Args:
      saliency: [H, W].
      scale: the size of the numbers that the map is a difference of, by which rounding is judged.
    """
    low, high = float(saliency.min()), float(saliency.max())
    if high - low <= _FLAT * max(scale, abs(low), abs(high)):
        return np.zeros(saliency.shape, np.float32)
    return ((saliency - low) / (high - low)).astype(np.float32)


def resized(channel: Floats, size: tuple[int, int], *, enlarge: bool = False) -> Floats:
    """Resize [h, w] to (H, W): by averages over areas or, to `enlarge`, bilinearly.

    Returns:
      float64 [H, W].
    """
    height, width = size
    method = Image.Resampling.BILINEAR if enlarge else Image.Resampling.BOX
    image = Image.fromarray(np.ascontiguousarray(channel, np.float32))
    return np.asarray(image.resize((width, height), method), np.float64)
