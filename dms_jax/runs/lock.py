"""One run at a time in a work directory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dms_jax.file_lock import hold

LOCK_NAME = ".lock"


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Hold a work directory for this process; the system releases it when the process ends, however it does.

    Where the system or the file system knows no locks, nothing is held.

    Args:
      workdir: an existing folder.

    Raises:
      UserError: another process holds it.
      OSError: the folder cannot be written.
    """
    # The file stays: were it removed, a process that waits to open it and one that makes it anew would hold two.
    descriptor = os.open(workdir / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        hold(
            descriptor,
            f"{workdir} is in use by another run that has not ended: wait for it, end it, or choose another --workdir.",
        )
        yield
    finally:
        os.close(descriptor)
