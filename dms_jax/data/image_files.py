"""Reading images and masks of any common kind into one form, and PNG to keep them in."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from dms_jax.errors import UserError

# What Pillow's readers raise on damaged files, besides OSError (which UnidentifiedImageError is).
_DAMAGE = (SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)

# Above this a mask's pixel is defective, in training and in the metrics.
DEFECT_THRESHOLD = 127

# PNG's number of the filter that keeps the difference to the row above.
_PNG_FILTER_UP = 2

# The files that are looked for in a folder of images, by their suffix in lower case.
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})


def load_image(path: str | Path) -> Image.Image:
    """Reads an image as it is stored, but turned upright where its EXIF data say so.

    Raises:
      UserError: the file is missing, is not an image or is damaged.
    """
    try:
        # Pillow warns of what it reads all the same: many pixels, EXIF data cut short.
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            # In place, because the copy would forget the file's format.
            ImageOps.exif_transpose(image, in_place=True)
            image.load()
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist.") from error
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder, not an image.") from error
    except PermissionError as error:
        raise UserError(f"{path} may not be read: change its permissions.") from error
    except (OSError, *_DAMAGE) as error:
        raise UserError(f"{path} cannot be read as an image ({_first_line(error)}): replace it.") from error
    return image


def read_image(path: str | Path) -> Image.Image:
    """Reads an image of any kind as 8-bit RGB.

    Greyscale is repeated to three equal channels. 1-bit becomes 0 and 255, a palette becomes its colours.
    16-bit greyscale is scaled by 1 / 257, so that 65535 becomes 255 (Pillow would clip at 255); of 16-bit
    colour, Pillow keeps the upper 8 bits. An alpha channel is dropped: the colours are what the camera saw,
    and a background to lay them on would be invented. An image is turned upright where its EXIF data say so,
    as viewers and annotation tools show it. Of several frames, the first is read.

    Args:
      path: the file.

    Returns:
      An image of mode RGB.

    Raises:
      UserError: the file is missing, is not an image, is damaged, or has a pixel format without a known range (32-bit
        integers beyond 65535, floating point).
    """
    return _as_rgb(load_image(path), path)


def read_mask(path: str | Path) -> Image.Image:
    """Reads a mask of any kind as 8-bit greyscale: 0 is sound, 255 is defective, grey edges are kept.

    Greyscale is kept as it is, 1-bit becomes 0 and 255, 16-bit is scaled by 1 / 257, alpha is dropped. A
    palette of greys becomes its greys; in a palette with colours, which stand for class numbers, everything
    but black becomes 255. Of an RGB mask the brightest channel is taken: that is the grey of a grey pixel,
    and a mark painted in pure red or blue counts in full, where luminance would put it below the threshold of
    127.

    Args:
      path: the file.

    Returns:
      An image of mode L.

    Raises:
      UserError: the file is missing, is not an image or is damaged; or its brightest pixel is above 0 and at most 127,
        so that it would count as empty everywhere (class numbers or 0/1 instead of 0/255). JPEG masks, whose black is
        noisy, are exempt from the latter.
    """
    return as_mask(load_image(path), path)


def as_mask(image: Image.Image, path: str | Path) -> Image.Image:
    """Turns a loaded image into a mask, as `read_mask` does; `path` is for the error message.

    Raises:
      UserError: as `read_mask`.
    """
    if image.mode in ("1", "L", "LA"):
        mask = np.asarray(image.convert("L"))
    elif image.mode in ("P", "PA"):
        colours = np.asarray(_as_rgb(image, path))
        all_grey = bool((colours == colours[..., :1]).all())
        mask = colours[..., 0] if all_grey else np.where(colours.any(-1), 255, 0).astype(np.uint8)
    else:
        mask = np.asarray(_as_rgb(image, path)).max(-1)
    brightest = int(mask.max())
    if 0 < brightest <= 127 and image.format != "JPEG":
        raise UserError(
            f"{path} has no pixel above {brightest}, so that no defect would be seen in it: "
            "save the mask with 255 for defective pixels and 0 for sound ones."
        )
    return Image.fromarray(mask)


def read_class_numbers(path: str | Path, largest: int) -> np.ndarray:
    """Reads an annotation whose pixels are class numbers, 0 for none: greyscale, or the indices of a palette.

    Args:
      path: the file.
      largest: the largest class number.

    Returns:
      uint8 [H, W], 0..largest.

    Raises:
      UserError: the file is missing, is not an image, is damaged, or has other pixels or larger numbers.
    """
    image = load_image(path)
    if image.mode not in ("L", "P"):
        raise UserError(f"{path} has pixels of kind {image.mode!r}: save the class numbers as 8-bit greyscale.")
    numbers = np.asarray(image)
    if numbers.max() > largest:
        raise UserError(f"{path} has a pixel of value {numbers.max()}: class numbers are 0 to {largest}.")
    return numbers


def read_pair(
    image_path: str | Path, mask_path: str | Path, mask_reader: Callable[[Path], Image.Image] = read_mask
) -> tuple[Image.Image, Image.Image]:
    """Reads an image and its mask.

    Args:
      image_path: the image, read by `read_image`.
      mask_path: its mask.
      mask_reader: reads the mask, as an image of mode L.

    Returns:
      The image (RGB) and the mask (L), of one size.

    Raises:
      UserError: one of them cannot be read, or their sizes differ.
    """
    image, mask = read_image(image_path), mask_reader(Path(mask_path))
    if image.size != mask.size:
        raise UserError(
            f"{image_path} is {_size(image)} pixels but its mask {mask_path} is {_size(mask)}: "
            "a mask must have the size of its image."
        )
    return image, mask


def encode_png(image: Image.Image) -> bytes:
    """Encodes an image as PNG, without loss.

    Three equal channels are kept as one, which is a third of the bytes and of the decoding time; `decode_png`
    and TFDS's own decoder repeat them.

    Args:
      image: mode L or RGB.

    Returns:
      The bytes of a PNG file.

    Raises:
      ValueError: another mode.
    """
    if image.mode not in ("L", "RGB"):
        raise ValueError(f"image must be of mode L or RGB, not {image.mode}.")
    pixels = np.asarray(image)
    if image.mode == "RGB" and all((pixels[..., 0] == pixels[..., i]).all() for i in (1, 2)):
        pixels = pixels[..., 0]
    height, width = pixels.shape[:2]
    colour_type, strategy = (0, zlib.Z_RLE) if pixels.ndim == 2 else (2, zlib.Z_DEFAULT_STRATEGY)
    # Not by Pillow, which tries five filters on every row and holds on to Python's lock meanwhile. The difference to
    # the row above is 3 to 4 times as fast to write and 1.3 to 1.9 times as fast to read. Repetitions farther back are
    # looked for in colour images alone, of which they save up to a third; grey ones would be a tenth larger
    # (benchmarks/README.md).
    rows = pixels.reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _PNG_FILTER_UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    compressor = zlib.compressobj(level=1, memLevel=9, strategy=strategy)
    data = compressor.compress(filtered) + compressor.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", header) + _png_chunk(b"IDAT", data) + _png_chunk(b"IEND", b"")


def decode_png(data: bytes, channels: int) -> np.ndarray:
    """Decodes what `encode_png` encoded.

    Args:
      data: the bytes of a PNG file, L or RGB.
      channels: 1 or 3; a grey image is repeated to three channels.

    Returns:
      uint8 [H, W, channels].
    """
    # `Image.open` would warn of many pixels at every access.
    with PngImagePlugin.PngImageFile(io.BytesIO(data)) as image:
        if channels == 3:
            return np.array(image.convert("RGB"))
        return np.array(image.convert("L"))[..., None]


def png_size(data: bytes) -> tuple[int, int]:
    """The (H, W) of what `encode_png` encoded, from its header."""
    width, height = struct.unpack(">II", data[16:24])
    return height, width


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def _as_rgb(image: Image.Image, path: str | Path) -> Image.Image:
    if image.mode.startswith("I"):
        pixels = np.asarray(image).astype(np.int64)
        if pixels.min() < 0 or pixels.max() > 65535:
            raise UserError(f"{path} has 32-bit pixels: save it with 8 or 16 bits per channel.")
        image = Image.fromarray(((pixels + 128) // 257).astype(np.uint8))
    elif image.mode == "F":
        raise UserError(f"{path} has floating-point pixels: save it with 8 or 16 bits per channel.")
    elif image.mode in ("P", "PA", "La", "RGBa"):
        # Through RGBA, because a palette may hold transparency, and premultiplied colours must be divided
        # first.
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    try:
        return image.convert("RGB")
    except ValueError as error:
        raise UserError(f"{path} has pixels of kind {image.mode!r}: save it as an 8-bit RGB image.") from error


def _size(image: Image.Image) -> str:
    return f"{image.width} x {image.height}"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
