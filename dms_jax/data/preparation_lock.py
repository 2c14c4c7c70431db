"""One preparation of a dataset at a time, and nothing left of those that were killed."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where TFDS's renaming of whole folders must do
    fcntl = None


@contextlib.contextmanager
def preparation_lock(root: Path, dataset: str, config: str) -> Iterator[None]:
    """Waits until no other process prepares the same dataset; meanwhile, others wait.

    When it is this process's turn, what killed processes have left of any configuration is removed. A killed process
    holds no lock: the system lets go of it.

    Args:
      root: where prepared datasets are kept; created if missing.
      dataset: the dataset's name.
      config: its configuration.

    Raises:
      OSError: `root` cannot be written.
    """
    root.mkdir(parents=True, exist_ok=True)
    with _lock(_lock_path(root, dataset, config), wait=True) as held:
        if held:
            _remove_left_overs(root, dataset, config)
        yield


def _lock_path(root: Path, dataset: str, config: str) -> Path:
    return root / f".{dataset}-{config}.lock"


def _remove_left_overs(root: Path, dataset: str, own: str) -> None:
    for folder in sorted((root / dataset).glob("*/incomplete.*")):
        with contextlib.ExitStack() as stack:
            config = folder.parent.name
            if config == own or stack.enter_context(_lock(_lock_path(root, dataset, config), wait=False)):
                shutil.rmtree(folder, ignore_errors=True)
                with contextlib.suppress(OSError):  # there is a version of the dataset in it
                    folder.parent.rmdir()


@contextlib.contextmanager
def _lock(path: Path, wait: bool) -> Iterator[bool]:
    """Yield whether the lock is held; where the file system knows no locks, it is not."""
    file = _locked_file(path, wait)
    try:
        yield file is not None
    finally:
        if file is not None:
            try:
                # It is no matter if it stays, as another user's may have to.
                with contextlib.suppress(OSError):
                    path.unlink()
            finally:
                os.close(file)


def _locked_file(path: Path, wait: bool) -> int | None:
    """The descriptor of the locked file; None where it is locked by another process, or cannot be."""
    while fcntl is not None:
        file = os.open(path, os.O_RDONLY | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            # Whoever held it may have removed the file, and a third process may have made a new one.
            if os.path.samestat(os.fstat(file), os.stat(path)):
                return file
        except FileNotFoundError:
            pass
        except OSError:
            os.close(file)
            return None
        except BaseException:
            os.close(file)
            raise
        os.close(file)
    return None
