"""Files that one process holds at a time."""

from typing import IO

from dms_jax.errors import UserError


def hold(file: int | IO[bytes], refusal: str) -> None:
    """Hold an open file for this process until it is closed; the system lets go of it when the process ends.

    Where the system or the file system knows no locks, nothing is held.

    Args:
      file: the file, or its descriptor.
      refusal: what to tell the user where another process holds it; a sentence.

    Raises:
      UserError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(refusal) from error
    except OSError:
        # No locks on this file system.
        return
