"""Reading masks of any common kind into one form."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops

from dms_jax.data.image_files import DEFECT_THRESHOLD, FRAMES, as_rgb, declared_values, load_image, read_image
from dms_jax.data.library_warnings import library_warnings_ignored
from dms_jax.data.mask_guesses import (
    guess_colours,
    guess_grey,
    mask_of_alpha,
    refuse_photograph,
    refuse_without_black,
)
from dms_jax.data.mask_values import HOW_TO_DECLARE, MaskValues
from dms_jax.errors import UserError

# More levels than a mask has that was drawn.
_FEW_LEVELS = 16
# Pillow's names of formats, and of compressions in a TIFF, that lose something, or may.
_LOSSY = frozenset({"JPEG", "MPO", "JPEG2000", "WEBP", "AVIF"})
_LOSSY_IN_TIFF = frozenset({"jpeg", "tiff_jpeg", "webp"})
# The palette entry with which PASCAL VOC marks borders that belong to no class.
_VOID = 255


def read_mask(path: str | Path, values: MaskValues | None = None) -> Image.Image:
    """Reads a mask of any kind as 8-bit greyscale: 0 is sound, 255 is defective, grey edges are kept.

    Without `values`: greyscale is kept as it is, 1-bit becomes 0 and 255. 16-bit values are taken for 8-bit ones if
    none is above 255, and scaled by 1 / 257 otherwise. A palette of greys becomes its greys; in a palette with colours,
    which stand for class numbers, everything but black becomes 255. Of an RGB mask the brightest channel is taken: that
    is the grey of a grey pixel, and a mark painted in pure red or blue counts in full, where luminance would put it
    below the threshold of 127; where darker colours fill areas, everything but black becomes 255. An alpha channel is
    the mask if the colours are the same everywhere, or wherever they can be seen, or are a photograph of which less
    than half can be seen; it is dropped if only black is hidden by it. What a file says of its values holds, see
    `read_image`.

    Args:
      path: the file.
      values: which of the file's values are defective.

    Returns:
      An image of mode L.

    Raises:
      UserError: the file is missing, is not an image or is damaged, or `values` do not fit it; or, without `values`, it
        is not certain what is defective, or it is a photograph (see `dms_jax.data.mask_guesses`).
    """
    image = load_image(path)
    if values is None and image.mode != "F" and _alpha_mask(image, path) is None:
        deep = image.mode.startswith("I")
        brightest = float(np.asarray(image).max()) if deep else 0
        plain = image if image.mode == "L" else as_rgb(image, path, (0, max(brightest, 1)) if deep else None)
        refuse_photograph(np.asarray(plain), path)
    return as_mask(image, path, values)


def read_united_mask(path: str | Path, others: Sequence[str | Path], values: MaskValues | None = None) -> Image.Image:
    """Reads several masks of one image as one: a pixel is as defective as in that which has it brightest.

    Args:
      path: the first.
      others: the others.
      values: see `read_mask`.

    Raises:
      UserError: as `read_mask`; or the masks differ in size.
    """
    united = read_mask(path, values)
    for other in others:
        mask = read_mask(other, values)
        if mask.size != united.size:
            raise UserError(
                f"{path} is {_size(united)} pixels but {other}, another mask of its image, is {_size(mask)}: "
                "save them in one size."
            )
        # What one ignores, another may know to be defective.
        united = ImageChops.lighter(united, mask)
    return united


def as_mask(image: Image.Image, path: str | Path, values: MaskValues | None = None) -> Image.Image:
    """Turns a loaded image into a mask, as `read_mask` does; `path` is for the error message.

    Raises:
      UserError: as `read_mask`, but for photographs.
    """
    if image.info.get(FRAMES, 1) > 1:
        raise UserError(f"{path} holds {image.info[FRAMES]} images: save the one that is the mask alone.")
    if image.mode == "F":
        raise UserError(
            f"{path} has floating-point values: save the mask with 8 bits, 255 for defective pixels and 0 for sound "
            "ones."
        )
    is_lossy = image.format in _LOSSY or image.info.get("compression") in _LOSSY_IN_TIFF
    if values is not None:
        if is_lossy:
            raise UserError(f"{path} is compressed with loss, so that its values are not exact: save it as PNG.")
        stored = _stored_values(image, path)
        if image.mode == "1" and not values.names(255):
            # Who declares 1 means the bits.
            stored = stored // 255
        return Image.fromarray(values.select(stored, path))
    alpha = _alpha_mask(image, path)
    if alpha is not None:
        return Image.fromarray(guess_grey(np.ascontiguousarray(alpha), path, is_lossy=False))
    if image.mode in ("1", "L", "LA"):
        return Image.fromarray(guess_grey(np.asarray(image.convert("L")), path, is_lossy=is_lossy))
    if image.mode.startswith("I"):
        return _deep_mask(image, path)
    colours = np.asarray(as_rgb(image, path))
    if (colours == colours[..., :1]).all():
        return Image.fromarray(guess_grey(np.ascontiguousarray(colours[..., 0]), path, is_lossy=is_lossy))
    if image.mode in ("P", "PA"):
        _refuse_void(image, path)
        refuse_without_black(colours, path)
        return Image.fromarray(np.where(colours.any(-1), 255, 0).astype(np.uint8))
    return Image.fromarray(guess_colours(colours, path, is_lossy=is_lossy))


def _alpha_mask(image: Image.Image, path: str | Path) -> np.ndarray | None:
    """The alpha channel where it is the mask, uint8 [H, W]; None where the colours are."""
    if not image.has_transparency_data:
        return None
    rgba = np.asarray(image.convert("RGBA"))
    return mask_of_alpha(rgba[..., :3], rgba[..., 3], path)


def _deep_mask(image: Image.Image, path: str | Path) -> Image.Image:
    """A mask of 16 or 32 bits: 8 bits if nothing is above 255, else the upper 8 of 16 are what counts, however dark."""
    pixels, declared = np.asarray(image), declared_values(image)
    if pixels.min() < 0:
        raise UserError(
            f"{path} has pixels below 0 ({pixels.min()}): save it with 255 for defective pixels and 0 for sound ones."
        )
    if pixels.max() <= 255:
        levels = pixels.astype(np.uint8)
        if declared.white_is_zero:
            if 0 < levels.max() <= DEFECT_THRESHOLD:
                raise UserError(
                    f"{path} has no value above {levels.max()}, and white is 0 in it (WhiteIsZero): save the mask with "
                    "255 for defective pixels and 0 for sound ones."
                )
            levels = 255 - levels
        return Image.fromarray(guess_grey(levels, path, is_lossy=False))
    levels = np.asarray(as_rgb(image, path, declared.value_range(pixels) or (0, 65535)))[..., 0]
    try:
        return Image.fromarray(guess_grey(np.ascontiguousarray(levels), path, is_lossy=False))
    except UserError as error:
        stored = np.unique(pixels)
        shown = ", ".join(map(str, stored[:8])) + (" and more" if len(stored) > 8 else "")
        raise UserError(
            f"{path} has 16-bit values ({shown}), not all of which are clearly sound or defective: say which are "
            f"defective {HOW_TO_DECLARE}."
        ) from error


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
    image_path: str | Path,
    mask_path: str | Path,
    mask_reader: Callable[[Path], Image.Image] = read_mask,
    image_reader: Callable[[Path], Image.Image] = read_image,
) -> tuple[Image.Image, Image.Image]:
    """Reads an image and its mask.

    Args:
      image_path: the image.
      mask_path: its mask.
      mask_reader: reads the mask, as an image of mode L.
      image_reader: reads the image, as one of mode RGB.

    Returns:
      The image (RGB) and the mask (L), of one size.

    Raises:
      UserError: one of them cannot be read, their sizes differ, or the mask is a copy of the image.
    """
    image, mask = image_reader(Path(image_path)), mask_reader(Path(mask_path))
    if image.size != mask.size:
        turned = image.size == mask.size[::-1] and _is_turned(image_path)
        reason = (
            ", and the image is turned by its EXIF data: turn the mask likewise, or save the image without them."
            if turned
            else ": a mask must have the size of its image."
        )
        raise UserError(f"{image_path} is {_size(image)} pixels but its mask {mask_path} is {_size(mask)}{reason}")
    if mask.getextrema()[1] and _is_copy(np.asarray(image.convert("L")), np.asarray(mask)):
        raise UserError(f"{mask_path} is a copy of its image {image_path}: put the mask there.")
    return image, mask


def _stored_values(image: Image.Image, path: str | Path) -> np.ndarray:
    """What a declared rule is about: numbers [H, W] or colours [H, W, 3]."""
    if image.mode in ("L", "P") or image.mode.startswith("I"):
        # As Pillow does it with 8 bits.
        return 65535 - np.asarray(image) if declared_values(image).white_is_zero else np.asarray(image)
    if image.mode in ("1", "LA"):
        return np.asarray(image.convert("L"))
    if image.mode == "PA":
        return np.asarray(image.getchannel("P"))
    return np.asarray(as_rgb(image, path))


def _refuse_void(image: Image.Image, path: str | Path) -> None:
    numbers_of = np.asarray(image.getchannel("P") if image.mode == "PA" else image)
    indices = np.unique(numbers_of)
    black = np.unique(numbers_of[~np.asarray(as_rgb(image, path)).any(-1)])
    if len(black) > 1:
        raise UserError(
            f"{path} shows the numbers {', '.join(map(str, black))} of its palette in black alike: say which values "
            f"are defective {HOW_TO_DECLARE}."
        )
    if _VOID in indices and len(indices) > 2:
        numbers = f"{indices[1]}-{indices[-2]}" if indices[-2] > indices[1] else f"{indices[1]}"
        raise UserError(
            f"{path} has the class numbers {', '.join(map(str, indices[:-1]))} and {_VOID}, which often marks borders "
            f"of no class: say which values are defective {HOW_TO_DECLARE}, such as {numbers},ignore:{_VOID}."
        )


def _is_copy(grey: np.ndarray, mask: np.ndarray) -> bool:
    """Whether a mask is its image, perhaps saved with loss or in another contrast."""
    if np.array_equal(grey, mask):
        return True
    if np.count_nonzero(np.bincount(mask.ravel(), minlength=256)) <= _FEW_LEVELS:
        return False
    # Of an image of one grey there is no correlation, which is not for the user to hear of.
    with np.errstate(invalid="ignore"):
        return bool(np.corrcoef(grey.ravel(), mask.ravel())[0, 1] > 0.98)


def _is_turned(path: str | Path) -> bool:
    with library_warnings_ignored(), Image.open(path) as image:
        return image.getexif().get(0x0112, 1) != 1


def _size(image: Image.Image) -> str:
    return f"{image.width} x {image.height}"
