"""Checksums of a checkpoint's files: whether they are as they were written.

TensorStore notices most damage to the small files of a checkpoint, at some length. Arrays of more than a few hundred
bytes have no checksum of their own: one with a flipped bit is read as if nothing had happened.
"""

import json
import zlib
from pathlib import Path

from dms_jax.whole_files import write_whole

CHECKSUMS_NAME = "checksums.json"
# Orbax writes its own notes later.
_NOTES = "commit_success.txt"
_CHUNK = 2**20


def write_checksums(folder: Path) -> None:
    """Note the checksums of all items' files in a checkpoint, before it gets its name.

    Raises:
      OSError: they cannot be written.
    """
    found = {name: [path.stat().st_size, _checksum(path)] for name, path in _files(folder).items()}
    text = json.dumps(found, indent=1) + "\n"
    write_whole(folder / CHECKSUMS_NAME, lambda file: file.write(text.encode()))


def damage_in(folder: Path) -> str | None:
    """What has become of a checkpoint's files since they were written, in a few words; None where nothing has.

    Of a checkpoint without checksums, which earlier versions made, nothing is known.
    """
    path = folder / CHECKSUMS_NAME
    if not path.exists():
        return None
    try:
        expected = {name: (size, checksum) for name, (size, checksum) in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return f"{CHECKSUMS_NAME} cannot be read"
    found = _files(folder)
    for name, (size, checksum) in expected.items():
        if name not in found:
            return f"{name} is missing"
        try:
            if found[name].stat().st_size != size:
                return f"{name} has {found[name].stat().st_size} bytes instead of {size}"
            if _checksum(found[name]) != checksum:
                return f"{name} is not what was written"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return None


def _files(folder: Path) -> dict[str, Path]:
    """The files of all items by their names in the folder."""
    paths = (path for path in sorted(folder.glob("*/**/*")) if path.is_file() and path.name != _NOTES)
    return {path.relative_to(folder).as_posix(): path for path in paths}


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            value = zlib.crc32(chunk, value)
    return value
