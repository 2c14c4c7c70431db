"""Finding images and their masks in a folder of class folders, without opening an image."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

from PIL import Image

from dms_jax.data.image_files import read_mask
from dms_jax.errors import UserError

SPLIT_NAMES = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}

_MASKS, _GROUND_TRUTH = "masks", "ground_truth"


@dataclass(frozen=True)
class ListedImage:
    """An image as the user has stored it.

    Attributes:
      name: path relative to the folder or to the CSV, unique.
      image_path: the image's file.
      mask_path: the mask's file; None where there is none.
      label: name of the class; None where it is not given.
      split: `train`, `validation` or `test`; None where it is not given.
      mask_reader: reads the mask's file, as an image of mode L: 0 is sound, 255 is defective.
    """

    name: str
    image_path: Path
    mask_path: Path | None
    label: str | None
    split: str | None
    mask_reader: Callable[[Path], Image.Image] = read_mask


@dataclass(frozen=True)
class Listing:
    """What a user's folder or CSV holds.

    Attributes:
      images: those that can be used, so far as is known without opening them, in the order of names.
      problems: a sentence about each file that can't be used.
      ignored: paths of what is neither an image nor a mask, or lies in no class folder.
      files: the files of all images and masks, usable or not.
      masked: the classes that have masks, usable or not.
      splits: the splits that are named, for usable images or not.
      notes: what the user should know of how the files were understood, one sentence each.
    """

    images: tuple[ListedImage, ...]
    problems: tuple[str, ...]
    ignored: tuple[str, ...]
    files: tuple[Path, ...]
    masked: frozenset[str]
    splits: frozenset[str]
    notes: tuple[str, ...] = ()


def list_folder(root: Path) -> Listing:
    """Lists images in class folders and pairs them with their masks, by their names without extension.

    With split folders (`train`, `validation` or `val`, `test`), images are `<split>/<class>/NAME.*` and masks
    `masks/<split>/<class>/NAME.*`, or for test images `ground_truth/<class>/NAME.*`, as in MVTec AD. Without, they
    are `<class>/NAME.*`, and `masks/<class>/NAME.*` or `ground_truth/<class>/NAME.*`. A mask may also be named
    `NAME_mask.*`. There may be folders within a class, which then are within its masks too. A file is an image if
    Pillow reads files of that extension. Hidden files and folders (`.NAME`) are passed over.

    Args:
      root: the folder.

    Returns:
      What it holds.

    Raises:
      UserError: a folder can't be read.
    """
    layout = _Layout.of(root)
    image_files: dict[str, list[Path]] = defaultdict(list)
    masks: dict[str, list[Path]] = defaultdict(list)
    mask_files, problems, ignored, masked, splits = [], [], [], set(), set()
    for path in layout.files():
        parts = path.relative_to(root).parts
        label = layout.label(parts)
        if _is_mask(parts) and label is not None:
            masked.add(label)
        if not is_text(path):
            problems.append(f"{printable(path)} has a name that is not valid UTF-8: rename it.")
        elif label is None or path.suffix.lower() not in _image_endings():
            ignored.append(str(path))
        elif _is_mask(parts):
            mask_files.append(path)
        else:
            image_files[layout.key(parts)].append(path)
            splits.add(layout.split(parts))

    for path in mask_files:
        key = layout.key(path.relative_to(root).parts)
        key = next((name for name in (key, key.removesuffix("_mask")) if name in image_files), None)
        if key is None:
            problems.append(f"{path} is a mask of no image: remove it, or name it like its image.")
        else:
            masks[key].append(path)

    images = []
    for key, paths in image_files.items():
        several = next((same for same in (paths, masks[key]) if len(same) > 1), None)
        if several is not None:
            listed = " and ".join(map(str, several))
            problems.append(f"{listed} have the same name but for its ending: rename or remove all but one.")
            continue
        parts = paths[0].relative_to(root).parts
        mask_path = masks[key][0] if masks[key] else None
        images.append(ListedImage("/".join(parts), paths[0], mask_path, layout.label(parts), layout.split(parts)))
    return Listing(
        images=tuple(sorted(images, key=lambda image: image.name)),
        problems=tuple(problems),
        ignored=tuple(ignored),
        files=(*(path for paths in image_files.values() for path in paths), *mask_files),
        masked=frozenset(masked),
        splits=frozenset(splits - {None}),
    )


def class_name(text: str) -> str | None:
    """The class that a user's text names: composed characters, single spaces; None where there is no text."""
    return " ".join(unicodedata.normalize("NFC", text).split()) or None


def is_text(path: Path) -> bool:
    """Whether a path is valid UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(path: Path) -> str:
    """A path as text that can be printed, whatever its bytes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class _Layout:
    """Where a folder has what; paths in it are tuples of names.

    Attributes:
      root: the folder.
      split_of: the split that each of its split folders holds; empty where it holds class folders.
    """

    root: Path
    split_of: Mapping[str, str]

    @classmethod
    def of(cls, root: Path) -> Self:
        names = [path.name for path in _entries(root) if path.is_dir()]
        return cls(root, {name: SPLIT_NAMES[name.lower()] for name in names if name.lower() in SPLIT_NAMES})

    def files(self) -> Iterator[Path]:
        """All files of images and masks, and whatever else the root holds, not opened if it is a folder."""
        for path in _entries(self.root):
            belongs = not self.split_of or path.name in self.split_of or _is_mask((path.name,))
            if path.is_dir() and belongs:
                yield from _files_below(path)
            else:
                yield path

    def label(self, parts: Sequence[str]) -> str | None:
        """The class that an image or a mask belongs to; None if it lies in no class folder."""
        place = self._place(parts)[1 if self.split_of else 0 :]
        return class_name(place[0]) if len(place) > 1 else None

    def split(self, parts: Sequence[str]) -> str | None:
        """The split that an image belongs to; None if that is not given."""
        return self.split_of.get(parts[0])

    def key(self, parts: Sequence[str]) -> str:
        """What an image and its mask have in common: split, class and name without extension."""
        split, *rest = self._place(parts)
        place = [SPLIT_NAMES.get(split.lower(), split) if self.split_of else split, *rest]
        # A file system may have decomposed the characters of one name and not of the other.
        return unicodedata.normalize("NFC", os.path.splitext("/".join(place))[0])

    def _place(self, parts: Sequence[str]) -> tuple[str, ...]:
        """The place of an image, or of the image that a mask belongs to."""
        if not _is_mask(parts):
            return tuple(parts)
        tested = parts[0].lower() == _GROUND_TRUTH and self.split_of
        return ("test", *parts[1:]) if tested else tuple(parts[1:])


def _is_mask(parts: Sequence[str]) -> bool:
    return parts[0].lower() in (_MASKS, _GROUND_TRUTH)


@cache
def _image_endings() -> frozenset[str]:
    return frozenset(ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise UserError(f"{printable(folder)} cannot be read ({error.strerror}): change its permissions.") from error


def _files_below(folder: Path) -> Iterator[Path]:
    for path in _entries(folder):
        if path.is_dir():
            yield from _files_below(path)
        else:
            yield path
