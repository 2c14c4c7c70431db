"""What is said of a prepared dataset whose files are not whole."""

from pathlib import Path

from dms_jax.errors import UserError


def damaged(directory: str | Path) -> UserError:
    """The error that says so, to be raised.

    Args:
      directory: the dataset's, or that of all versions of it.
    """
    return UserError(
        f"{directory} is damaged: remove that folder, and it will be prepared anew, or run dms-jax prepare --overwrite."
    )
