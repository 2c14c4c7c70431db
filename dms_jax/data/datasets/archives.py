"""Downloading and unpacking a dataset's zip archive."""

import errno
import lzma
import shutil
import ssl
import stat
import struct
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

import tensorflow_datasets as tfds

from dms_jax.errors import UserError

# What an archive may unpack to; MTDD's and CrackForest's have a hundredth of either.
MOST_BYTES = 4 * 2**30
MOST_FILES = 100_000

# What is raised of damaged archives: of all kinds, as zipfile computes with what it has read before it checks it; the
# last are of a name that is both a file and a folder.
_DAMAGE = (
    *(zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, struct.error),
    *(ValueError, LookupError, RuntimeError, MemoryError, FileExistsError, NotADirectoryError, IsADirectoryError),
)
# Of OSError: a place before the file's beginning, or a name that is too long.
_DAMAGE_NUMBERS = frozenset({errno.EINVAL, errno.ENAMETOOLONG})


def fetch(dl_manager: tfds.download.DownloadManager, url: str, kept: Path, fix: str) -> Path:
    """Downloads an archive, or finds it where an earlier download left it.

    Args:
      dl_manager: does the download.
      url: address of the archive.
      kept: the folder where `dl_manager` keeps this dataset's downloads.
      fix: what to do where there is no network; ends the error message.

    Returns:
      The archive's file.

    Raises:
      UserError: the download failed; no part of it is left.
    """
    partial = set(kept.glob("*.tmp.*"))
    try:
        if not any(kept.glob("*.zip")):
            _check_reachable(url)
        return Path(dl_manager.download(url))
    except (OSError, tfds.download.DownloadError) as error:
        for left in set(kept.glob("*.tmp.*")) - partial:
            shutil.rmtree(left, ignore_errors=True)
        raise UserError(f"{url} cannot be downloaded: {fix}.") from error


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a zip archive, trusting nothing in it.

    Args:
      archive: the zip file.
      folder: where to unpack it.

    Raises:
      UserError: the archive is damaged, holds a link or a name that leaves the folder, or more than `MOST_BYTES` or
        `MOST_FILES`, before anything is unpacked; or the contents of a file in it are damaged.
      OSError: it cannot be unpacked there, as the disk is full perhaps.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            for member in members:
                if _is_unsafe(member):
                    raise UserError(f"{archive} holds the unsafe name {member.filename!r}: get it from its source.")
            # No member yields more than its size in the table, whatever was packed.
            size = sum(member.file_size for member in members)
            if size > MOST_BYTES or len(members) > MOST_FILES:
                raise UserError(
                    f"{archive} would unpack to {len(members)} files of {size / 2**30:.1f} GiB together, where at most "
                    f"{MOST_FILES} files of {MOST_BYTES / 2**30:g} GiB are expected: get it from its source."
                )
            opened.extractall(folder)
    except _DAMAGE as error:
        raise _not_whole(archive) from error
    except OSError as error:
        if error.errno in _DAMAGE_NUMBERS:
            raise _not_whole(archive) from error
        raise


def _not_whole(archive: Path) -> UserError:
    return UserError(f"{archive} is not a whole zip archive: remove it and run again.")


def _check_reachable(url: str) -> None:
    """Raises OSError where there is no network, which TFDS notices only after minutes of retries."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=20):
            pass
    except urllib.error.HTTPError:
        pass  # The server answers: whether it lets us download is for the download to say.
    except urllib.error.URLError as error:
        # TFDS knows further sources of certificates.
        if not isinstance(error.reason, ssl.SSLError):
            raise


def _is_unsafe(member: zipfile.ZipInfo) -> bool:
    # A zip made on Windows may use backslashes and drive letters, which are ordinary characters here: refused
    # on every system, so that an archive is either good everywhere or nowhere.
    posix, windows = PurePosixPath(member.filename), PureWindowsPath(member.filename)
    is_link = stat.S_ISLNK(member.external_attr >> 16)
    return is_link or posix.is_absolute() or bool(windows.anchor) or ".." in windows.parts
