"""The files below a folder, by what the names of the folders around them say that they are for."""

import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Self

from PIL import Image

from dms_jax.data.class_names import is_free_name
from dms_jax.data.datasets.folder.masks import Place
from dms_jax.data.datasets.folder.roles import role_of
from dms_jax.data.prediction_folders import written_folders
from dms_jax.errors import UserError

# What archives and file servers add.
_SKIPPED = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"})


@dataclass
class Tree:
    """The files below a folder, by what they are for.

    Attributes:
      images: files of images, or of what lies beside them.
      masks: files in folders of masks.
      problems: a sentence about each file whose name can't be used.
      ignored: paths of what is neither, or is not looked at.
      masked: the classes that have masks, usable or not.
    """

    images: list[Place] = field(default_factory=list)
    masks: list[Place] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    masked: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, inner: Path) -> Self:
        """The files below `inner`, which is `root` or in it, but for hidden ones.

        Raises:
          UserError: a folder can't be read.
        """
        tree = cls()
        entries = _entries(inner)
        folders = [path for path in entries if path.is_dir()]
        has_splits = any(role_of(folder.name).split for folder in folders)
        for path in entries:
            if not path.is_dir():
                tree._add(path, ())
            elif has_splits and role_of(path.name).is_other:
                tree.ignored.append(str(path))
            else:
                tree._add_folder(path, (path.name,), (os.path.realpath(inner),))
        return tree

    def _add_folder(self, folder: Path, names: tuple[str, ...], above: tuple[str, ...]) -> None:
        real = os.path.realpath(folder)
        if real in above:
            # A link to where it lies.
            return
        for path in _entries(folder):
            if path.is_dir():
                self._add_folder(path, (*names, path.name), (*above, real))
            elif path.is_file() or path.is_symlink():
                # No pipe, which would be waited for.
                self._add(path, names)

    def _add(self, path: Path, names: tuple[str, ...]) -> None:
        roles = [role_of(name) for name in names]
        others = [name for name, role in zip(names, roles, strict=True) if role.is_other]
        label = class_name(others[0]) if others else None
        is_mask = any(role.holds == "masks" for role in roles)
        if is_mask and label is not None and is_text(path):
            self.masked.add(label)
        if not is_text(path):
            self.problems.append(f"{printable(path)} has a name that is not valid UTF-8: rename it.")
        elif path.suffix.lower() not in _image_endings():
            self.ignored.append(str(path))
        else:
            # A file system may have decomposed the characters of one name and not of the other.
            place = Place(
                path=path,
                split=next((role.split for role in roles if role.split), None),
                label=label,
                below=tuple(unicodedata.normalize("NFC", name) for name in others[1:]),
                stem=unicodedata.normalize("NFC", path.stem),
                tested=any(role.is_ground_truth for role in roles),
                among_images=any(role.holds == "images" for role in roles),
            )
            (self.masks if is_mask else self.images).append(place)


def unwrap(root: Path) -> tuple[Path, list[str]]:
    """The folder that holds classes, splits, images or masks, inside of outer ones, and what to say of that."""
    inner = root
    while (below := _only_folder(inner)) is not None and _is_outer(below, os.path.realpath(inner)):
        inner = below
    return inner, ([] if inner == root else [f"{inner} is taken for the dataset: it alone is in {root}."])


def _only_folder(folder: Path) -> Path | None:
    """The folder in a folder, if there is but one, and no image beside it."""
    entries = _entries(folder)
    folders = [path for path in entries if path.is_dir()]
    has_images = any(path.suffix.lower() in _image_endings() for path in entries if path not in folders)
    return folders[0] if len(folders) == 1 and not has_images else None


def _is_outer(folder: Path, above: str) -> bool:
    """Whether a folder that is alone in another is no class, but has classes, splits, images or masks in it."""
    if not role_of(folder.name).is_other or is_free_name(folder.name) or os.path.realpath(folder) == above:
        return False
    below = _only_folder(folder)
    if below is not None:
        return not role_of(below.name).is_other or _is_outer(below, os.path.realpath(folder))
    names = [path.name for path in _entries(folder) if path.is_dir()]
    return len(names) > 1


def refuse_several_datasets(root: Path, inner: Path) -> None:
    """Check that the folders in `inner`, which is `root` or in it, are not datasets themselves.

    Raises:
      UserError: one is, or a folder can't be read.
    """
    folders = [path for path in _entries(inner) if path.is_dir()]
    if any(role_of(path.name).split for path in folders):
        return
    _refuse_datasets(root, [path for path in folders if role_of(path.name).is_other and _is_dataset(path)])


def refuse_datasets_further_down(root: Path, images: Iterable[Place]) -> None:
    """Check that no class of the images in a folder has a class free of defects anywhere in it.

    Raises:
      UserError: one has, such as `2026-01/line 1/good`.
    """
    nested = [image for image in images if image.split is None and any(map(is_free_name, image.below))]
    folders = {next(path for path in image.path.parents if class_name(path.name) == image.label) for image in nested}
    _refuse_datasets(root, sorted(folders))


def _refuse_datasets(root: Path, datasets: Sequence[Path]) -> None:
    if datasets:
        names = ", ".join(path.name for path in datasets)
        raise UserError(
            f"{root} holds {'several datasets' if len(datasets) > 1 else 'a dataset'} ({names}) where classes are "
            f"expected: name one as manual_dir, such as {datasets[0]}."
        )


def _is_dataset(folder: Path) -> bool:
    """Whether a folder in the place of a class has splits with classes in them, or a class free of defects."""
    below = [path for path in _entries(folder) if path.is_dir()]
    if any(is_free_name(path.name) for path in below):
        return True
    return any(
        role_of(path.name).split and any(other.is_dir() and role_of(other.name).is_other for other in _entries(path))
        for path in below
    )


def passed_over(names: Iterable[str]) -> frozenset[str]:
    """Those of the names in a folder that are not looked at: hidden ones, and what is none of the user's images."""
    given = frozenset(names)
    # Maps and overlays would be taken for masks, or for more images.
    skipped = _SKIPPED | written_folders(given)
    return frozenset(name for name in given if name.startswith(".") or name in skipped)


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


@cache
def _image_endings() -> frozenset[str]:
    return frozenset(ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN)


def _entries(folder: Path) -> list[Path]:
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{printable(folder)} cannot be read ({error.strerror}): change its permissions.") from error
    skipped = passed_over(path.name for path in paths)
    return [path for path in paths if path.name not in skipped]
