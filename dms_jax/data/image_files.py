"""Reading images of any common kind into one form."""

import os
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from dms_jax.data.declared_values import DeclaredValues, is_misread, is_of_sixteen_bits, read_declaration
from dms_jax.data.library_warnings import library_warnings_ignored
from dms_jax.errors import UserError

# What Pillow's readers raise on damaged files. A damaged header may ask for any amount of memory.
DAMAGE = (
    *(OSError, SyntaxError, ValueError, TypeError, EOFError, struct.error, zlib.error, MemoryError),
    Image.DecompressionBombError,
)

# Larger images are refused, before any memory is taken for their pixels: Pillow's own limit, twice that of its warning.
MOST_PIXELS = 178_956_970

# Above this a mask's pixel is defective, in training and in the metrics.
DEFECT_THRESHOLD = 127

# A mask's pixel that counts neither in the loss nor in the metrics, in datasets that have such (`ignores`). To whoever
# does not ask, it is sound.
IGNORED = 1

# The brightest pixel of 16 bits that is suspected to come from a camera of fewer: a quarter of the range.
_DARK = 2**14 - 1
_WHOLE_RANGE = (0, 65535)
# Of `load_image`: how many images the file holds, of which the first is read.
FRAMES = "dms_jax: frames"
# Of `load_image`: in the file there are 16 bits per channel, of which Pillow keeps the upper 8.
_DEEP_COLOUR = "dms_jax: 16 bits per channel"

# Of `load_image`: what the file says of its values, see `declared_values`.
_DECLARED = "dms_jax: declared values"

# The files that are looked for in a folder of images, by their suffix in lower case.
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})


def load_image(path: str | Path) -> Image.Image:
    """Reads an image as it is stored, but turned upright where its EXIF data say so.

    Raises:
      UserError: the file is missing, is not an image or is damaged, or has more pixels than `MOST_PIXELS`: a small file
        may claim to hold more than there is memory for.
    """
    try:
        # Not by its path, with which Pillow maps grey TIFFs that are stored turned by 90 degrees into other rows.
        with library_warnings_ignored(), open(path, "rb") as file, Image.open(_not_empty(file)) as image:
            # In place, because the copy would forget the file's format.
            frames = getattr(image, "n_frames", 1) if image.format in ("TIFF", "GIF", "PNG", "WEBP") else 1
            said, misread = _said_by_file(image, path), is_misread(image)
            ImageOps.exif_transpose(image, in_place=True)
            image.load()
            if image.format == "PNG":
                _verify_png(path)
            image.info[FRAMES] = frames
            image.info.update(said)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist.") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder, not an image: name a file.") from error
    except PermissionError as error:
        raise UserError(f"{path} may not be read: change its permissions.") from error
    except Image.DecompressionBombError as error:
        most = MOST_PIXELS // 10**6
        raise UserError(
            f"{path} has more than the {most} million pixels that are read: cut it into smaller images, or shrink it."
        ) from error
    except DAMAGE as error:
        raise UserError(f"{path} cannot be read as an image ({_first_line(error)}): replace it.") from error
    if misread:
        raise _wrong_order(path)
    return image


def upright(image: Image.Image, name: str) -> Image.Image:
    """An image that somebody has opened or made, turned upright where its EXIF data say so, as `load_image` reads it.

    Where it is a file that Pillow has opened, what that says of its values is known to `as_rgb`.

    Args:
      image: not changed, but for reading its pixels. What has been read already stays as Pillow has read it: scrambled,
        of a grey TIFF that is stored turned by 90 degrees.
      name: of it, for the error message.

    Raises:
      UserError: its values would be read in the wrong order.
    """
    if not isinstance(image, ImageFile.ImageFile):
        return ImageOps.exif_transpose(image)
    if is_misread(image):
        raise _wrong_order(name)
    path = image.filename
    said = _said_by_file(image, path if os.path.isfile(path) else "")
    try:
        if image.format == "TIFF":
            # By its path, Pillow would scramble it, see `load_image`.
            image.filename = ""
        turned = ImageOps.exif_transpose(image)
    finally:
        image.filename = path
    turned.info.update(said)
    return turned


def _said_by_file(image: Image.Image, path: str | Path) -> dict[Any, Any]:
    """What the file of an opened image says of its values, as entries of its `info`."""
    said: dict[Any, Any] = {_DECLARED: read_declaration(image, path)}
    if image.mode in ("RGB", "RGBA", "LA") and is_of_sixteen_bits(image):
        said[_DEEP_COLOUR] = True
    return said


def _wrong_order(path: str | Path) -> UserError:
    return UserError(f"{path} is a compressed TIFF whose values would be read in the wrong order: save it as PNG.")


def _not_empty(file: BinaryIO) -> BinaryIO:
    if not os.fstat(file.fileno()).st_size:
        raise OSError("it is empty")
    return file


def _verify_png(path: str | Path) -> None:
    """Check a PNG's check sums, which Pillow passes over where it reads pixels: a mask may have other ones unnoticed.

    It takes 4 % (grey photographs of 2048 x 1536) to 11 % (masks of 300 x 300) of what reading the image does.

    Raises:
      OSError, SyntaxError, ValueError, struct.error: it is damaged.
    """
    with Image.open(path, formats=("PNG",)) as image:
        image.verify()


def declared_values(image: Image.Image) -> DeclaredValues:
    """What the file of a loaded image says of its values; nothing of an image that `load_image` has not read."""
    return image.info.get(_DECLARED, DeclaredValues())


def read_image(path: str | Path, value_range: tuple[float, float] | None = None) -> Image.Image:
    """Reads an image of any kind as 8-bit RGB.

    Greyscale is repeated to three equal channels. 1-bit becomes 0 and 255, a palette becomes its colours. 16-bit
    greyscale is scaled by 1 / 257, so that 65535 becomes 255 (Pillow would clip at 255); of 16-bit colour, Pillow keeps
    the upper 8 bits, whatever the `value_range`. Where the file says that its values have fewer bits (a TIFF of 12,
    sBIT of a PNG), the largest of these becomes 255; where it says that white is 0 (a TIFF's WhiteIsZero), 0 does. An
    alpha channel is dropped: the colours are what the camera saw, and a background to lay them on would be invented. An
    image is turned upright where its EXIF data say so, as viewers and annotation tools show it. Of several frames, the
    first is read.

    Args:
      path: the file.
      value_range: (low, high) of the camera's values, which become 0 and 255 (255 and 0 where white is 0), in greyscale
        of more than 8 bits; None for what the file says, or (0, 65535).

    Returns:
      An image of mode RGB.

    Raises:
      UserError: the file is missing, is not an image, is damaged, has a pixel format without a known range (32-bit
        integers beyond 65535, floating point), or keeps fewer bits in 16 without saying so (all but a thousandth of its
        pixels are at most 16383), and `value_range` is not given.
    """
    return as_rgb(load_image(path), path, value_range)


def as_rgb(image: Image.Image, path: str | Path, value_range: tuple[float, float] | None = None) -> Image.Image:
    """Turns a loaded image into 8-bit RGB, as `read_image` does; `path` is for the error message.

    Raises:
      UserError: as `read_image`.
    """
    if image.mode.startswith("I") or image.mode == "F":
        declared, pixels = declared_values(image), np.asarray(image)
        levels = _eight_bits(pixels, path, value_range or declared.value_range(pixels), declared.white_is_zero)
        image = Image.fromarray(255 - levels if declared.white_is_zero else levels)
    elif image.mode in ("P", "PA", "La", "RGBa"):
        # Through RGBA, because a palette may hold transparency, and premultiplied colours must be divided
        # first.
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    elif (
        image.info.get(_DEEP_COLOUR)
        and value_range != _WHOLE_RANGE
        and 0 < (brightest := _brightest(image)) <= _DARK >> 8
    ):
        raise UserError(
            f"{path} has 16 bits per channel, of which it uses fewer (nothing is brighter than {brightest} of 255): "
            "save it with 8 bits per channel, scaled to the camera's range (or say value_range 0,65535 if it is as "
            "dark as that)."
        )
    try:
        image = image.convert("RGB")
    except ValueError as error:
        raise UserError(f"{path} has pixels of kind {image.mode!r}: save it as an 8-bit RGB image.") from error
    # A transparent colour that Pillow leaves there would be written again, for other channels.
    image.info.pop("transparency", None)
    return image


def _brightest(image: Image.Image) -> int:
    """The largest value of the colours of an image of mode RGB, RGBA or LA."""
    # An alpha channel is white everywhere, mostly.
    return max(image.getchannel(name).getextrema()[1] for name in image.getbands() if name != "A")


def _eight_bits(
    pixels: NDArray[Any], path: str | Path, value_range: tuple[float, float] | None, white_is_zero: bool
) -> NDArray[np.uint8]:
    if value_range is not None:
        low, high = value_range
        scaled = np.round((pixels.astype(np.float64) - low) * (255 / (high - low)))
        if np.isnan(scaled).any():
            raise UserError(f"{path} has pixels that are no numbers (NaN): save it without.")
        return scaled.clip(0, 255).astype(np.uint8)
    if pixels.dtype.kind == "f":
        raise UserError(
            f"{path} has floating-point pixels ({pixels.min():.4g} to {pixels.max():.4g}): say which values are black "
            "and white with value_range, or save it with 8 or 16 bits per channel."
        )
    integers = pixels.astype(np.int64)
    brightest = int(integers.max())
    if integers.min() < 0 or brightest > 65535:
        raise UserError(
            f"{path} has 32-bit pixels ({integers.min()} to {brightest}): say which values are black and white with "
            "value_range, or save it with 8 or 16 bits per channel."
        )
    # But for a few hot pixels.
    bright = int(np.percentile(integers, 99.9, method="lower")) if brightest > _DARK else brightest
    if brightest > 0 and bright <= _DARK:
        bits = next(bits for bits in (8, 10, 12, 14) if bright < 2**bits)
        raise UserError(
            f"{path} has 16-bit pixels, the {'darkest' if white_is_zero else 'brightest'} of which is {bright} of "
            f"65535, and would be nearly {'white' if white_is_zero else 'black'}: say "
            f"which values are black and white with value_range (0,{2**bits - 1} for a camera of {bits} bits; 0,65535 "
            "if the image is as dark as that), or save it with 8 bits."
        )
    return ((integers + 128) // 257).astype(np.uint8)


def _first_line(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        # Pillow's sentence shows the object that the file was opened as.
        return "its format is unknown, or its beginning is damaged"
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
