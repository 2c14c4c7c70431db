import pickle

import numpy as np
import pytest
from image_records import ImageRecords, noting_sources

from dms_jax.data.cache import ExampleCache
from dms_jax.data.crops import CropSource
from dms_jax.data.examples import ExampleSource
from dms_jax.data.framing import Framing, crops_of, cut
from dms_jax.data.image_files import IGNORED
from dms_jax.data.pipeline import defective_flags

TILES = Framing("tiles", size=16, overlap=0)


def source(free_class=0, kind=ExampleSource):
    """A defect in the left half of a wide image of class 2, a free image, and a wide one whose mask is unknown."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (16, width, 3), np.uint8) for width in (32, 20, 32)]
    masks = [np.zeros((16, width), np.uint8) for width in (32, 20, 32)]
    masks[0][3, 4] = 255
    records = ImageRecords(images, masks, [2, 0, 1], [True, True, False])
    return kind(records, "train", free_class)


def test_tiles_are_those_of_all_images_in_order():
    examples = source()
    crops = CropSource(examples, TILES)
    assert len(crops) == 6
    expected = [(examples[i], crop) for i in range(3) for crop in crops_of(examples[i]["mask"].shape[:2], TILES)]
    for i, (example, crop) in enumerate(expected):
        np.testing.assert_array_equal(crops[i]["image"], cut(example["image"], crop, TILES))
        np.testing.assert_array_equal(crops[i]["mask"], cut(example["mask"], crop, TILES))
        assert crops[i]["content"].tolist() == list(crop.content)
        assert crops[i]["has_mask"] == example["has_mask"]


@pytest.mark.parametrize(
    ("free_class", "labels"),
    # The defect is in the first tile; nobody knows where the third image's is.
    [(0, [2, 0, 0, 0, -1, -1]), (None, [2, -1, -1, -1, -1, -1])],
)
def test_a_tile_is_labelled_by_what_it_shows(free_class, labels):
    crops = CropSource(source(free_class), TILES)
    assert [int(crops[i]["label"]) for i in range(6)] == labels
    assert crops.labels().tolist() == labels
    assert crops.has_masks().tolist() == [True] * 4 + [False] * 2
    assert defective_flags(crops).tolist() == [True] + [False] * 5
    assert [bool(crops.mask(i).any()) for i in range(6)] == [True] + [False] * 5


@pytest.mark.parametrize("mode", ["squash", "letterbox"])
def test_whole_images_keep_their_labels(mode):
    examples = source()
    crops = CropSource(examples, Framing(mode, size=8))
    assert [int(crops[i]["label"]) for i in range(3)] == crops.labels().tolist() == [2, 0, 1]
    np.testing.assert_array_equal(crops.mask(0), examples.mask(0))
    contents = {"squash": [0, 0, 8, 8], "letterbox": [2, 0, 4, 8]}
    assert crops[0]["content"].tolist() == contents[mode]


@pytest.mark.parametrize(("label", "labels"), [(2, [2, 0, -1]), (0, [0, 0, 0])])
def test_of_a_tile_that_is_ignored_all_over_nothing_is_known(label, labels):
    mask = np.zeros((16, 48), np.uint8)
    mask[:, 32:] = IGNORED
    mask[3, 4], mask[5, 20] = 255 * (label > 0), IGNORED
    records = ImageRecords([np.zeros((16, 48, 3), np.uint8)], [mask], [label])
    for ignores in (True, False):
        crops = CropSource(ExampleSource(records, "train", 0, ignores), TILES)
        # A shade of the mask means that only where it was declared.
        expected = labels if ignores else [label, 0, 0]
        assert crops.labels().tolist() == expected
        assert [int(crops[i]["label"]) for i in range(3)] == expected


def test_a_subset_keeps_its_order_and_can_be_sent_to_a_worker():
    crops = CropSource(source(), TILES)
    part = pickle.loads(pickle.dumps(crops.subset([5, 0])))
    assert len(part) == 2
    np.testing.assert_array_equal(part[0]["image"], crops[5]["image"])
    np.testing.assert_array_equal(part[1]["image"], crops[0]["image"])


def test_a_mask_is_decoded_once_for_all_its_tiles():
    decoded = []
    crops = CropSource(source(kind=noting_sources(decoded)), TILES)
    assert crops.labels().tolist() == [2, 0, 0, 0, -1, -1]
    assert decoded == [0, 1, 2]
    decoded.clear()
    assert defective_flags(crops.subset([0, 1, 4])).tolist() == [True, False, False]
    # Once for the labels and once for the flags.
    assert decoded == [0, 2, 0, 2]


def test_crops_that_are_kept_are_cut_once():
    decoded = []
    kind = noting_sources(decoded)
    plain = CropSource(source(), TILES)
    expected = [plain[i] for i in range(6)]
    # Room for four of six: 16 x 16 x (3 + 1) bytes each, and 16 for where the content is.
    cache = ExampleCache(4 * (1024 + 16))
    crops = CropSource(source(kind=kind), TILES, cache)
    part = crops.subset([5, 0])
    for _ in range(2):
        for i in range(4):
            for name, value in crops[i].items():
                np.testing.assert_array_equal(value, expected[i][name])
    assert decoded == [0, 0, 1, 1]
    # A subset knows what the whole keeps.
    np.testing.assert_array_equal(part[1]["image"], expected[0]["image"])
    assert decoded == [0, 0, 1, 1]
    np.testing.assert_array_equal(part[0]["image"], expected[5]["image"])
    np.testing.assert_array_equal(part[0]["mask"], expected[5]["mask"])
    assert decoded == [0, 0, 1, 1, 2, 2]
    # Another source has crops of its own.
    other = CropSource(source(kind=kind), TILES, cache)
    np.testing.assert_array_equal(other[0]["image"], expected[0]["image"])
    assert decoded[6:] == [0]


def test_a_tile_that_is_kept_does_not_keep_its_image():
    cache = ExampleCache(10**6)
    crops = CropSource(source(), TILES, cache)
    assert crops[0]["image"].base is not None
    for array in (crops[0]["image"], crops[0]["mask"]):
        assert array.shape[:2] == (16, 16)
        assert array.base is None


@pytest.mark.parametrize("framing", [Framing("squash", size=8), Framing("letterbox", size=16), TILES])
def test_a_pixel_that_is_made_of_ignored_ones_is_ignored(framing):
    mask = np.zeros((16, 32), np.uint8)
    mask[4:8, 4:8], mask[8:12, 4:8] = 255, IGNORED
    records = ImageRecords([np.zeros((16, 32, 3), np.uint8)], [mask], [1])
    ignoring, plain = (CropSource(ExampleSource(records, "train", 0, ignores), framing) for ignores in (True, False))
    for i in range(len(plain)):
        crop, whole = ignoring[i]["mask"], crops_of(mask.shape, framing)[i]
        touched, defective = (
            cut(np.where(mask[..., None] == value, np.uint8(255), np.uint8(0)), whole, framing)
            for value in (IGNORED, 255)
        )
        np.testing.assert_array_equal(crop == IGNORED, touched > 0)
        np.testing.assert_array_equal(crop > 127, (defective > 127) & (touched == 0))
    assert (ignoring[0]["mask"] == IGNORED).any()
    assert ignoring.defective().tolist() == plain.defective().tolist()


@pytest.mark.parametrize("framing", [Framing("squash", size=16), Framing("letterbox", size=16)])
def test_one_ignored_pixel_of_an_image_that_is_much_larger_is_ignored(framing):
    """Of 16 x 16 pixels, each is made of more than 22 x 22 of the image's."""
    for place in ((0, 0), (300, 477), (479, 511)):
        mask = np.zeros((480, 512), np.uint8)
        mask[place] = IGNORED
        records = ImageRecords([np.zeros((*mask.shape, 3), np.uint8)], [mask], [1])
        crop = CropSource(ExampleSource(records, "train", 0, ignores=True), framing)[0]["mask"]
        rows, columns, _ = np.nonzero(crop == IGNORED)
        assert 1 <= len(rows) <= 4
        top, _, height, _ = crops_of(mask.shape, framing)[0].content
        assert np.abs(rows - top - place[0] * height / 480).max() <= 1.5
        assert np.abs(columns - place[1] / 32).max() <= 1.5


def test_a_shade_of_one_is_black_where_pixels_are_ignored():
    mask = np.zeros((16, 16), np.uint8)
    mask[0, 0], mask[8, 8] = 255, IGNORED
    records = ImageRecords([np.zeros((16, 16, 3), np.uint8)], [mask], [1])
    for size in range(17, 60):
        crop = CropSource(ExampleSource(records, "train", 0, ignores=True), Framing("squash", size=size))[0]["mask"]
        rows, columns, _ = np.nonzero(crop == IGNORED)
        assert rows.min() > size / 4
        assert columns.min() > size / 4
