"""A page of thumbnails with their defects outlined, to see at a glance what was prepared."""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from dms_jax.data.examples import one_of_each_class
from dms_jax.data.image_files import DEFECT_THRESHOLD
from dms_jax.data.prepared import PreparedDataset
from dms_jax.errors import UsageError, UserError
from dms_jax.whole_files import write_whole

# Surfaces do not have this colour, and its brightness is far from black as well as from white.
_OUTLINE = (255, 0, 255)
_PAPER = (255, 255, 255)
_INK = (0, 0, 0)
_FAINT_INK = (110, 110, 110)
_MOST_COLUMNS = 5
_SIDE = 300
_MARGIN = 16
_LINE = 17
_FONT_SIZE = 13
# An image so many times longer than wide is cut into pieces, at most so many, so far apart.
_LONG = 4
_MOST_PIECES = 8
_GAP = 3


class SheetNotWrittenError(UserError):
    """A contact sheet's file cannot be written."""


def contact_sheet(dataset: PreparedDataset, split: str, *, count: int = 24) -> Image.Image:
    """Draws a few images of every class, each class from a new row on.

    An image is scaled to fit a square, keeping its aspect. One at least four times longer than wide, as of a rail,
    would be a thin line there: it is cut into pieces that are read like lines of text where it is wide, and like
    columns from the left to the right where it is tall. The outline of the mask (> 127) runs one pixel wide around
    the defect, so that a thin crack stays visible inside it. Beneath are the class, the name and the image's own
    height x width. The same dataset gives the same sheet.

    Args:
      dataset: a prepared dataset.
      split: `train`, `validation` or `test`.
      count: how many images at most: the first of each class, then the second of each, and so on.

    Returns:
      An image of mode RGB, at most 1600 pixels wide.

    Raises:
      UsageError: there is no such split, or `count` is below 1.
    """
    if count < 1:
        raise UsageError(f"count of a contact sheet must be at least 1, not {count}.")
    source = dataset.source(split)
    labels = source.labels()
    chosen = one_of_each_class(labels, count)
    title = f"{dataset.name} ({dataset.config}), {split}: {len(chosen)} of {len(source)} images, defects outlined"
    rows = [
        [_entry(source[index], dataset.class_names) for index in indices]
        for indices in _rows([chosen[labels[chosen] == label].tolist() for label in np.unique(labels[chosen])])
    ]
    return _page(title, rows)


def check_sheet_name(path: Path) -> None:
    """Refuses a file that a contact sheet can't be written to, by its name.

    Raises:
      UsageError: it does not end in .png.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path} does not end in .png, which is what a contact sheet is written as: rename it.")


def write_contact_sheet(dataset: PreparedDataset, split: str, path: str | Path, *, count: int = 24) -> None:
    """Draws a contact sheet, see `contact_sheet`, and writes it as PNG, whole or not at all.

    Args:
      dataset: a prepared dataset.
      split: `train`, `validation` or `test`.
      path: where to write it, ending in .png; its folder is created if missing.
      count: how many images at most.

    Raises:
      UsageError: there is no such split, `count` is below 1, or `path` does not end in .png.
      SheetNotWrittenError: the file cannot be written.
    """
    path = Path(path)
    check_sheet_name(path)
    sheet = contact_sheet(dataset, split, count=count)
    try:
        # A prepared dataset's folder may be gone for a moment, while it is prepared anew.
        if path.parent != dataset.directory:
            path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda file: sheet.save(file, format="PNG"))
    except OSError as error:
        raise SheetNotWrittenError(
            f"{path} cannot be written ({error.strerror or error}): choose another file."
        ) from error


# A thumbnail, and the lines beneath it.
_Entry = tuple[Image.Image, tuple[str, ...]]


def _entry(example: Mapping[str, Any], class_names: Sequence[str]) -> _Entry:
    image, label = example["image"], int(example["label"])
    has_mask = example.get("has_mask", True)
    mask = example["mask"][..., 0] > DEFECT_THRESHOLD if has_mask else np.zeros(image.shape[:2], bool)
    height, width = image.shape[:2]
    lines = (
        class_names[label] if label >= 0 else "unlabelled",
        example["name"],
        f"{height} x {width}" + ("" if has_mask else ", mask unknown"),
    )
    return _thumbnail(image, mask), lines


def _rows(classes: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """Break the classes into rows, no wider than the largest class needs if it is spread evenly."""
    most = max(map(len, classes), default=0)
    columns = math.ceil(most / max(1, math.ceil(most / _MOST_COLUMNS)))
    return [members[i : i + columns] for members in classes for i in range(0, len(members), columns)]


def _page(title: str, rows: Sequence[Sequence[_Entry]]) -> Image.Image:
    font = ImageFont.load_default(_FONT_SIZE)
    full_width = _MOST_COLUMNS * (_SIDE + _MARGIN) - _MARGIN
    title = _shortened(title, full_width, font)
    columns = max(map(len, rows), default=0)
    width = max(columns * (_SIDE + _MARGIN) - _MARGIN, math.ceil(font.getlength(title)))
    heights = [max(thumbnail.height for thumbnail, _ in row) for row in rows]
    text_height = max((len(lines) for row in rows for _, lines in row), default=0) * _LINE
    page_height = 2 * _MARGIN + _LINE + sum(heights) + len(rows) * (text_height + _MARGIN)
    page = Image.new("RGB", (width + 2 * _MARGIN, page_height), _PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((_MARGIN, _MARGIN), title, _INK, font)
    bottom = 2 * _MARGIN + _LINE
    for row, height in zip(rows, heights, strict=True):
        bottom += height
        for column, (thumbnail, lines) in enumerate(row):
            left = _MARGIN + column * (_SIDE + _MARGIN)
            page.paste(thumbnail, (left, bottom - thumbnail.height))
            for number, line in enumerate(lines):
                ink = _FAINT_INK if number else _INK
                draw.text((left, bottom + number * _LINE), _shortened(line, _SIDE, font), ink, font)
        bottom += text_height + _MARGIN
    return page


def _thumbnail(image: np.ndarray, mask: np.ndarray) -> Image.Image:
    """Fit an image, uint8 [H, W, 3], with the outline of its mask, bool [H, W], into the square."""
    height, width = mask.shape
    if width > height:
        turned = _thumbnail(image.swapaxes(0, 1), mask.swapaxes(0, 1))
        return turned.transpose(Image.Transpose.TRANSPOSE)
    count = 1
    if height >= _LONG * width:
        # The number that makes the image largest.
        count = max(range(1, _MOST_PIECES + 1), key=lambda n: min(1 / (n * width), n / height))
    # The outline needs a pixel on either side of a piece.
    scale = min(
        ((_SIDE - (count - 1) * _GAP) / count - 2) / width,
        (_SIDE - 2) / math.ceil(height / count),
    )
    pieces = [
        _outlined(*piece, scale)
        for piece in zip(np.array_split(image, count), np.array_split(mask, count), strict=True)
    ]
    step = pieces[0].width + _GAP
    thumbnail = Image.new("RGB", (count * step - _GAP, max(piece.height for piece in pieces)), _PAPER)
    for number, piece in enumerate(pieces):
        thumbnail.paste(piece, (number * step, 0))
    return thumbnail


def _outlined(image: np.ndarray, mask: np.ndarray, scale: float) -> Image.Image:
    """Scale an image and draw the outline of its mask; a pixel of paper around it lets a mask end at its border."""
    size = tuple(max(1, int(length * scale)) for length in mask.shape[::-1])
    enlarged = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
    # A pixel is defective where any of those that it stands for is: of a thin crack nothing gets lost.
    share = Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BOX)
    defect = Image.new("L", (size[0] + 2, size[1] + 2))
    defect.paste(Image.fromarray(np.where(np.asarray(share) > 0, 255, 0).astype(np.uint8)), (1, 1))
    outline = ImageChops.subtract(defect.filter(ImageFilter.MaxFilter(3)), defect)
    result = Image.new("RGB", defect.size, _PAPER)
    result.paste(enlarged, (1, 1))
    result.paste(_OUTLINE, mask=outline)
    return result


def _shortened(text: str, width: int, font: ImageFont.FreeTypeFont) -> str:
    """Take out the middle of a text that is too wide, and what Pillow's font can't draw."""
    # The font has hardly more than ASCII: accents are dropped, other letters become question marks.
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    plain = "".join(c if c.isascii() and c.isprintable() else "?" for c in plain)
    short, kept = plain, len(plain)
    while kept and font.getlength(short) > width:
        kept -= 1
        short = f"{plain[: (kept + 1) // 2]}...{plain[len(plain) - kept // 2 :]}"
    return short
