"""How an image of any size becomes crops for the network, and how maps of the crops become one map again.

`squash` resizes the whole image to one crop, as the paper does. `letterbox` keeps the aspect: the longer side fills
the crop, the rest is padding. `tiles` cuts overlapping crops out of the image, at its own resolution; an image
smaller than a tile is padded. Padding counts neither in the loss nor in the metrics.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MODES = ("squash", "letterbox", "tiles")
# What a user may ask for: an image of a megapixel is some thousands of such tiles, and of smaller ones, or with more
# overlap, so many that a run would never come to its first step.
SMALLEST_TILE = 16
LARGEST_OVERLAP = 0.9

# A smaller weight is a rounding error: each of 500 x 500 pixels that are shrunk to one has a larger one somewhere.
_LEAST_WEIGHT = 1e-6

# ImageNet's mean colour, which the network sees as 0.
_PADDING = (124, 116, 104)


@dataclass(frozen=True)
class Framing:
    """What the network sees of an image.

    Attributes:
      mode: `squash`, `letterbox` or `tiles`.
      size: side S of the crops, in pixels.
      tile: side of a tile in the image, in its own pixels; 0 for S, so that nothing is resized.
      overlap: share of a tile that the next one overlaps at least, 0..1, 1 excluded.

    Raises:
      ValueError: the mode is unknown, or a number is out of range.
    """

    mode: str = "squash"
    size: int = 300
    tile: int = 0
    overlap: float = 0.25

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode {self.mode!r} is unknown: it is one of {', '.join(MODES)}")
        if self.size < 1 or self.tile < 0:
            raise ValueError(f"size={self.size} and tile={self.tile} must be positive (tile may be 0)")
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap={self.overlap} must be at least 0 and below 1")

    @property
    def pads(self) -> bool:
        """Whether a crop may have padding."""
        return self.mode != "squash"


@dataclass(frozen=True)
class Crop:
    """A part of an image, and its place in the square that the network sees.

    Attributes:
      top, left, height, width: the part, in pixels of the image.
      content: (top, left, height, width) of the part in that square; the rest is padding.
    """

    top: int
    left: int
    height: int
    width: int
    content: tuple[int, int, int, int]


def crops_of(size: tuple[int, int], framing: Framing) -> list[Crop]:
    """The crops that an image of (H, W) pixels becomes; a single one except for `tiles`."""
    height, width = size
    side = framing.size
    if framing.mode == "squash":
        return [Crop(0, 0, height, width, (0, 0, side, side))]
    if framing.mode == "letterbox":
        return [Crop(0, 0, height, width, _content(height, width, side / max(height, width), side))]
    tile = framing.tile or side
    tall, wide = min(tile, height), min(tile, width)
    content = _content(tall, wide, side / tile, side)
    return [
        Crop(top, left, tall, wide, content)
        for top in _starts(height, tile, framing.overlap)
        for left in _starts(width, tile, framing.overlap)
    ]


def cut(image: NDArray[np.uint8], crop: Crop, framing: Framing) -> NDArray[np.uint8]:
    """One crop of an image, resized by Pillow's bilinear filter (averaging when it shrinks).

    Args:
      image: uint8 [H, W, C]; C is 3 for an image, which is padded with a grey, or 1 for a mask, which is padded
        with 0.
      crop: one of `crops_of(size, framing)`, for the image's size.
      framing: the same one.

    Returns:
      uint8 [S, S, C]; the image itself where it has that size already.
    """
    part = image[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
    top, left, height, width = crop.content
    part = _resize(part, (height, width))
    if part.shape[:2] == (framing.size, framing.size):
        return part
    channels = image.shape[2]
    padded = np.empty((framing.size, framing.size, channels), np.uint8)
    padded[...] = _PADDING if channels == len(_PADDING) else 0
    padded[top : top + height, left : left + width] = part
    return padded


def touched(marked: NDArray[np.bool_], crop: Crop, framing: Framing) -> NDArray[np.bool_]:
    """Which pixels of a crop are made of a marked one, be it one of hundreds.

    Args:
      marked: bool [H, W, 1], of an image.
      crop: one of `crops_of(size, framing)`, for the image's size.
      framing: the same one.

    Returns:
      bool [S, S, 1]; padding is made of none.
    """
    part = marked[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width, 0]
    top, left, height, width = crop.content
    found = np.zeros((framing.size, framing.size, 1), np.bool_)
    if part.any():
        # Not in 8 bits, in which the weight of one pixel among more than 22 x 22 is 0.
        weights = Image.fromarray(part.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
        found[top : top + height, left : left + width, 0] = np.asarray(weights) > _LEAST_WEIGHT
    return found


def join(maps: Sequence[NDArray[np.uint8]], crops: Sequence[Crop], size: tuple[int, int]) -> NDArray[np.uint8]:
    """One map of an image from those of its crops.

    Where tiles overlap, each is weighted by the distance from its own border, near which it has seen least.

    Args:
      maps: uint8 [S, S] each, one per crop.
      crops: those of `crops_of(size, ...)`.
      size: (H, W) of the image.

    Returns:
      uint8 [H, W].
    """
    parts = []
    for saliency_map, crop in zip(maps, crops, strict=True):
        top, left, height, width = crop.content
        inside = saliency_map[top : top + height, left : left + width, None]
        parts.append(_resize(inside, (crop.height, crop.width))[..., 0])
    if len(parts) == 1:
        return parts[0]
    total, weights = np.zeros(size, np.float32), np.zeros(size, np.float32)
    for part, crop in zip(parts, crops, strict=True):
        weight = np.minimum(_ramp(crop.height)[:, None], _ramp(crop.width)[None, :])
        where = np.s_[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
        total[where] += weight * part
        weights[where] += weight
    return np.round(total / weights).astype(np.uint8)


def _content(height: int, width: int, scale: float, side: int) -> tuple[int, int, int, int]:
    tall, wide = (min(max(round(length * scale), 1), side) for length in (height, width))
    return (side - tall) // 2, (side - wide) // 2, tall, wide


def _starts(length: int, tile: int, overlap: float) -> list[int]:
    """Where tiles begin along one side: evenly spaced, the first at one end and the last at the other."""
    if length <= tile:
        return [0]
    step = max(int(tile * (1 - overlap)), 1)
    count = 1 + -(-(length - tile) // step)
    return [int(start) for start in np.round(np.linspace(0, length - tile, count))]


def _resize(part: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    if part.shape[:2] == size:
        return part
    image = Image.fromarray(np.ascontiguousarray(part[..., 0] if part.shape[2] == 1 else part))
    resized = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))
    return resized.reshape(*size, part.shape[2])


def _ramp(length: int) -> NDArray[np.float32]:
    """1 at both ends, rising by 1 a pixel towards the middle."""
    places = np.arange(length, dtype=np.float32)
    return np.minimum(places, places[::-1]) + 1
