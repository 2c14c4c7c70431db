"""Reading a list of images and their masks, labels and splits from a CSV file."""

import csv
import io
import os
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from dms_jax.data.datasets.folder.listing import ListedImage, Listing
from dms_jax.data.datasets.folder.roles import SPLIT_NAMES
from dms_jax.data.datasets.folder.tree import class_name
from dms_jax.errors import UserError
from dms_jax.tables import separator

COLUMNS = ("image", "mask", "label", "split")


def list_csv(path: Path) -> Listing:
    """Lists the images that a CSV file names, without opening one.

    The first line names the columns: `image`, and optionally `mask`, `label` and `split`, in any order. Every other
    line is an image, whose mask, label and split may be empty. Paths are relative to the CSV's folder; Windows'
    backslashes are taken for slashes. Columns are separated by commas, semicolons or tabs, as spreadsheets write them.

    Args:
      path: the CSV file, in UTF-8.

    Returns:
      What it holds.

    Raises:
      UserError: the file can't be read or is no such list.
    """
    images: dict[str, ListedImage] = {}
    problems, files, masked, splits = [], [path], set(), set()
    for line, row in _rows(path):
        image, mask = _resolve(row["image"]), _resolve(row["mask"])
        label, split = class_name(row["label"]), SPLIT_NAMES.get(row["split"].lower())
        files += [path.parent / name for name in (image, mask) if name]
        if mask and label:
            masked.add(label)
        if split:
            splits.add(split)
        if not image:
            problem = "names no image: fill it in or remove the line"
        elif image in images:
            problem = f"names {image} again: remove one of its lines"
        elif row["split"] and not split:
            problem = f"has the unknown split {row['split']!r}: it is one of train, validation, test, or empty"
        elif not (mask or label):
            problem = f"gives {image} neither a mask nor a label: fill in one of them or remove the line"
        elif missing := [name for name in (image, mask) if name and not os.path.exists(path.parent / name)]:
            problem = f"names {missing[0]}, which does not exist in {path.parent}: correct the path or remove the line"
        else:
            mask_path = path.parent / mask if mask else None
            images[image] = ListedImage(image, path.parent / image, mask_path, label, split)
            continue
        problems.append(f"{path}, line {line}, {problem}.")
    return Listing(
        images=tuple(images[name] for name in sorted(images)),
        problems=tuple(problems),
        ignored=(),
        files=tuple(files),
        masked=frozenset(masked),
        splits=frozenset(splits),
        notes=tuple(_of_shared_masks(images.values())),
    )


def _of_shared_masks(images: Iterable[ListedImage]) -> Iterator[str]:
    """Exposures of one surface may share a mask, and sound images a black one; or a cell was copied down a column."""
    counts = Counter(image.mask_path for image in images if image.mask_path)
    shared = [(path, count) for path, count in counts.most_common() if count > 1]
    if shared:
        path, count = shared[0]
        several = "1 mask is that" if len(shared) == 1 else f"{len(shared)} masks are those"
        yield f"{several} of several images, such as {path.name} of {count}."


def _rows(path: Path) -> list[tuple[int, Mapping[str, str]]]:
    """The lines of a CSV with their numbers: a text, possibly empty, for each of `COLUMNS`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: save it as CSV in UTF-8.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): change its permissions.") from error
    reader = csv.reader(io.StringIO(text), delimiter=separator(text), strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        if "image" not in names or len(set(names)) < len(names):
            raise UserError(f"{path} must begin with a line of column names, which are {', '.join(COLUMNS)}.")
        for name in names:
            if name not in COLUMNS:
                raise UserError(f"{path} has the unknown column {name!r}: rename or remove it ({', '.join(COLUMNS)}).")
        rows = []
        for cells in reader:
            if len(cells) > len(names):
                raise UserError(
                    f"{path}, line {reader.line_num}, has {len(cells)} cells for {len(names)} columns: "
                    "put cells that hold a comma in quotation marks."
                )
            if any(cell.strip() for cell in cells):
                given = dict(zip(names, (cell.strip() for cell in cells), strict=False))
                rows.append((reader.line_num, dict.fromkeys(COLUMNS, "") | given))
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}, is not valid CSV ({error}): correct it.") from error
    if not rows:
        raise UserError(f"{path} lists no images: add a line for each.")
    return rows


def _resolve(cell: str) -> str:
    """The path in a cell, relative to the CSV, in its shortest form; empty for an empty cell."""
    return posixpath.normpath(cell.replace("\\", "/")) if cell else ""
