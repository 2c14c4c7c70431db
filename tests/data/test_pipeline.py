import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from image_records import ImageRecords
from PIL import Image

from dms_jax.data.crops import CropSource
from dms_jax.data.examples import ExampleSource
from dms_jax.data.framing import Framing, cut
from dms_jax.data.pipeline import crop_batches, defective_flags, evaluation_batches, training_batches, training_order

SIZE = 20
FRAMING = Framing(size=SIZE)
NAMES = ("image", "mask", "has_mask", "label", "content")


def images(count, seed):
    """A source of images of many sizes; two of five are defective."""
    rng = np.random.default_rng(seed)
    shapes = rng.integers(5, 40, (count, 2))
    images = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]
    # Up to the threshold, or with pixels above.
    masks = [rng.integers(0, 128, shape, np.uint8) + np.uint8(120 * (i % 5 < 2)) for i, shape in enumerate(shapes)]
    # The unknown ones keep their pixels here: `has_mask` must tell them, not the pixels.
    known = [i % 7 != 3 for i in range(count)]
    return ExampleSource(ImageRecords(images, masks, rng.integers(0, 6, count).tolist(), known), "train")


@pytest.fixture(scope="module")
def train():
    return images(60, seed=0)


@pytest.fixture(scope="module")
def names(train):
    return [train[i]["name"] for i in range(len(train))]


@pytest.fixture(scope="module")
def defective(train, names):
    return {name for name, flag in zip(names, defective_flags(train), strict=True) if flag}


def drawn(order, start, stop):
    return [order[i]["name"] for i in range(start, stop)]


def squash(image, size):
    """The image as Pillow's bilinear filter makes it, channel by channel."""
    channels = [
        np.asarray(Image.fromarray(image[..., c]).resize((size, size), Image.BILINEAR)) for c in range(image.shape[2])
    ]
    return np.stack(channels, axis=-1)


def expected_rows(order, first, count):
    examples = [order[i] for i in range(first, first + count)]
    return {
        "image": np.stack([squash(example["image"], SIZE) for example in examples]),
        "mask": np.stack([squash(example["mask"], SIZE) for example in examples]),
        "has_mask": np.array([example["has_mask"] for example in examples]),
        "label": np.array([example["label"] for example in examples]),
        "content": np.array([[0, 0, SIZE, SIZE]] * count),
    }


def assert_same_batch(found, expected):
    assert found.keys() == expected.keys() == set(NAMES)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


class TestTrainingOrder:
    def test_every_epoch_is_a_permutation_of_its_own(self, train, names):
        order = training_order([train], seed=0)
        epochs = [drawn(order, k * len(names), (k + 1) * len(names)) for k in range(4)]
        for epoch in epochs:
            assert sorted(epoch) == sorted(names)
        assert len({tuple(epoch) for epoch in [names, *epochs]}) == 5

    def test_the_seed_decides(self, train, names):
        orders = [drawn(training_order([train], seed=seed), 0, len(names)) for seed in (0, 0, 1, 2**32 - 1)]
        assert orders[0] == orders[1]
        assert len(set(map(tuple, orders))) == 3

    def test_several_sources_are_shuffled_as_one(self, train, names):
        sources = [train.subset(np.arange(20)), train.subset(np.arange(20, 60))]
        order = training_order(sources, seed=0)
        for k in range(2):
            assert sorted(drawn(order, 60 * k, 60 * (k + 1))) == sorted(names)
        assert set(drawn(order, 0, 20)) != set(names[:20])

    @pytest.mark.parametrize("fraction", [0.1, 0.5, 0.8])
    def test_defective_fraction(self, train, names, defective, fraction):
        order = training_order([train], seed=0, defective_fraction=fraction)
        found = drawn(order, 0, 300)
        hits = np.array([name in defective for name in found])
        # Of any run, not of the whole alone.
        for start, stop in ((0, 300), (0, 40), (113, 213)):
            assert abs(hits[start:stop].sum() - fraction * (stop - start)) <= 1.001

    @pytest.mark.parametrize("fraction", [0.1, 0.5, 0.8])
    def test_all_examples_of_a_kind_come_round_equally_often(self, train, names, defective, fraction):
        order = training_order([train], seed=0, defective_fraction=fraction)
        found = drawn(order, 0, 300)
        for kind in (defective, set(names) - defective):
            counts = Counter(name for name in found if name in kind)
            assert set(counts) == kind
            assert max(counts.values()) - min(counts.values()) <= 1

    def test_defective_examples_are_shuffled_too(self, train, defective):
        order = training_order([train], seed=0, defective_fraction=0.5)
        found = [name for name in drawn(order, 0, 8 * len(defective)) if name in defective]
        epochs = [tuple(found[k * len(defective) : (k + 1) * len(defective)]) for k in range(4)]
        assert all(set(epoch) == defective for epoch in epochs)
        assert len(set(epochs)) > 1
        other = training_order([train], seed=1, defective_fraction=0.5)
        assert drawn(other, 0, 40) != drawn(order, 0, 40)

    def test_a_fraction_of_one_takes_defective_images_alone(self, train, defective):
        order = training_order([train], seed=0, defective_fraction=1.0)
        for epoch in range(2):
            first = epoch * len(defective)
            assert sorted(drawn(order, first, first + len(defective))) == sorted(defective)

    @pytest.mark.parametrize("fraction", [0.3, 1.0])
    @pytest.mark.parametrize("kind", [True, False])
    def test_a_fraction_of_only_one_kind_takes_all(self, train, names, kind, fraction):
        part = train.subset(np.flatnonzero(defective_flags(train) == kind))
        order = training_order([part], seed=0, defective_fraction=fraction)
        expected = [part[i]["name"] for i in range(len(part))]
        assert sorted(drawn(order, 0, len(part))) == sorted(expected)

    def test_a_source_without_defective_images_beside_another(self, train, names):
        free = train.subset(np.flatnonzero(~defective_flags(train)))
        bad = train.subset(np.flatnonzero(defective_flags(train)))
        order = training_order([free, bad], seed=0, defective_fraction=0.5)
        assert set(drawn(order, 0, 120)) == set(names)


def kinds_of(sources):
    """Names of the normal examples, of the defective ones without a mask, and of those with one."""
    normal, unmasked, masked = set(), set(), set()
    for source in sources:
        for name, is_defective, known in zip(source.names(), defective_flags(source), source.has_masks(), strict=True):
            ((masked if known else unmasked) if is_defective else normal).add(name)
    return normal, unmasked, masked


class TestMaskedFraction:
    @pytest.fixture
    def source(self, train):
        """The training images, of whose defective ones every third keeps its mask."""
        defective = np.flatnonzero(defective_flags(train))
        return train.hide_masks(np.setdiff1d(defective, defective[::3]))

    @pytest.mark.parametrize("fraction", [0.25, 0.5, 0.75])
    def test_masked_examples_are_that_share_of_the_defective_ones(self, source, fraction):
        normal, unmasked, masked = kinds_of([source])
        assert min(map(len, (normal, unmasked, masked))) > 3
        order = training_order([source], seed=0, defective_fraction=0.5, masked_fraction=fraction)
        found = drawn(order, 0, 400)
        for start, stop in ((0, 400), (0, 80), (113, 213)):
            part = found[start:stop]
            for kind, share in ((normal, 0.5), (unmasked, 0.5 * (1 - fraction)), (masked, 0.5 * fraction)):
                assert abs(sum(name in kind for name in part) - share * len(part)) <= 2

    def test_each_kind_comes_round_equally_often(self, source):
        found = drawn(training_order([source], seed=0, defective_fraction=0.5, masked_fraction=0.5), 0, 400)
        for kind in kinds_of([source]):
            counts = Counter(name for name in found if name in kind)
            assert set(counts) == kind
            assert max(counts.values()) - min(counts.values()) <= 1

    def test_a_fraction_of_one_leaves_out_defective_images_without_a_mask(self, source):
        normal, _, masked = kinds_of([source])
        found = drawn(training_order([source], seed=0, defective_fraction=0.5, masked_fraction=1.0), 0, 400)
        assert set(found) == normal | masked
        assert abs(sum(name in masked for name in found) - 200) <= 1

    @pytest.mark.parametrize("balance", [0.0, 0.5])
    def test_where_all_or_none_are_masked_nothing_changes(self, train, balance):
        for source in (train.subset(np.flatnonzero(train.has_masks())), train.hide_masks(np.arange(len(train)))):
            plain = training_order([source], seed=0, defective_fraction=balance)
            order = training_order([source], seed=0, defective_fraction=balance, masked_fraction=0.5)
            assert drawn(order, 0, 100) == drawn(plain, 0, 100)

    def test_without_a_share_of_defective_images_it_does_nothing(self, source):
        order = training_order([source], seed=0, masked_fraction=0.5)
        assert drawn(order, 0, 100) == drawn(training_order([source], seed=0), 0, 100)

    def test_two_sources_one_of_them_masked(self, train, names):
        half = np.arange(len(train)) % 2 == 0
        first, second = train.subset(np.flatnonzero(half)), train.subset(np.flatnonzero(~half))
        sources = [first, second.hide_masks(np.flatnonzero(defective_flags(second)))]
        _, _, masked = kinds_of(sources)
        found = drawn(training_order(sources, seed=0, defective_fraction=0.5, masked_fraction=0.5), 0, 400)
        assert set(found) == set(names)
        assert abs(sum(name in masked for name in found) - 100) <= 2

    def test_without_normal_images_the_defective_ones_share_all(self, source):
        part = source.subset(np.flatnonzero(defective_flags(source)))
        _, unmasked, masked = kinds_of([part])
        found = drawn(training_order([part], seed=0, defective_fraction=0.5, masked_fraction=0.5), 0, 200)
        assert set(found) == unmasked | masked
        assert abs(sum(name in masked for name in found) - 100) <= 2


def batches_of(train, fraction=0.0, **options):
    """Training batches of the crops of a source."""
    order = training_order([CropSource(train, FRAMING)], seed=0, defective_fraction=fraction)
    return training_batches(order, **options)


class TestTrainingBatches:
    @pytest.mark.parametrize("fraction", [0.0, 0.5])
    def test_batches_are_the_order(self, train, fraction):
        order = training_order([train], seed=0, defective_fraction=fraction)
        batches = batches_of(train, fraction, batch_size=4)
        try:
            for k in range(6):
                batch = next(batches)
                assert batch["image"].shape == (4, SIZE, SIZE, 3)
                assert batch["mask"].shape == (4, SIZE, SIZE, 1)
                assert batch["image"].dtype == batch["mask"].dtype == np.uint8
                assert batch["has_mask"].dtype == bool
                assert batch["label"].dtype == np.int32
                assert_same_batch(batch, expected_rows(order, 4 * k, 4))
        finally:
            batches.close()

    @pytest.mark.parametrize("count", [2, 4])
    def test_processes_share_the_batches_of_one(self, train, count):
        order = training_order([train], seed=0, defective_fraction=0.5)
        iterators = [
            batches_of(train, 0.5, batch_size=8, process_index=index, process_count=count) for index in range(count)
        ]
        try:
            for k in range(4):
                parts = [next(iterator) for iterator in iterators]
                assert all(len(part["label"]) == 8 // count for part in parts)
                whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
                assert_same_batch(whole, expected_rows(order, 8 * k, 8))
        finally:
            for iterator in iterators:
                iterator.close()

    @pytest.mark.parametrize("count", [1, 3, 7])
    def test_every_image_comes_once_an_epoch_whatever_the_number_of_processes(self, train, count):
        """Ten are no multiple of three or seven: a batch may hold the end of an epoch and the beginning of the next."""
        source = train.subset(np.arange(10))
        order = training_order([source], seed=0)
        iterators = [
            batches_of(source, 0.0, batch_size=count, process_index=index, process_count=count)
            for index in range(count)
        ]
        try:
            parts = [[next(iterator) for iterator in iterators] for _ in range(10)]
        finally:
            for iterator in iterators:
                iterator.close()
        found = {name: np.concatenate([part[name] for batch in parts for part in batch]) for name in NAMES}
        for epoch in range(count):
            rows = slice(10 * epoch, 10 * epoch + 10)
            assert_same_batch(
                {name: array[rows] for name, array in found.items()}, expected_rows(order, 10 * epoch, 10)
            )
            assert sorted(order[k]["name"] for k in range(rows.start, rows.stop)) == sorted(
                source[k]["name"] for k in range(10)
            )

    @pytest.mark.parametrize("fraction", [0.0, 0.01, 0.5])
    @pytest.mark.parametrize("count", [1, 4])
    def test_a_process_may_have_one_image_of_a_batch(self, train, fraction, count):
        order = training_order([train], seed=0, defective_fraction=fraction)
        for index in range(count):
            batches = batches_of(train, fraction, batch_size=count, process_index=index, process_count=count)
            try:
                for k in range(3):
                    assert_same_batch(next(batches), expected_rows(order, count * k + index, 1))
            finally:
                batches.close()

    @pytest.mark.parametrize("fraction", [0.0, 0.5])
    @pytest.mark.parametrize("threads", [1, 3])
    @pytest.mark.parametrize("done", [0, 1, 7])
    def test_resumes_from_a_saved_state(self, train, fraction, threads, done):
        order = training_order([train], seed=0, defective_fraction=fraction)
        options = {"batch_size": 4}
        first, again = (batches_of(train, fraction, **options) for _ in range(2))
        other = batches_of(train, fraction, **options, threads=threads)
        try:
            for _ in range(done):
                next(first)
            state = first.get_state()
            next(again)
            for iterator in (again, other):  # one that has been read, and one that has not
                iterator.set_state(state)
            for k in range(done, done + 3):
                expected = expected_rows(order, 4 * k, 4)
                for iterator in (first, again, other):
                    assert_same_batch(next(iterator), expected)
        finally:
            for iterator in (first, again, other):
                iterator.close()

    def test_resumes_in_a_process_of_several(self, train):
        order = training_order([train], seed=0)
        options = {"batch_size": 4, "process_index": 1, "process_count": 2}
        first, second = batches_of(train, **options), batches_of(train, **options)
        try:
            for _ in range(3):
                next(first)
            second.set_state(first.get_state())
            assert_same_batch(next(second), expected_rows(order, 4 * 3 + 2, 2))
        finally:
            first.close()
            second.close()


_WITH_A_WORKER = """
import sys
from absl import app
import numpy as np
from dms_jax.data.framing import Framing
from dms_jax.data.cache import ExampleCache
from dms_jax.data.crops import CropSource
from dms_jax.data.pipeline import training_batches, training_order
from dms_jax.data.prepare import prepare

def main(argv):
    data = prepare("synthetic", data_dir=argv[1], synthetic={"seed": 3, "size": 48, "images": 15})
    # The worker keeps what it has decoded.
    for workers, cache in ((0, None), (1, ExampleCache(10**6))):
        crops = CropSource(data.source("train"), Framing(size=20), cache)
        order = training_order([crops], seed=0, defective_fraction=0.5)

        def batches():
            return training_batches(order, batch_size=4, workers=workers)
        first = batches()
        found = [next(first) for _ in range(2)]
        state = first.get_state()
        found += [next(first) for _ in range(2)]
        first.close()
        second = batches()
        second.set_state(state)
        found += [next(second) for _ in range(2)]
        second.close()
        arrays = {f"{name}{k}": value for k, batch in enumerate(found) for name, value in batch.items()}
        np.savez(f"{argv[1]}/workers{workers}.npz", **arrays)

if __name__ == "__main__":
    app.run(main)
"""


def test_a_worker_process_loads_the_same_and_resumes(tmp_path):
    # A program of its own: workers import the main module anew, which here would be pytest.
    program = tmp_path / "load.py"
    program.write_text(_WITH_A_WORKER)
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = {}
    for workers in (0, 1):
        with np.load(tmp_path / f"workers{workers}.npz") as arrays:
            found[workers] = [{name: arrays[f"{name}{k}"] for name in NAMES} for k in range(6)]
    for k in range(4):
        assert_same_batch(found[1][k], found[0][k])
    for k in (2, 3):
        assert_same_batch(found[0][k + 2], found[0][k])
        assert_same_batch(found[1][k + 2], found[1][k])
    assert found[0][0]["image"].tolist() != found[0][1]["image"].tolist()


class TestEvaluationBatches:
    def check(self, source, batches, rows):
        """What the batches hold of each image, in their order; the shapes are checked."""
        found = []
        for batch in batches:
            assert batch.images.shape == (rows, SIZE, SIZE, 3)
            assert batch.images.dtype == np.uint8
            assert batch.labels.dtype == np.int32
            assert len(batch.masks) == len(batch.labels) == len(batch.names) == len(batch.has_mask) <= rows
            assert batch.has_mask.dtype == bool
            assert not batch.images[len(batch.masks) :].any()
            found += list(zip(batch.names, batch.labels, batch.masks, batch.has_mask, batch.images, strict=False))
        return found

    def assert_all(self, source, found):
        assert len(found) == len(source)
        for i, (name, label, mask, has_mask, image) in enumerate(found):
            example = source[i]
            assert name == example["name"]
            assert label == example["label"]
            assert has_mask == example["has_mask"] == (int(name[1:]) % 7 != 3)
            np.testing.assert_array_equal(mask, example["mask"][..., 0])
            np.testing.assert_array_equal(image, squash(example["image"], SIZE))

    @pytest.mark.parametrize("batch_size", [7, 30, 59, 100])
    def test_each_image_once_in_order(self, train, batch_size):
        batches = list(evaluation_batches(train, FRAMING, batch_size=batch_size))
        assert len(batches) == -(-len(train) // batch_size)
        assert all(len(batch.masks) == batch_size for batch in batches[:-1])
        self.assert_all(train, self.check(train, batches, batch_size))

    def test_more_threads_than_a_small_batch_fills_are_no_mistake(self, train, caplog):
        self.assert_all(train, self.check(train, evaluation_batches(train, FRAMING, batch_size=1, threads=8), 1))
        assert not caplog.records

    @pytest.mark.parametrize("count", [2, 3, 4])
    @pytest.mark.parametrize("images", [1, 4, 8, 9, 10, 11, 15])
    def test_processes_share_the_images(self, train, count, images):
        source = train.subset(np.arange(images))
        size = 3 if count == 3 else 4
        parts = [
            list(evaluation_batches(source, FRAMING, batch_size=size, process_index=index, process_count=count))
            for index in range(count)
        ]
        # As many batches for each: they predict together.
        assert {len(part) for part in parts} == {-(-images // size)}
        in_order = [row for batches in zip(*parts, strict=True) for row in self.check(source, batches, size // count)]
        self.assert_all(source, in_order)

    def test_the_order_of_a_subset_is_kept(self, train):
        source = train.subset([9, 2, 2, 11])
        self.assert_all(source, self.check(source, evaluation_batches(source, FRAMING, batch_size=3), 3))

    def test_whole_images_are_there_on_demand(self, train):
        for whole_images in (True, False):
            batch = next(evaluation_batches(train, FRAMING, batch_size=4, whole_images=whole_images))
            assert len(batch.whole_images) == 4 * whole_images
            for index, image in enumerate(batch.whole_images):
                np.testing.assert_array_equal(image, train[index]["image"])

    def test_masks_keep_their_size(self, train):
        batch = next(evaluation_batches(train, FRAMING, batch_size=4))
        assert [mask.shape for mask in batch.masks] == [train[i]["mask"].shape[:2] for i in range(4)]
        assert len({mask.shape for mask in batch.masks}) == 4


class TestCropBatches:
    @pytest.mark.parametrize("batch_size", [7, 30, 100])
    def test_each_crop_once_in_order(self, train, batch_size):
        crops = CropSource(train, FRAMING)
        batches = list(crop_batches(crops, SIZE, batch_size=batch_size))
        assert all(batch["image"].shape == (batch_size, SIZE, SIZE, 3) for batch in batches)
        whole = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
        assert whole["valid"].tolist() == [True] * len(train) + [False] * (len(whole["valid"]) - len(train))
        for i in range(len(train)):
            for name, value in crops[i].items():
                np.testing.assert_array_equal(whole[name][i], value)

    @pytest.mark.parametrize(("count", "batch_size"), [(2, 8), (3, 6), (3, 3)])
    def test_processes_share_the_crops(self, train, count, batch_size):
        crops = CropSource(train, FRAMING)
        parts = [
            list(crop_batches(crops, SIZE, batch_size=batch_size, process_index=index, process_count=count))
            for index in range(count)
        ]
        alone = list(crop_batches(crops, SIZE, batch_size=batch_size))
        for *shares, whole in zip(*parts, alone, strict=True):
            for name, value in whole.items():
                np.testing.assert_array_equal(np.concatenate([share[name] for share in shares]), value)


def test_tiles_of_images_are_predicted_in_whole_rows(train):
    framing = Framing("tiles", size=8)
    batch = next(evaluation_batches(train, framing, batch_size=4))
    count = sum(len(crops) for crops in batch.crops)
    assert count > 8
    assert len(batch.images) == -(-count // 4) * 4
    np.testing.assert_array_equal(batch.images[1], cut(train[0]["image"], batch.crops[0][1], framing))
    assert not batch.images[count:].any()
