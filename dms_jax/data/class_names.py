"""Names of classes that say that there is no defect."""

import re
from pathlib import PurePath

FREE_NAMES = ("free", "good", "normal", "ok", "defect-free", "no defect", "non-defective", "negative", "background")


def is_free_name(label: str) -> bool:
    """Whether a class is free of defects by its name: one of `FREE_NAMES`, however it is written."""
    return _letters(label) in {_letters(name) for name in FREE_NAMES}


def in_free_folder(name: str) -> bool:
    """Whether an image lies in a folder with such a name, as `test/good/7.png` does."""
    return is_free_name(PurePath(name).parent.name)


def _letters(text: str) -> str:
    return re.sub(r"[ ._-]+", "", text.lower())
