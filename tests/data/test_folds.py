from collections import Counter

import numpy as np
import pytest

from dms_jax.data.folds import fold_of_each

LABELS = np.array([0] * 24 + [1] * 9 + [2] * 3 + [-1] * 4)
GROUPS = [f"tile{i // 2}" for i in range(len(LABELS))]


@pytest.mark.parametrize("folds", [2, 3, 4, 5])
def test_every_fold_has_its_share_of_every_class_and_of_all(folds: int) -> None:
    fold_of = fold_of_each(LABELS, GROUPS, folds)
    groups = {group: (LABELS[i], fold_of[i]) for i, group in reversed(list(enumerate(GROUPS)))}
    found = Counter(groups.values())
    for label, count in Counter(label for label, _ in groups.values()).items():
        assert all(count // folds <= found[label, fold] <= -(-count // folds) for fold in range(folds))
    sizes = Counter(fold for _, fold in groups.values())
    assert sorted(sizes) == list(range(folds))
    assert max(sizes.values()) - min(sizes.values()) <= 1


def test_a_group_of_several_classes_is_in_one_fold_and_counts_for_that_of_most() -> None:
    # Eight groups of class 0; two of 0, 1, 1 images; two folds: each has one of the latter.
    labels = np.array([0] * 8 + [0, 1, 1] * 2)
    groups = [*"abcdefgh", *"xxxyyy"]
    fold_of = fold_of_each(labels, groups, 2)
    assert len(set(fold_of[8:11])) == len(set(fold_of[11:])) == 1
    assert fold_of[8] != fold_of[11]


def test_neither_the_order_of_the_images_nor_how_many_a_group_has_decides() -> None:
    order = np.random.default_rng(0).permutation(len(LABELS))
    fold_of = fold_of_each(LABELS, GROUPS, 3)
    assert fold_of_each(LABELS[order], [GROUPS[i] for i in order], 3).tolist() == fold_of[order].tolist()
    twice = fold_of_each(np.append(LABELS, LABELS[:2]), [*GROUPS, *GROUPS[:2]], 3)
    assert twice[: len(LABELS)].tolist() == fold_of.tolist()


def test_names_decide_by_more_than_their_order() -> None:
    """Frames of one shift follow one another: in turn by name, they would all be dealt out alike."""
    labels, names = np.zeros(60, np.int64), [f"tile{i:02}" for i in range(60)]
    fold_of = fold_of_each(labels, names, 2)
    assert 5 < np.count_nonzero(fold_of == np.arange(60) % 2) < 55


def test_names_of_groups_that_look_alike_are_apart() -> None:
    """NumPy's own text would lose the zero."""
    assert sorted(fold_of_each(np.array([0, 0]), ["a", "a\0"], 2)) == [0, 1]


@pytest.mark.parametrize("folds", [-1, 0, 1, 21])
def test_a_number_of_folds_that_cannot_be(folds: int) -> None:
    with pytest.raises(ValueError, match=f"20 groups cannot be {folds} folds"):
        fold_of_each(LABELS, GROUPS, folds)


def test_the_folds_stay_as_they_are() -> None:
    """A run that goes on must not learn from what it was validated by."""
    groups = [f"surface{i}" for i in range(10)]
    assert fold_of_each(np.array([0] * 6 + [1] * 4), groups, 3).tolist() == [0, 2, 1, 2, 1, 0, 2, 0, 0, 1]
