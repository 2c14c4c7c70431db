"""Writing a file whole or not at all."""

import contextlib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Writes a file under a temporary name of its own beside `path`, and then puts it in its place.

    Several processes may write the same file at once: it is that of one of them.

    Args:
      path: the file; its folder must exist.
      write: writes the contents.

    Raises:
      OSError: it cannot be written, with its name; nothing is left, and a file that was there is as it was.
    """
    # A file name has room for 255 bytes, and a character may take four of them.
    temporary = path.with_name(f".{path.name[:50]}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            write(file)
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        # A full disk does not say which file it was, and nobody knows the temporary one.
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            error.filename = str(path)
            del error.filename2  # with None it would be part of the message
        raise
