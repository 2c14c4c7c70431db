"""Which files are to be predicted, and what their predictions are called."""

import glob
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dms_jax.data.image_files import IMAGE_SUFFIXES
from dms_jax.data.prediction_folders import MAPS, OVERLAYS, SETTINGS, written_folders
from dms_jax.errors import UserError

# Ways to call a prediction: below what was named, with its folder or below all images' common one, each with or
# without the suffix.
_LEVELS = 6


@dataclass(frozen=True)
class ImageFile:
    """A file to be predicted.

    Attributes:
      path: as the user would write it.
      name: of its predictions, below the output folder and without suffix; may have folders.
    """

    path: str
    name: str


@dataclass(frozen=True)
class _Found:
    """A file, and its path below what the user named."""

    path: str
    below: str


def list_files(sources: Sequence[str], passed_over: Collection[Path] = ()) -> list[ImageFile]:
    """The images that files, folders (with all that is below them) and patterns such as `line3/*.png` stand for.

    A prediction is called as its image is below the folder that was named, without the suffix. Images that would have
    the same name keep their suffix, or else are told apart by their folders' names. Hidden files and folders (`.NAME`)
    are passed over where a folder or a pattern was named, and so are the maps and overlays of folders of predictions.

    Args:
      sources: paths of files and folders, and patterns.
      passed_over: folders whose images are passed over where a folder or a pattern around them was named: earlier
        predictions, that is.

    Raises:
      UserError: a source does not exist, a folder cannot be read, a folder or a pattern has no image, or two images
        cannot be told apart.
    """
    skipped = frozenset(os.path.realpath(folder) for folder in passed_over)
    found = [file for source in sources for file in _expand(source, skipped)]
    folder = cache(os.path.realpath)
    # The same file by two ways is one; two links to one file are two, since each has a name of its own.
    unique = {(folder(os.path.dirname(file.path)), os.path.basename(file.path)): file for file in reversed(found)}
    files = list(unique.values())[::-1]
    return [ImageFile(file.path, name) for file, name in zip(files, _names(files), strict=True)]


def take_shard(files: Sequence[ImageFile], number: int, count: int) -> list[ImageFile]:
    """Every `count`-th file from the `number`-th (1 to `count`) on: each file is in exactly one of the shards."""
    return list(files[number - 1 :: count])


def refuse_overwriting(files: Sequence[ImageFile], written: Mapping[Path, str]) -> None:
    """Refuse to predict what lies where predictions are written, be it through links.

    Args:
      files: to be predicted.
      written: folders of predictions, with the suffix that their files have.

    Raises:
      UserError: one does; the message names a file.
    """
    folder = cache(os.path.realpath)

    def place(path: str) -> str:
        # What is written replaces a link, but not the links to the folders around it.
        return os.path.join(folder(os.path.dirname(path)), os.path.basename(path))

    folders = [os.path.join(folder(each), "") for each in written]
    inputs = {path: file for file in files for path in (os.path.realpath(file.path), place(file.path))}
    for path, file in inputs.items():
        if path.startswith(tuple(folders)):
            raise UserError(f"{file.path} lies where predictions are written: choose another --output.")
    for file in files:
        for each, suffix in written.items():
            target = inputs.get(place(str(each / (file.name + suffix))))
            if target is not None:
                raise UserError(
                    f"{target.path} would be overwritten by the prediction of {file.path}: choose another --output."
                )


def _expand(source: str, skipped: frozenset[str]) -> list[_Found]:
    if not source:
        raise UserError("one of --images is empty: name a file, a folder or a pattern such as 'folder/*.png'.")
    # A file may have such a name, and the shell leaves patterns in quotes alone.
    path = Path(source if os.path.lexists(source) else os.path.expanduser(source))
    if path.is_dir():
        files = [_Found(file, os.path.relpath(file, path)) for file in _images_below(path, skipped, path)]
        if not files:
            raise UserError(f"{source} has no images ({', '.join(sorted(IMAGE_SUFFIXES))}): name another folder.")
        return files
    if path.exists():
        return [_Found(str(path), path.name)]
    if not glob.has_magic(source):
        raise UserError(f"{source} does not exist: name a file, a folder or a pattern such as 'folder/*.png'.")
    # Below the last folder without a wildcard.
    parts = path.parts
    fixed = Path(*parts[: next(i for i, part in enumerate(parts) if glob.has_magic(part))])
    around = {folder for folder in skipped if _is_around(fixed, folder)}
    matches = [
        match
        for match in sorted(glob.glob(str(path), recursive=True))
        if _is_image(match)
        and not any(_is_around(Path(folder), match) for folder in around)
        and not _is_prediction(os.path.relpath(match, fixed), fixed)
    ]
    if not matches:
        raise UserError(f"{source} matches no image: name another pattern.")
    return [_Found(match, _below(match, fixed)) for match in matches]


def _images_below(folder: Path, skipped: frozenset[str], source: Path, above: tuple[str, ...] = ()) -> Iterator[str]:
    """The images below a folder in the order of their names; linked folders are followed, but for those around them."""
    real = os.path.realpath(folder)
    # A folder in which there are predictions already may be named itself, and is refused then.
    loops = real in above or (above and _is_around(folder, above[-1]))
    if loops or (real in skipped and folder != source):
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}): change its permissions.") from error
    written = written_folders(entry.name for entry in entries)
    for entry in entries:
        if entry.name.startswith(".") or entry.name in written:
            continue
        if entry.is_dir():
            yield from _images_below(folder / entry.name, skipped, source, (*above, real))
        elif _is_image(entry.path):
            yield str(folder / entry.name)


def _is_image(path: str) -> bool:
    """By its name; no pipe, which would be waited for, but a broken link, which is reported."""
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES and (os.path.isfile(path) or os.path.islink(path))


def _is_prediction(below: str, folder: Path) -> bool:
    """Whether an image below a folder is one of an earlier call's maps or overlays."""
    parts = Path(below).parts
    places = (Path(folder, *parts[:index]) for index, part in enumerate(parts) if part in (MAPS, OVERLAYS))
    return any(any(place.glob(SETTINGS)) for place in places)


def _is_around(folder: Path, path: str) -> bool:
    return os.path.realpath(path).startswith(os.path.join(os.path.realpath(folder), ""))


def _below(path: str, folder: Path) -> str:
    below = os.path.relpath(path, folder)
    # A pattern may lead out of its folder: "line*/../../x.png".
    return os.path.basename(path) if below.startswith(os.pardir) else below


def _names(files: Sequence[_Found]) -> list[str]:
    """Names that differ, each as short as can be, and also where upper and lower case are the same.

    Raises:
      UserError: two cannot be told apart.
    """
    folders = [os.path.dirname(os.path.abspath(file.path)) for file in files]
    common = os.path.commonpath(folders) if folders else ""
    level = [0] * len(files)
    while True:
        names = [_name(file, own, common) for file, own in zip(files, level, strict=True)]
        keys = [name.casefold() for name in names]
        counts = Counter(keys)
        shared = [index for index, key in enumerate(keys) if counts[key] > 1]
        if not shared:
            return names
        longer = [index for index in shared if level[index] < _LEVELS - 1]
        if not longer:
            first, second, *_ = (files[index].path for index in shared if keys[index] == keys[shared[0]])
            raise UserError(f"{first} and {second} would have the same name among the predictions: predict them apart.")
        for index in longer:
            level[index] += 1


def _name(file: _Found, level: int, common: str) -> str:
    path = os.path.abspath(file.path)
    depth = len(Path(file.below).parts)
    below = (file.below, os.path.join(Path(path).parents[depth - 1].name, file.below), os.path.relpath(path, common))
    return below[level // 2] if level % 2 else os.path.splitext(below[level // 2])[0]
