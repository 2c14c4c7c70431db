from collections import Counter

import numpy as np
import pytest

from dms_jax.data.datasets.drawing import CLASS_NAMES, draw
from dms_jax.data.datasets.synthetic import Synthetic, SyntheticConfig, image_rng, label_of, split_of
from dms_jax.data.prepare import prepare
from dms_jax.errors import UsageError

DEFECTS = CLASS_NAMES[1:]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("data"))
    return prepare("synthetic", data_dir=folder, synthetic={"seed": 2, "size": 48, "images": 15})


def areas(mask):
    """Sizes of the connected regions of a boolean mask, by flooding."""
    left = {(int(r), int(c)) for r, c in zip(*np.nonzero(mask), strict=True)}
    found = []
    while left:
        stack, count = [left.pop()], 1
        while stack:
            r, c = stack.pop()
            for neighbour in {(r + i, c + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left:
                left.remove(neighbour)
                stack.append(neighbour)
                count += 1
        found.append(count)
    return found


def drawings(label, count=40, size=96, seed=0):
    return [draw(label, size, image_rng(seed, i)) for i in range(count)]


class TestDrawing:
    @pytest.mark.parametrize("label", CLASS_NAMES)
    @pytest.mark.parametrize("size", [48, 97])
    def test_shapes(self, label, size):
        drawing = draw(label, size, image_rng(0, 0))
        assert drawing.image.shape == (size, size, 3)
        assert drawing.mask.shape == (size, size)
        assert drawing.image.dtype == drawing.mask.dtype == np.uint8

    def test_free_images_have_an_empty_mask(self):
        assert all(not drawing.mask.any() for drawing in drawings("free"))

    @pytest.mark.parametrize("label", DEFECTS)
    def test_every_defect_is_large_enough_to_be_seen(self, label):
        for drawing in drawings(label):
            sizes = areas(drawing.mask > 127)
            assert sizes
            assert max(sizes) >= 20
            assert drawing.mask.max() == 255

    @pytest.mark.parametrize("label", DEFECTS)
    def test_most_of_the_mask_is_clear(self, label):
        for drawing in drawings(label, 10):
            defective = drawing.mask[drawing.mask > 127]
            assert np.median(defective) == 255

    def test_defects_differ_in_extent_as_their_names_say(self):
        share = {label: np.mean([d.mask > 127 for d in drawings(label)]) for label in DEFECTS}
        assert share["scratch"] < 0.05
        assert share["blob"] < 0.05
        assert 0.1 < share["stain"] < 0.3

    @pytest.mark.parametrize("label", DEFECTS)
    def test_defects_stand_out_from_their_surroundings(self, label):
        contrast = []
        for drawing in drawings(label):
            grey = drawing.image.mean(-1)
            contrast.append(abs(grey[drawing.mask > 127].mean() - grey[drawing.mask == 0].mean()))
        assert np.median(contrast) > 12

    def test_no_single_threshold_finds_them(self):
        grey = np.stack([d.image.mean(-1) for label in DEFECTS for d in drawings(label)])
        truth = np.stack([d.mask > 127 for label in DEFECTS for d in drawings(label)])
        deviation = np.abs(grey - np.median(grey, (1, 2), keepdims=True))
        best = 0.0
        for threshold in range(0, 128, 4):
            found = deviation > threshold
            overlap = (found & truth).sum()
            best = max(best, 2 * overlap / (found.sum() + truth.sum()))
        assert best < 0.6

    def test_images_are_neither_clipped_nor_alike(self):
        images = np.stack([d.image for d in drawings("free")])
        assert ((images == 0) | (images == 255)).mean() < 0.01
        assert len({image.tobytes() for image in images}) == len(images)
        assert images.std((1, 2, 3)).min() > 4


class TestStreams:
    def test_same_seed_same_image(self):
        first, again = (draw("stain", 64, image_rng(5, 3)) for _ in range(2))
        np.testing.assert_array_equal(first.image, again.image)
        np.testing.assert_array_equal(first.mask, again.mask)

    @pytest.mark.parametrize("stream", [(5, 4), (6, 3)])
    def test_other_index_or_seed_other_image(self, stream):
        first, other = draw("free", 64, image_rng(5, 3)), draw("free", 64, image_rng(*stream))
        assert (first.image != other.image).mean() > 0.5


class TestSplits:
    @pytest.mark.parametrize("total", [15, 16, 50, 480, 999])
    def test_every_split_has_every_class(self, total):
        pairs = Counter((split_of(i), label_of(i)) for i in range(total))
        assert len(pairs) == 3 * 4

    def test_shares(self):
        splits = Counter(split_of(i) for i in range(500))
        assert splits == {"train": 350, "validation": 50, "test": 100}
        for split in splits:
            labels = Counter(label_of(i) for i in range(500) if split_of(i) == split)
            assert labels == {"free": 0.4 * splits[split], **dict.fromkeys(DEFECTS, 0.2 * splits[split])}


class TestConfig:
    def test_name(self):
        assert SyntheticConfig().name == "seed0-size96-images480"
        assert SyntheticConfig(seed=7, size=64, images=20).name == "seed7-size64-images20"

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("seed", -1), ("seed", 0.5), ("seed", "0"), ("seed", None), ("seed", True), ("seed", 2**32),
            ("size", 0), ("size", 47), ("size", 96.0), ("size", 100_000),
            ("images", 14), ("images", -5), ("images", 10**9), ("images", [20]),
        ],
    )  # fmt: skip
    def test_nonsense_is_refused(self, key, value):
        with pytest.raises(UsageError, match=rf"{key} of the synthetic dataset must be a whole number from"):
            SyntheticConfig(**{key: value})

    @pytest.mark.parametrize("config", ["seed3-size48-images15", SyntheticConfig(seed=3, size=48, images=15)])
    def test_builder_takes_a_name_or_a_config(self, tmp_path, config, caplog):
        builder = Synthetic(data_dir=tmp_path, config=config)
        assert builder.builder_config == SyntheticConfig(seed=3, size=48, images=15)
        assert "custom data configuration" not in caplog.text

    def test_builder_refuses_another_name(self, tmp_path):
        with pytest.raises(ValueError, match="small not found"):
            Synthetic(data_dir=tmp_path, config="small")


class TestPrepared:
    def test_contents(self, data):
        assert data.class_names == ("free", "scratch", "blob", "stain")
        assert data.free_class == 0
        assert data.config == "seed2-size48-images15"
        assert data.sizes == {"train": 5, "validation": 5, "test": 5}

    def test_examples_are_the_drawings(self, data):
        seen = []
        for split in data.sizes:
            source = data.source(split)
            for i in range(len(source)):
                example = source[i]
                label, number = example["name"].removesuffix(".png").split("/")
                assert data.class_names[example["label"]] == label == label_of(int(number))
                assert split_of(int(number)) == split
                assert example["group"] == example["name"]
                drawing = draw(label, 48, image_rng(2, int(number)))
                np.testing.assert_array_equal(example["image"], drawing.image)
                np.testing.assert_array_equal(example["mask"][..., 0], drawing.mask)
                seen.append(int(number))
        assert sorted(seen) == list(range(15))

    def test_more_images_begin_with_the_same(self, data, tmp_path):
        more = prepare("synthetic", data_dir=str(tmp_path), synthetic={"seed": 2, "size": 48, "images": 20})
        few = {(e := s[i])["name"]: e for s in map(data.source, data.sizes) for i in range(len(s))}
        many = {(e := s[i])["name"]: e for s in map(more.source, more.sizes) for i in range(len(s))}
        assert len(many) == 20
        for name, example in few.items():
            np.testing.assert_array_equal(many[name]["image"], example["image"])
