"""How a user's files were understood, in a sentence."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from dms_jax.data.datasets.base import LabelledImage


def understood(images: Sequence[LabelledImage], free_class: str | None, *, skipped: int = 0) -> str:
    """Says where images and masks were found, how many belong together, and which class is free of defects.

    Args:
      images: those of all splits that are used, at least one.
      free_class: the defect-free class; None where there is none.
      skipped: how many files were left out.

    Returns:
      One sentence.
    """
    masks = [image.mask_path for image in images if image.mask_path is not None]
    where = f"masks from {_common(masks)}" if masks else "no masks"
    left_out = f", {skipped} file(s) left out" if skipped else ""
    return (
        f"Images from {_common(image.image_path for image in images)}, {where}, {len(masks)} of {len(images)} images "
        f"paired with a mask, class without defects: {free_class or 'none'}{left_out}."
    )


def _common(paths: Iterable[Path]) -> str:
    """The folder that holds all files, or the only file."""
    distinct = set(map(str, paths))
    return distinct.pop() if len(distinct) == 1 else os.path.commonpath([os.path.dirname(path) for path in distinct])
