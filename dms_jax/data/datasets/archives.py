"""Downloading and unpacking a dataset's zip archive."""

import shutil
import ssl
import stat
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

import tensorflow_datasets as tfds

from dms_jax.errors import UserError


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
      UserError: the archive is damaged, holds a link or a name that leaves the folder, before anything is unpacked; or
        the contents of a file in it are damaged.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                if _is_unsafe(member):
                    raise UserError(f"{archive} holds the unsafe name {member.filename!r}: get it from its source.")
            opened.extractall(folder)
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise UserError(f"{archive} is not a whole zip archive: remove it and run again.") from error


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
