"""Finding a dataset's folders and files, as published or nearly so."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from dms_jax.data.datasets.base import skip_or_raise
from dms_jax.errors import UserError


def find_root(folder: Path, folders: Sequence[str]) -> Path | None:
    """Finds the root of a dataset.

    Args:
      folder: the root, or a folder around it.
      folders: paths of folders, relative to the root, of which it holds at least one; see `find_folder`.

    Returns:
      The folder given or the only such folder in it; None where there is none, or several. What may not be read is
      none.
    """
    for candidates in ([folder], _folders(folder)):
        roots = [root for root in candidates if any(os.path.isdir(find_folder(root, path)) for path in folders)]
        if len(roots) == 1:
            return roots[0]
    return None


def find_folder(root: Path, path: str) -> Path:
    """Finds a folder, however archivers and file systems have changed the case and the spaces of its name.

    Args:
      root: where to look.
      path: the folder's path relative to the root, with slashes.

    Returns:
      The folder of exactly that name, else the first whose name differs only in case, spaces and underscores, else a
      path where there is no folder.
    """
    found = root
    for name in path.split("/"):
        exact = found / name
        if os.path.isdir(exact) or not os.path.isdir(found):
            found = exact
        else:
            found = next((child for child in _folders(found) if _plain(child.name) == _plain(name)), exact)
    return found


def files_by_stem(folder: Path, suffix: str, kind: str, fix: str) -> dict[str, Path]:
    """Lists the files of one kind in a folder, except hidden ones.

    Args:
      folder: the folder.
      suffix: how their names end, such as `.jpg`; `.JPG` is the same.
      kind: what they are, for the error message: images, masks.
      fix: what to do where there are none; ends the error message.

    Returns:
      The files by their names without the suffix, in the order of names.

    Raises:
      UserError: there are none, or the folder is missing.
    """
    files = {
        path.stem: path
        for path in sorted(folder.glob("*"))
        if path.suffix.lower() == suffix and not path.name.startswith(".")
    }
    if not files:
        raise UserError(f"{folder} holds no {kind} (*{suffix}): {fix}.")
    return files


def pair_files(
    images: Mapping[str, Path], masks: Mapping[str, Path], skipped: list[str] | None = None
) -> dict[str, tuple[Path, Path]]:
    """Pairs images with their masks.

    Args:
      images: files by stem; at least one.
      masks: files by stem; at least one.
      skipped: where given, a file without a counterpart is left out, and it gets a sentence about each.

    Returns:
      Image and mask by stem, in the order of the images.

    Raises:
      UserError: files have no counterpart of the same stem, and `skipped` is not given.
    """
    sentences = []
    for stem in sorted(images.keys() ^ masks.keys()):
        have, lack, kind = (images, masks, "mask") if stem in images else (masks, images, "image")
        beside = next(iter(lack.values()))
        sentences.append(
            f"{have[stem]} has no {kind} {stem}{beside.suffix} in {beside.parent}: restore it or remove both."
        )
    skip_or_raise(sentences, skipped)
    return {stem: (path, masks[stem]) for stem, path in images.items() if stem in masks}


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, in the order of names; none where it may not be read, as lost+found of a disk."""
    # The system lists with each name whether it is a folder: of many images, none is looked at by itself.
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry) for entry in entries if _is_folder(entry))
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to what may not be looked at
        return False


def _plain(name: str) -> str:
    return re.sub(r"[\s_]", "", name).casefold()
