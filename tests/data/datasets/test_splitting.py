import hashlib
from collections import Counter
from pathlib import Path

from dms_jax.data.datasets.base import LabelledImage
from dms_jax.data.datasets.splitting import hold_out, split_by_hash, with_validation


def images(classes, groups_per_class, images_per_group=1):
    return [
        LabelledImage(f"{label}/{group}/{i}", label, f"{label}/{group}", Path("image"), Path("mask"))
        for label in classes
        for group in range(groups_per_class)
        for i in range(images_per_group)
    ]


def groups(members):
    return {image.group for image in members}


def smallest(salt, names, count):
    """The definition of the choice: the names with the smallest hashes."""
    return set(sorted(names, key=lambda name: hashlib.sha256(f"{salt}/{name}".encode()).digest())[:count])


class TestHoldOut:
    def test_takes_the_smallest_hashes_of_each_class(self):
        every = images("ab", groups_per_class=10)
        kept, held = hold_out(every, share=0.3, salt="salt")
        chosen = set.union(*(smallest("salt", [f"{label}/{i}" for i in range(10)], 3) for label in "ab"))
        assert held == [image for image in every if image.group in chosen]
        assert kept == [image for image in every if image.group not in chosen]

    def test_groups_stay_whole(self):
        kept, held = hold_out(images("abc", 7, images_per_group=3), share=0.2, salt="s")
        assert not groups(kept) & groups(held)
        assert Counter(image.label for image in held) == {"a": 3, "b": 3, "c": 3}

    def test_group_of_two_classes_counts_for_its_first(self):
        every = images("ab", groups_per_class=2)
        # Of a's three groups two are held out, of b's two one.
        mixed = [LabelledImage(f"mixed/{label}", label, "mixed", Path("image"), Path("mask")) for label in "ab"]
        _, held = hold_out([*every, *mixed], share=0.5, salt="s")
        assert len({group for group in groups(held) if group.startswith("b")}) == 1
        assert len({group for group in groups(held) if not group.startswith("b")}) == 2
        assert sum(image.group == "mixed" for image in held) in (0, 2)


class TestSplits:
    def test_shares(self):
        splits = split_by_hash(images("ab", groups_per_class=50, images_per_group=2), test_share=0.4)
        sizes = {split: Counter(image.label for image in members) for split, members in splits.items()}
        assert sizes == {"train": {"a": 54, "b": 54}, "validation": {"a": 6, "b": 6}, "test": {"a": 40, "b": 40}}
        assert sum(len(groups(members)) for members in splits.values()) == 100

    def test_are_the_same_for_everyone(self):
        names = [f"a/{i}" for i in range(50)]
        splits = split_by_hash(images("a", groups_per_class=50), test_share=0.2)
        test = smallest("test", names, 10)
        validation = smallest("validation", set(names) - test, 4)
        assert (groups(splits["test"]), groups(splits["validation"])) == (test, validation)

    def test_new_images_do_not_move_the_others_much(self):
        few = split_by_hash(images("a", groups_per_class=100), test_share=0.2)
        more = split_by_hash(images("a", groups_per_class=105), test_share=0.2)
        assert len(groups(few["test"]) - groups(more["test"])) <= 5

    def test_given_test_images_are_kept(self):
        every = images("ab", groups_per_class=20)
        splits = with_validation(rest=every[1:], test=every[:1])
        assert splits["test"] == every[:1]
        assert len(splits["validation"]) == 4
        assert len(splits["train"]) == 35
