"""Finding images and their masks in a folder of class folders, without opening an image."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Self

from PIL import Image

from dms_jax.data.datasets.folder.masks import Pairing, Place, pair_masks
from dms_jax.data.datasets.folder.roles import is_free_name, masked_names, role_of, says_mask
from dms_jax.data.mask_files import read_mask, read_united_mask
from dms_jax.errors import UserError

# What archives and file servers add.
_SKIPPED = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"})


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
    """Lists images in class folders and pairs them with their masks, by the names of folders and files.

    Folders whose names say a split (`train`, `training`, `val`, `validation`, `test`, `testing`), masks (`masks`, `gt`,
    `ground_truth`, `labels`, `annotations`) or images (`images`, `img`), also together or with `dir` and the like
    (`train_masks`, `img_dir`), may be nested in any order; the first other folder on the way to an image is its class.
    `docs/layouts.md` shows what that comes to. Masks may also lie beside their images, as `NAME_mask.*` and the like.
    A mask's image is found by `dms_jax.data.datasets.folder.masks.pair_masks`. Images that have a mask need no class
    folder. One outer folder around everything is passed through. A file is an image if Pillow reads files of that
    ending. Hidden files and folders (`.NAME`) are passed over, and links to a folder that they lie in.

    Args:
      root: the folder.

    Returns:
      What it holds.

    Raises:
      UserError: a folder can't be read, or `root` holds several datasets.
    """
    inner, notes = _unwrap(root)
    _refuse_several_datasets(root, inner)
    tree = _Tree.read(root, inner)
    images, masks = tree.images, tree.masks
    beside = _masks_beside(images, masks)
    images = [place for place in images if place not in beside]
    masks = [*masks, *beside]
    has_splits = any(place.split for place in (*images, *masks))
    if beside:
        notes.append(f"{len(beside)} files beside images are taken for their masks, such as {beside[0].path.name}.")

    problems = list(tree.problems)
    same_name = _same_names(images)
    problems += [
        f"{' and '.join(str(place.path) for place in places)} have the same name but for its ending: rename or remove "
        "all but one."
        for places in same_name
    ]
    doubled = {place for places in same_name for place in places}
    pairing = pair_masks([place for place in images if place not in doubled], masks, has_splits=has_splits)
    notes += pairing.notes
    # Masks of an image that cannot be used are no problem of their own.
    doubled_keys = {(place.split, place.label, place.below, place.stem) for place in doubled}
    for mask in pairing.unmatched:
        key = (mask.split, mask.label, mask.below, mask.stem)
        flat = mask.label is None and mask not in beside
        if flat and not any(image.label is None for image in pairing.masks) and not _any_flat(pairing):
            tree.ignored.append(str(mask.path))
        elif key not in doubled_keys:
            problems.append(f"{mask.path} is a mask of no image: remove it, or name it like its image.")
    for mask, owners in pairing.ambiguous.items():
        problems.append(
            f"{mask.path} could be the mask of {' or of '.join(str(owner.path) for owner in owners[:3])}: put masks "
            "into folders of splits and classes, as the images are."
        )
    for places in pairing.clashes.values():
        listed = " and ".join(sorted(str(place.path) for place in places))
        problems.append(f"{listed} have the same name but for its ending: rename or remove all but one.")

    listed_images, unlabelled = [], []
    for place in images:
        if place in doubled or place in pairing.clashes:
            continue
        parts = sorted(pairing.masks.get(place, ()), key=lambda mask: mask.path)
        if place.label is None and not parts:
            unlabelled.append(place)
            continue
        paths = tuple(mask.path for mask in parts)
        listed_images.append(
            ListedImage(
                name=place.path.relative_to(root).as_posix(),
                image_path=place.path,
                mask_path=paths[0] if paths else None,
                label=place.label,
                split=place.split,
                mask_reader=partial(read_united_mask, others=paths[1:]) if paths[1:] else read_mask,
            )
        )
    if any(image.label is None for image in listed_images):
        problems += [
            f"{place.path} has no mask and lies in no class folder: add its mask, black if it shows no defect, or put "
            "images into folders named after their classes."
            for place in unlabelled
        ]
    else:
        tree.ignored += [str(place.path) for place in unlabelled]
    return Listing(
        images=tuple(sorted(listed_images, key=lambda image: image.name)),
        problems=tuple(problems),
        ignored=tuple(tree.ignored),
        files=tuple(place.path for place in (*tree.images, *tree.masks)),
        masked=frozenset({*tree.masked, *(place.label for place in beside if place.label)}),
        splits=frozenset({place.split for place in images} - {None}),
        notes=tuple(notes),
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


@dataclass
class _Tree:
    """The files below a folder, by what they are for."""

    root: Path
    images: list[Place] = field(default_factory=list)
    masks: list[Place] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    masked: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, root: Path, inner: Path) -> Self:
        tree = cls(root)
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
            else:
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
            )
            (self.masks if is_mask else self.images).append(place)


def _unwrap(root: Path) -> tuple[Path, list[str]]:
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


def _refuse_several_datasets(root: Path, inner: Path) -> None:
    folders = [path for path in _entries(inner) if path.is_dir()]
    if any(role_of(path.name).split for path in folders):
        return
    datasets = [path for path in folders if role_of(path.name).is_other and _is_dataset(path)]
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


def _masks_beside(images: Sequence[Place], masks: Sequence[Place]) -> list[Place]:
    """Files among the images that are called like the mask of another one in their folder, and have no mask."""
    stems = {(image.path.parent, image.stem) for image in images}
    # 1_mask may be an image, if there is a mask for it.
    owned = {(mask.split, mask.label, mask.below, mask.stem) for mask in masks}
    return [
        image
        for image in images
        if says_mask(image.stem)
        and (image.split, image.label, image.below, image.stem) not in owned
        and any((image.path.parent, name) in stems for name, _ in masked_names(image.stem))
    ]


def _same_names(images: Sequence[Place]) -> list[list[Place]]:
    """Images that differ in the ending of their names alone."""
    places: dict[Any, list[Place]] = defaultdict(list)
    for image in images:
        places[image.path.parent, image.stem].append(image)
    return [sorted(same, key=lambda place: place.path) for same in places.values() if len(same) > 1]


def _any_flat(pairing: Pairing) -> bool:
    """Whether a mask in no class folder has found its image."""
    return any(mask.label is None for parts in pairing.masks.values() for mask in parts)


@cache
def _image_endings() -> frozenset[str]:
    return frozenset(ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.name not in _SKIPPED)
    except OSError as error:
        raise UserError(f"{printable(folder)} cannot be read ({error.strerror}): change its permissions.") from error
