import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from image_records import ImageRecords

from dms_jax.data.examples import ExampleSource
from dms_jax.data.scarcity import Scarcity, make_scarce, representative_order, without_classes
from dms_jax.errors import UserError

CLASSES = ("free", "crack", "fray")
# As in surface inspection: few defects, and several exposures of each tile.
LABELS = [0] * 24 + [1] * 9 + [2] * 3
GROUPS = [f"tile{i // 3}" for i in range(len(LABELS))]


def source_of(
    labels: list[int], groups: list[str], known: list[bool] | None = None, free: int | None = 0
) -> ExampleSource:
    """Images of 4 x 3 pixels, those of other classes than 0 with a defect in their mask."""
    images = [np.full((4, 3, 3), i, np.uint8) for i in range(len(labels))]
    masks = [np.full((4, 3), 255 if label else 0, np.uint8) for label in labels]
    return ExampleSource(ImageRecords(images, masks, labels, known or [], groups), "train", free)


@pytest.fixture
def source() -> ExampleSource:
    shuffled = np.random.default_rng(5).permutation(len(LABELS))
    return source_of([LABELS[i] for i in shuffled], [GROUPS[i] for i in shuffled])


class TestOrder:
    @pytest.mark.parametrize("seed", range(4))
    def test_every_beginning_has_the_classes_by_their_shares(self, seed: int) -> None:
        labels = np.array(LABELS)
        order = representative_order(labels, GROUPS, seed)
        assert sorted(order) == list(range(len(labels)))
        assert sorted(labels[order[:3]]) == [0, 1, 2]
        for count in range(3, len(labels) + 1):
            found = Counter(labels[order[:count]].tolist())
            for label, own in Counter(LABELS).items():
                assert abs(found[label] - own * count / len(labels)) <= 1.5

    def test_no_more_than_one_group_of_a_class_is_cut(self) -> None:
        order = representative_order(np.array(LABELS), GROUPS, 1)
        for count in range(len(order)):
            chosen = set(order[:count].tolist())
            cut = [
                {i for i in range(len(LABELS)) if GROUPS[i] == group and i in chosen} for group in dict.fromkeys(GROUPS)
            ]
            classes = [LABELS[min(part)] for part in cut if len(part) in (1, 2)]
            assert len(classes) == len(set(classes))

    def test_the_seed_decides(self) -> None:
        first, again, other = (representative_order(np.array(LABELS), GROUPS, seed) for seed in (3, 3, 4))
        assert first.tolist() == again.tolist()
        assert set(first[:9]) != set(other[:9])

    def test_names_of_groups_that_look_alike_are_apart(self) -> None:
        """NumPy's own text would lose the zero."""
        order = representative_order(np.array([0, 0, 0, 0]), ["a", "a\0", "a", "a\0"], 0)
        assert set(order[:2].tolist()) in ({0, 2}, {1, 3})


class TestImages:
    def test_fewer_are_part_of_more(self, source: ExampleSource) -> None:
        drawn = [make_scarce([source], Scarcity(images=count), CLASSES)[0] for count in (3, 7, 20, 36)]
        assert [len(part) for part in drawn] == [3, 7, 20, 36]
        names = [part.names() for part in drawn]
        for few, more in pairwise(names):
            # In the order in which they were.
            assert [name for name in more if name in few] == few
        assert names[-1] == source.names()
        assert drawn[0].has_masks().all()

    def test_several_sources_are_drawn_from_together(self, source: ExampleSource) -> None:
        parts = source.subset(range(30)), source.subset(range(30, 36))
        whole = make_scarce([source], Scarcity(images=20, mask_share=0.5, seed=2), CLASSES)[0]
        drawn = make_scarce(parts, Scarcity(images=20, mask_share=0.5, seed=2), CLASSES)
        assert [name for part in drawn for name in part.names()] == whole.names()
        assert [known for part in drawn for known in part.has_masks()] == whole.has_masks().tolist()

    def test_a_source_of_which_nothing_is_drawn_is_left_out(self, source: ExampleSource) -> None:
        nothing = source.subset([])
        assert len(make_scarce([source, nothing], Scarcity(images=9), CLASSES)) == 1

    @pytest.mark.parametrize(
        ("count", "message"),
        [
            (37, "config.data.train_images=37, but there are 36 training images: choose 36 at most, or 0 for all."),
            (1, "config.data.train_images=1 leaves no image of crack, fray: choose 3 at least."),
            (2, "config.data.train_images=2 leaves no image of fray: choose 3 at least."),
        ],
    )
    def test_what_cannot_be_had_is_refused(self, count: int, message: str, source: ExampleSource) -> None:
        with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
            make_scarce([source], Scarcity(images=count), CLASSES)


class TestMasks:
    @pytest.mark.parametrize(("share", "masks"), [(1.0, 12), (0.5, 6), (0.49, 6), (0.25, 3), (0.2, 3), (0.0, 0)])
    def test_a_share_of_the_defective_images_keeps_its_masks(
        self, share: float, masks: int, source: ExampleSource
    ) -> None:
        (drawn,) = make_scarce([source], Scarcity(mask_share=share), CLASSES)
        assert drawn.names() == source.names()
        assert drawn.labels().tolist() == source.labels().tolist()
        free = drawn.labels() == 0
        assert drawn.has_masks()[free].all()
        assert np.count_nonzero(drawn.has_masks()[~free]) == masks
        # All that a mask is read by says the same.
        assert (drawn.defective_shares() > 0).tolist() == (drawn.has_masks() & ~free).tolist()
        for index, known in enumerate(drawn.has_masks().tolist()):
            assert drawn[index]["has_mask"] == known
            assert drawn.mask(index).shape == (4, 3, 1)
            assert drawn.mask(index).any() == drawn[index]["mask"].any() == (known and not free[index])

    def test_fewer_are_part_of_more(self, source: ExampleSource) -> None:
        known = [make_scarce([source], Scarcity(mask_share=s), CLASSES)[0].has_masks() for s in (0.2, 0.5, 0.7, 1.0)]
        for few, more in pairwise(known):
            assert (few <= more).all()
            assert few.sum() < more.sum()

    def test_each_class_has_its_share(self, source: ExampleSource) -> None:
        (drawn,) = make_scarce([source], Scarcity(mask_share=1 / 3), CLASSES)
        assert Counter(drawn.labels()[drawn.has_masks()].tolist()) == {0: 24, 1: 3, 2: 1}

    def test_only_known_masks_of_labelled_images_are_drawn_from(self) -> None:
        source = source_of([1, 1, 1, 1, -1, 1], [*"abcdef"], [True, True, True, True, True, False])
        (drawn,) = make_scarce([source], Scarcity(mask_share=0.5), CLASSES)
        assert drawn.has_masks()[4:].tolist() == [True, False]
        assert drawn.has_masks()[:4].sum() == 2

    def test_without_a_free_class_every_image_is_drawn_from(self) -> None:
        source = source_of([0, 0, 0, 0], [*"abcd"], free=None)
        (drawn,) = make_scarce([source], Scarcity(mask_share=0.25), CLASSES)
        assert drawn.has_masks().sum() == 1

    def test_a_class_that_would_lose_all_of_them_is_refused(self, source: ExampleSource) -> None:
        with pytest.raises(UserError, match=r"mask_share=0\.05 leaves no mask of fray: choose 0\.167 at least, or 0"):
            make_scarce([source], Scarcity(mask_share=0.05), CLASSES)
        make_scarce([source], Scarcity(mask_share=0.167), CLASSES)

    def test_a_share_of_nothing_is_refused(self) -> None:
        for source in (source_of([0, 0], ["a", "b"]), source_of([-1, 1], ["a", "b"], [True, False])):
            with pytest.raises(UserError, match=r"mask_share=0\.5 is a share of .* there is none: leave it out"):
                make_scarce([source], Scarcity(mask_share=0.5), CLASSES)


class TestWithout:
    def test_a_class_is_left_out(self, source: ExampleSource) -> None:
        (left,) = make_scarce([source], Scarcity(without=(1,), images=6, mask_share=0.5), CLASSES)
        assert Counter(left.labels().tolist())[1] == 0
        assert len(left) == 6
        assert set(without_classes(source, (1,)).labels().tolist()) == {0, 2}

    def test_all_of_them_are_not(self, source: ExampleSource) -> None:
        with pytest.raises(UserError, match=r"config\.data\.without leaves no training image: "):
            make_scarce([source], Scarcity(without=(0, 1, 2)), CLASSES)
        assert len(without_classes(source, (0, 1, 2))) == 0
        assert without_classes(source, ()) is source
