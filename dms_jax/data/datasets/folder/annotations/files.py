"""The files in a folder of images and annotations."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from dms_jax.data.datasets.folder.tree import passed_over
from dms_jax.data.image_files import IMAGE_SUFFIXES
from dms_jax.errors import UserError


class Files:
    """All files below a folder, except those that `dms_jax.data.datasets.folder.tree.passed_over` names."""

    def __init__(self, root: Path):
        self.root = root

    @cached_property
    def all(self) -> tuple[Path, ...]:
        """The files, in the order of their paths.

        Raises:
          UserError: a folder can't be read.
        """

        def refuse(error: OSError) -> None:
            raise UserError(f"{error.filename} cannot be read ({error.strerror}): change its permissions.") from error

        found, seen = [], set()
        for folder, folders, names in os.walk(self.root, onerror=refuse, followlinks=True):
            # A link may lead back up.
            here = os.path.realpath(folder)
            if here in seen:
                folders.clear()
                continue
            seen.add(here)
            skipped = passed_over([*folders, *names])
            folders[:] = [name for name in folders if name not in skipped]
            found += [Path(folder, name) for name in names if name not in skipped]
        return tuple(sorted(found))

    @cached_property
    def images(self) -> tuple[Path, ...]:
        """Those that are images by their endings."""
        return tuple(path for path in self.all if path.suffix.lower() in IMAGE_SUFFIXES)

    def name(self, path: Path) -> str:
        """A file's path relative to the folder, with slashes."""
        return Path(os.path.relpath(path, self.root)).as_posix()

    def find(self, name: str, beside: Path, prefer: Callable[[Path], bool] | None = None) -> Path:
        """Finds an image by the name that an annotation gives it.

        Args:
          name: its path, with slashes or backslashes, relative to the annotation or the folder, or as it was on another
            machine: then the longest end of it that one file has is taken.
          beside: the annotation's file.
          prefer: which of several files with such an end to take, where it holds for exactly one.

        Returns:
          The image's file.

        Raises:
          LookupError: there is none, or there are several; its message ends "IMAGE, which ...".
        """
        parts = tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))
        if not parts:
            raise LookupError("an image without a name, which cannot be found: name it")
        for folder in (beside.parent, self.root):
            path = Path(os.path.normpath(folder.joinpath(*parts)))
            # Not `path.is_file()`, which raises errors for what can't be the name of a file.
            if os.path.isfile(path):
                return path
        candidates = self._by_name[_composed(parts[-1])]
        for count in range(len(parts), 0, -1):
            end = tuple(map(_composed, parts[-count:]))
            matches = [path for path in candidates if tuple(map(_composed, path.parts[-count:])) == end]
            if len(matches) > 1 and prefer is not None:
                matches = [path for path in matches if prefer(path)] or matches
            if len(matches) > 1:
                listed = " or ".join(self.name(path) for path in matches[:2])
                raise LookupError(f"{name}, which may be {listed} in {self.root}: rename one of them")
            if matches:
                return matches[0]
        raise LookupError(f"{name}, which does not exist in {self.root}: restore it or remove it from the annotations")

    @cached_property
    def _by_name(self) -> defaultdict[str, Sequence[Path]]:
        found: defaultdict[str, list[Path]] = defaultdict(list)
        for path in self.all:
            found[_composed(path.name)].append(path)
        return found


def _composed(name: str) -> str:
    # A file system may have decomposed the characters of one name and not of the other.
    return unicodedata.normalize("NFC", name)
