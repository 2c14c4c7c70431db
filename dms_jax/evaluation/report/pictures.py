"""Small pictures of an image, its truth and its maps, encoded for a page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from dms_jax.data.image_files import DEFECT_THRESHOLD

# Longer sides at most, in pixels: of the image, its truth and its final map; and of the steps before.
_SIDE = 400
_STEP_SIDE = 200
_QUALITY = 75
# Of Pillow's outlines: nothing, the truth's, what is predicted, and both. Surfaces have none of these colours.
_COLOURS = ((0, 0, 0), (255, 0, 255), (0, 229, 255), (255, 255, 255))


@dataclass(frozen=True)
class Pictures:
    """The pictures of one image; WebP, and PNG where a pixel is either one thing or another.

    Attributes:
      image: WebP; None where the image is not at hand.
      truth: PNG, white is defective; None where the mask is unknown.
      outlines: PNG to lay over the image, transparent elsewhere: magenta runs around what is defective, cyan around
        what is predicted; None where there is neither a mask nor a threshold.
      outlined: which of `truth` and `predicted` these are.
      maps: WebP of each output's map, coarse to final.
    """

    image: bytes | None
    truth: bytes | None
    outlines: bytes | None
    outlined: tuple[str, ...]
    maps: tuple[bytes, ...]


def make_pictures(
    image: NDArray[np.uint8] | None,
    mask: NDArray[np.uint8] | None,
    maps: Sequence[NDArray[np.uint8]],
    threshold: int | None,
) -> Pictures:
    """Scale an image and what belongs to it down to a few kilobytes.

    Args:
      image: uint8 [H, W, 3]; None where it is not at hand.
      mask: uint8 [H, W]; > 127 is defective. None where it is unknown.
      maps: uint8 [H, W] each, coarse to final.
      threshold: map > threshold is what the final map predicts, 0..255; None to outline nothing.
    """
    truth = None if mask is None else _reduced(mask > DEFECT_THRESHOLD)
    found = None if threshold is None else _reduced(maps[-1] > threshold)
    return Pictures(
        image=None if image is None else _webp(image, _SIDE),
        truth=None if truth is None else _png(truth.convert("1")),
        outlines=_outlines(truth, found),
        outlined=tuple(name for name, region in (("truth", truth), ("predicted", found)) if region is not None),
        maps=(*(_webp(step, _STEP_SIDE) for step in maps[:-1]), _webp(maps[-1], _SIDE)),
    )


def _size(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """(width, height) of a picture of an array [H, W, ...] that is not enlarged."""
    scale = min(1.0, side / max(shape[:2]))
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def _webp(pixels: NDArray[np.uint8], side: int) -> bytes:
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    size = _size(pixels.shape, side)
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=_QUALITY)
    return file.getvalue()


def _reduced(defective: NDArray[np.bool_]) -> Image.Image:
    """A mask, bool [H, W], as 0 and 255; a pixel stands for several, and is white where any of them is."""
    size = _size(defective.shape, _SIDE)
    picture = Image.fromarray(np.where(defective, np.uint8(255), np.uint8(0)))
    if size == picture.size:
        return picture
    # Bytes would round a thin crack's share of a pixel to nothing.
    share = Image.fromarray(defective.astype(np.float32)).resize(size, Image.Resampling.BOX)
    return Image.fromarray(np.where(np.asarray(share) > 0, np.uint8(255), np.uint8(0)))


def _outlines(truth: Image.Image | None, found: Image.Image | None) -> bytes | None:
    if truth is None and found is None:
        return None
    number = np.uint8(0)
    for bit, region in ((1, truth), (2, found)):
        if region is not None:
            number = number + np.where(np.asarray(_outline(region)) > 0, np.uint8(bit), np.uint8(0))
    picture = Image.fromarray(number)
    picture.putpalette([value for colour in _COLOURS for value in colour])
    return _png(picture, transparency=0)


def _outline(region: Image.Image) -> Image.Image:
    """The pixels around a region; inside of it where it ends at the border."""
    around = ImageChops.subtract(region.filter(ImageFilter.MaxFilter(3)), region)
    border = np.array(region)
    border[1:-1, 1:-1] = 0
    return ImageChops.lighter(around, Image.fromarray(border))


def _png(picture: Image.Image, **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True, **options)
    return file.getvalue()
