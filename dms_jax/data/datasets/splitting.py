"""Splitting a dataset's pictures by a fixed hash, so that a split is the same for everyone."""

from collections import defaultdict
from collections.abc import Sequence

from dms_jax.data.datasets.base import LabelledPicture
from dms_jax.data.groups import hash_split

VALIDATION_SHARE = 0.1


def split_by_hash(pictures: Sequence[LabelledPicture], test_share: float) -> dict[str, list[LabelledPicture]]:
    """Splits pictures into `train`, `validation` and `test`; no group is in two of them.

    Args:
        pictures: all pictures.
        test_share: the share of the groups of every class that goes to `test`, 0..1.

    Returns:
        The pictures of each split, in the order given.
    """
    rest, test = hold_out(pictures, test_share, salt="test")
    return with_validation(rest, test)


def with_validation(
    rest: Sequence[LabelledPicture], test: Sequence[LabelledPicture]
) -> dict[str, list[LabelledPicture]]:
    """Cuts `validation`, a tenth of the groups of every class, off all but the test pictures.

    Args:
        rest: the pictures that are not for testing.
        test: those that are.

    Returns:
        The pictures of `train`, `validation` and `test`, in the order given.
    """
    train, validation = hold_out(rest, VALIDATION_SHARE, salt="validation")
    return {"train": train, "validation": validation, "test": list(test)}


def hold_out(
    pictures: Sequence[LabelledPicture], share: float, salt: str
) -> tuple[list[LabelledPicture], list[LabelledPicture]]:
    """Parts a share of the groups of every class from the others, see `hash_split`.

    Args:
        pictures: the pictures; a group with several classes counts for that of its first picture.
        share: which share to hold out, 0 < share < 1.
        salt: a word that makes the choices of different splits independent of each other.

    Returns:
        The pictures that stay and those held out, in the order given.
    """
    class_of: dict[str, str] = {}
    for picture in pictures:
        class_of.setdefault(picture.group, picture.label)
    groups: dict[str, list[str]] = defaultdict(list)
    for group, label in class_of.items():
        groups[label].append(group)
    chosen = hash_split(groups, share, salt)
    kept = [picture for picture in pictures if picture.group not in chosen]
    return kept, [picture for picture in pictures if picture.group in chosen]
