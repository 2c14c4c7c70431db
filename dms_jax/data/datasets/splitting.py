"""Splitting a dataset's images by a fixed hash, so that a split is the same for everyone."""

from collections import defaultdict
from collections.abc import Sequence

from dms_jax.data.datasets.base import LabelledImage
from dms_jax.data.datasets.groups import hash_split

VALIDATION_SHARE = 0.1


def split_by_hash(images: Sequence[LabelledImage], test_share: float) -> dict[str, list[LabelledImage]]:
    """Splits images into `train`, `validation` and `test`; no group is in two of them.

    Args:
      images: all images.
      test_share: the share of the groups of every class that goes to `test`, 0..1.

    Returns:
      The images of each split, in the order given.
    """
    rest, test = hold_out(images, test_share, salt="test")
    return with_validation(rest, test)


def with_validation(rest: Sequence[LabelledImage], test: Sequence[LabelledImage]) -> dict[str, list[LabelledImage]]:
    """Splits `validation`, a tenth of the groups of every class, off the images that are not for testing.

    Args:
      rest: the images that are not for testing.
      test: those that are.

    Returns:
      The images of `train`, `validation` and `test`, in the order given.
    """
    train, validation = hold_out(rest, VALIDATION_SHARE, salt="validation")
    return {"train": train, "validation": validation, "test": list(test)}


def hold_out(
    images: Sequence[LabelledImage], share: float, salt: str
) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Sets a share of the groups of every class apart from the others, see `hash_split`.

    Args:
      images: the images; a group with several classes counts for that of its first image.
      share: which share to hold out, 0 < share < 1.
      salt: a string that makes the choices of different splits independent of each other.

    Returns:
      The images that stay and those held out, in the order given.
    """
    class_of: dict[str, str] = {}
    for image in images:
        class_of.setdefault(image.group, image.label)
    groups: dict[str, list[str]] = defaultdict(list)
    for group, label in class_of.items():
        groups[label].append(group)
    chosen = hash_split(groups, share, salt)
    kept = [image for image in images if image.group not in chosen]
    return kept, [image for image in images if image.group in chosen]
