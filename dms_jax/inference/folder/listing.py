"""Which files are to be predicted, and what their predictions are called."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dms_jax.data.image_files import IMAGE_SUFFIXES
from dms_jax.errors import UserError


@dataclass(frozen=True)
class ImageFile:
    """A file to be predicted.

    Attributes:
      path: as the user would write it.
      name: of its predictions, below the output folder and without suffix; may have folders.
    """

    path: str
    name: str


def list_files(sources: Sequence[str]) -> list[ImageFile]:
    """The images that files, folders (with all that is below them) and patterns such as `line3/*.png` stand for.

    A prediction is called as its image is below the folder that was named, without the suffix. Images that would have
    the same name keep their suffix, or else are told apart by their folders' names.

    Raises:
      UserError: a source does not exist, a folder or a pattern has no image, or two images cannot be told apart.
    """
    found = [(path, below) for source in sources for path, below in _expand(source)]
    unique = list({os.path.realpath(path): (path, below) for path, below in reversed(found)}.values())[::-1]
    paths = [path for path, _ in unique]
    for name in (_without_suffix, _with_suffix, _with_folder):
        names = [name(path, below) for path, below in unique]
        # Of file systems that do not tell upper from lower case, too.
        shared = {key for key, count in Counter(each.casefold() for each in names).items() if count > 1}
        if not shared:
            return [ImageFile(path, own) for path, own in zip(paths, names, strict=True)]
    first, second, *_ = (path for path, own in zip(paths, names, strict=True) if own.casefold() in shared)
    raise UserError(f"{first} and {second} would have the same name among the predictions: predict them apart.")


def take_shard(files: Sequence[ImageFile], number: int, count: int) -> list[ImageFile]:
    """Every `count`-th file from the `number`-th (1 to `count`) on: each file is in exactly one of the shards."""
    return list(files[number - 1 :: count])


def refuse_overwriting(files: Iterable[ImageFile], folders: Iterable[Path]) -> None:
    """Refuse to predict what lies where predictions are written.

    Raises:
      UserError: it does; the message names a file.
    """
    written = [folder.resolve() for folder in folders]
    for file in files:
        real = Path(file.path).resolve()
        if any(folder in real.parents for folder in written):
            raise UserError(f"{file.path} lies where predictions are written: choose another --output.")


def _expand(source: str) -> list[tuple[str, str]]:
    """Paths of images, each with its path below what was named."""
    path = Path(source).expanduser()
    if path.is_dir():
        files = sorted(entry for entry in path.rglob("*") if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file())
        if not files:
            raise UserError(f"{source} has no images ({', '.join(sorted(IMAGE_SUFFIXES))}): name another folder.")
        return [(str(file), str(file.relative_to(path))) for file in files]
    if path.exists():
        return [(str(path), path.name)]
    if not glob.has_magic(source):
        raise UserError(f"{source} does not exist: name a file, a folder or a pattern such as 'folder/*.png'.")
    matches = sorted(glob.glob(str(path), recursive=True))
    files = [Path(match) for match in matches if Path(match).suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise UserError(f"{source} matches no image: name another pattern.")
    # Below the last folder without a wildcard.
    parts = path.parts
    fixed = Path(*parts[: next(i for i, part in enumerate(parts) if glob.has_magic(part))])
    return [(str(file), str(file.relative_to(fixed))) for file in files]


def _without_suffix(path: str, below: str) -> str:
    return os.path.splitext(below)[0]


def _with_suffix(path: str, below: str) -> str:
    return below


def _with_folder(path: str, below: str) -> str:
    folder = Path(path).absolute().parents[len(Path(below).parts) - 1].name
    return os.path.join(folder, below)
