"""Names of classes that say that there is no defect."""

import re
from collections.abc import Iterable
from pathlib import PurePath

from dms_jax.errors import UserError

FREE_NAMES = ("free", "good", "normal", "ok", "defect-free", "no defect", "non-defective", "negative", "background")


def is_free_name(label: str) -> bool:
    """Whether a class is free of defects by its name: one of `FREE_NAMES`, however it is written."""
    return _letters(label) in {_letters(name) for name in FREE_NAMES}


def in_free_folder(name: str) -> bool:
    """Whether an image lies in a folder with such a name, as `test/good/7.png` does."""
    return is_free_name(PurePath(name).parent.name)


def check_names(labels: Iterable[str]) -> None:
    """Refuse names of classes that differ in case alone: they are meant as one, and some file systems take them for it.

    Raises:
      UserError: there are two such names.
    """
    folded: dict[str, str] = {}
    for label in sorted(labels):
        other = folded.setdefault(label.casefold(), label)
        if other != label:
            raise UserError(f"The classes {other} and {label} differ in case alone: give them one name.")


def _letters(text: str) -> str:
    return re.sub(r"[ ._-]+", "", text.lower())
