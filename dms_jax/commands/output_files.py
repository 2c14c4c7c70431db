"""Files that results are written to, looked at before minutes are spent on the results."""

from pathlib import Path

from dms_jax.errors import UsageError


def check_output_file(file: Path) -> None:
    """Refuse a file that cannot be written where it is.

    Raises:
      UsageError: its folder is not there, or it is a folder itself.
    """
    if not file.absolute().parent.is_dir():
        raise UsageError(f"{file} cannot be written: {file.parent} is not a folder.")
    if file.is_dir():
        raise UsageError(f"{file} is a folder: name a file to write to.")
