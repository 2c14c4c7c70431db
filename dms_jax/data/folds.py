"""Parts of a dataset that take turns at validation, as in k-fold cross-validation."""

import hashlib
from collections.abc import Sequence

import numpy as np


def fold_of_each(labels: np.ndarray, groups: Sequence[str], folds: int) -> np.ndarray:
    """Which fold each image is in; no group is in two of them, and each has its share of every class.

    The groups of a class (that of most of its images) are dealt out in turn, by a fixed hash of their names, so that
    the folds are the same for everyone. Each class goes on where the last one ended, so that no fold gets the rest of
    all. Groups differ in size, and so do folds.

    Args:
      labels: int [n]; -1, unknown, counts as a class.
      groups: n names of what must stay together, such as a tile under several exposures.
      folds: how many, at least 2.

    Returns:
      int64 [n], 0..folds-1.

    Raises:
      ValueError: there are fewer groups than folds.
    """
    names, group_of, sizes = np.unique(np.asarray(groups, object), return_inverse=True, return_counts=True)
    if folds < 2 or folds > len(names):
        raise ValueError(f"{len(names)} groups cannot be {folds} folds.")
    by_group = labels[np.argsort(group_of, kind="stable")]
    label_of = np.array([_most_frequent(own) for own in np.split(by_group, np.cumsum(sizes)[:-1])])
    keys = [hashlib.sha256(f"fold/{name}".encode()).digest() for name in names]
    order = sorted(range(len(names)), key=lambda group: (label_of[group], keys[group]))
    fold_of_group = np.zeros(len(names), np.int64)
    fold_of_group[order] = np.arange(len(names)) % folds
    return fold_of_group[group_of]


def _most_frequent(labels: np.ndarray) -> int:
    values, counts = np.unique(labels, return_counts=True)
    return int(values[np.argmax(counts)])
