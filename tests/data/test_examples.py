import numpy as np
import pytest
from image_records import ImageRecords

from dms_jax.data.examples import ExampleSource, defective_share, one_of_each_class
from dms_jax.data.pipeline import defective_flags


@pytest.fixture(scope="module")
def records():
    """Seven images of seven sizes: sound, grey up to and above the threshold, partly and wholly defective."""
    rng = np.random.default_rng(0)
    masks = [
        np.zeros((4, 5), np.uint8),
        np.full((3, 8), 127, np.uint8),
        np.full((6, 2), 128, np.uint8),
        np.full((7, 7), 255, np.uint8),
        *[rng.integers(0, 256, shape, np.uint8) for shape in ((1, 9), (10, 3))],
        np.zeros((2, 2), np.uint8),
    ]
    images = [rng.integers(0, 256, (*mask.shape, 3), np.uint8) for mask in masks]
    return ImageRecords(images, masks, [0, 2, 1, 1, 2, 0, 5])


@pytest.fixture
def source(records):
    return ExampleSource(records, "train")


def assert_is(example, records, index):
    np.testing.assert_array_equal(example["image"], records.images[index])
    np.testing.assert_array_equal(example["mask"][..., 0], records.masks[index])
    assert (example["label"], example["name"], example["group"]) == (records.labels[index], f"n{index}", "g")


class TestExampleSource:
    def test_every_example(self, source, records):
        assert len(source) == 7
        for i in range(7):
            assert_is(source[i], records, i)
        assert source.labels().tolist() == records.labels
        assert source.labels().dtype == np.int32

    def test_counts_from_the_end_as_a_list_does(self, source, records):
        assert_is(source[-1], records, 6)
        assert_is(source[np.int64(-7)], records, 0)

    @pytest.mark.parametrize("index", [7, -8, 100])
    def test_refuses_an_index_out_of_range(self, source, index):
        with pytest.raises(IndexError, match=str(index)):
            source[index]
        with pytest.raises(IndexError):
            source.mask(index)


class TestSubset:
    def test_takes_the_examples_in_the_given_order(self, source, records):
        part = source.subset([5, 0, 5])
        assert len(part) == 3
        for i, index in enumerate([5, 0, 5]):
            assert_is(part[i], records, index)
            np.testing.assert_array_equal(part.mask(i)[..., 0], records.masks[index])
        assert part.labels().tolist() == [0, 0, 0]
        assert_is(part[-2], records, 0)

    def test_a_subset_of_a_subset(self, source, records):
        part = source.subset([6, 4, 2, 0]).subset(np.array([3, 1]))
        assert len(part) == 2
        assert_is(part[0], records, 0)
        assert_is(part[1], records, 4)

    def test_labels_are_the_same_whether_the_whole_was_asked_before(self, source, monkeypatch):
        indices = [6, 2, 2]
        expected = source.subset(indices).labels(), source.subset(indices).has_masks()
        assert source.labels()[indices].tolist() == expected[0].tolist()
        # From now on nothing is read for them.
        monkeypatch.setattr(source, "_record", None)
        part = source.subset(indices)
        assert part.labels().tolist() == expected[0].tolist()
        assert part.has_masks().tolist() == expected[1].tolist()
        part.labels()[:] = 9
        assert part.subset([0]).labels().tolist() == [expected[0][0]]

    def test_leaves_the_source_as_it_was(self, source, records):
        source.subset([3]).subset([0])
        assert len(source) == 7
        assert_is(source[3], records, 3)

    def test_does_not_follow_a_later_change_of_the_indices(self, source, records):
        indices = np.array([1, 2])
        part = source.subset(indices)
        indices[:] = 0
        assert_is(part[0], records, 1)

    def test_range_is_its_own(self, source):
        part = source.subset([6, 5])
        for index in (2, -3):
            with pytest.raises(IndexError, match=f"{index} is out of range for 2"):
                part[index]

    def test_may_be_empty(self, source):
        part = source.subset([])
        assert len(part) == 0
        assert part.labels().shape == (0,)
        assert defective_flags(part).shape == (0,)

    @pytest.mark.parametrize("indices", [[0, 7], [-1], [-8]])
    def test_refuses_indices_out_of_range(self, source, indices):
        with pytest.raises(IndexError, match="out of range for 7"):
            source.subset(indices)

    def test_refuses_a_boolean_mask(self, source):
        with pytest.raises(TypeError, match="bool"):
            source.subset(np.array([True] * 7))


class TestDefects:
    def test_share_agrees_with_numpy(self, source, records):
        shares = [(mask > 127).sum() / mask.size for mask in records.masks]
        assert defective_share(source) == pytest.approx(sum(shares) / len(shares), abs=1e-15)

    @pytest.mark.parametrize(("indices", "share"), [([0, 1, 6], 0), ([2, 3], 1), ([0, 2], 1 / 2)])
    def test_share_of_a_subset(self, source, indices, share):
        assert defective_share(source.subset(indices)) == share

    def test_images_weigh_the_same_whatever_their_sizes(self, source):
        assert defective_share(source.subset([3, 6])) == 1 / 2

    def test_flags_agree_with_numpy(self, source, records):
        flags = defective_flags(source)
        assert flags.dtype == bool
        assert flags.tolist() == [bool((mask > 127).any()) for mask in records.masks]


class TestUnknownMasks:
    """Black and white masks, known or not, of a defect-free class 1, a defective class 0 and no class."""

    def source(self, rows, free_class=1):
        images = [np.zeros((2, 2, 3), np.uint8)] * len(rows)
        masks = [np.full((2, 2), 255 * white, np.uint8) for white, _, _ in rows]
        labels, known = [label for _, label, _ in rows], [bool(has_mask) for _, _, has_mask in rows]
        return ExampleSource(ImageRecords(images, masks, labels, known), "train", free_class)

    def test_examples_say_so(self):
        source = self.source([(1, 0, 1), (0, 0, 0), (0, -1, 1)])
        assert source.has_masks().tolist() == [True, False, True]
        assert source.has_masks().dtype == bool
        for i in range(3):
            assert source[i]["has_mask"] == source.has_masks()[i]
            assert source[i]["has_mask"].dtype == bool
        assert source.labels().tolist() == [0, 0, -1]
        assert source.subset([1, 0]).has_masks().tolist() == [False, True]

    def test_share_is_of_the_known_ones(self):
        assert defective_share(self.source([(1, 0, 1), (0, 0, 0), (0, 1, 1), (0, 0, 0)])) == 1 / 2
        assert defective_share(self.source([(0, 0, 0), (0, 1, 0)])) == 1 / 2
        assert defective_share(self.source([(0, 0, 0), (0, 1, 1)])) == 0

    @pytest.mark.parametrize(
        ("row", "flag"),
        [
            # The mask says it where it is known, whatever the label.
            ((1, 0, 1), True),
            ((0, 0, 1), False),
            ((1, 1, 1), True),
            ((0, 1, 1), False),
            ((1, -1, 1), True),
            ((0, -1, 1), False),
            # The label where it is not.
            ((0, 0, 0), True),
            ((0, 1, 0), False),
            ((0, 2, 0), True),
            ((0, -1, 0), False),
        ],
    )
    def test_flags(self, row, flag):
        assert defective_flags(self.source([row])).tolist() == [flag]
        assert defective_flags(self.source([row, row]).subset([1])).tolist() == [flag]

    def test_flags_without_a_free_class(self):
        source = self.source([(0, 0, 0), (0, 1, 0), (0, 0, 1)], free_class=None)
        assert defective_flags(source).tolist() == [True, True, False]


def slow_choice(labels, count):
    """Round after round, one more of each class, in the order of the classes' numbers."""
    left = {label: [i for i, other in enumerate(labels) if other == label] for label in sorted(set(labels))}
    chosen = []
    while any(left.values()):
        chosen += [indices.pop(0) for indices in left.values() if indices]
    return chosen[:count]


class TestOneOfEachClass:
    @pytest.mark.parametrize("count", [1, 2, 3, 4, 10, 30, 31, 100])
    def test_agrees_with_a_slow_choice(self, count):
        labels = np.random.default_rng(count).choice(5, 30, p=[0.6, 0.2, 0.1, 0.05, 0.05]).astype(np.int32)
        assert one_of_each_class(labels, count).tolist() == slow_choice(labels.tolist(), count)

    def test_as_many_as_there_are_classes_gives_each(self):
        labels = np.array([3, 3, 3, 0, 3, 1], np.int32)
        assert labels[one_of_each_class(labels, 3)].tolist() == [0, 1, 3]

    def test_no_example_twice(self):
        labels = np.array([1, 1, 0, 1], np.int32)
        assert sorted(one_of_each_class(labels, 9).tolist()) == [0, 1, 2, 3]
