import pickle

import numpy as np
import pytest
from picture_records import PictureRecords

from dms_jax.data.framing import Framing, cut, pieces_of
from dms_jax.data.memory import Memory
from dms_jax.data.pieces import PieceSource
from dms_jax.data.source import ExampleSource, defective_flags

TILES = Framing("tiles", size=16, overlap=0)


def source(free_class=0):
    """A defect in the left half of a wide picture of class 2, a free picture, and a wide one whose mask is unknown."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (16, width, 3), np.uint8) for width in (32, 20, 32)]
    masks = [np.zeros((16, width), np.uint8) for width in (32, 20, 32)]
    masks[0][3, 4] = 255
    records = PictureRecords(images, masks, [2, 0, 1], [True, True, False])
    return ExampleSource(records, "train", free_class)


def test_tiles_are_those_of_all_pictures_in_order():
    pictures = source()
    pieces = PieceSource(pictures, TILES)
    assert len(pieces) == 6
    expected = [(pictures[i], piece) for i in range(3) for piece in pieces_of(pictures[i]["mask"].shape[:2], TILES)]
    for i, (example, piece) in enumerate(expected):
        np.testing.assert_array_equal(pieces[i]["image"], cut(example["image"], piece, TILES))
        np.testing.assert_array_equal(pieces[i]["mask"], cut(example["mask"], piece, TILES))
        assert pieces[i]["content"].tolist() == list(piece.content)
        assert pieces[i]["has_mask"] == example["has_mask"]


@pytest.mark.parametrize(
    ("free_class", "labels"),
    # The defect is in the first tile; nobody knows where the third picture's is.
    [(0, [2, 0, 0, 0, -1, -1]), (None, [2, -1, -1, -1, -1, -1])],
)
def test_a_tile_is_labelled_by_what_it_shows(free_class, labels):
    pieces = PieceSource(source(free_class), TILES)
    assert [int(pieces[i]["label"]) for i in range(6)] == labels
    assert pieces.labels().tolist() == labels
    assert pieces.has_masks().tolist() == [True] * 4 + [False] * 2
    assert defective_flags(pieces).tolist() == [True] + [False] * 5
    assert [bool(pieces.mask(i).any()) for i in range(6)] == [True] + [False] * 5


@pytest.mark.parametrize("mode", ["squash", "letterbox"])
def test_whole_pictures_keep_their_labels(mode):
    pictures = source()
    pieces = PieceSource(pictures, Framing(mode, size=8))
    assert [int(pieces[i]["label"]) for i in range(3)] == pieces.labels().tolist() == [2, 0, 1]
    np.testing.assert_array_equal(pieces.mask(0), pictures.mask(0))
    contents = {"squash": [0, 0, 8, 8], "letterbox": [2, 0, 4, 8]}
    assert pieces[0]["content"].tolist() == contents[mode]


def test_a_subset_keeps_its_order_and_can_be_sent_to_a_worker():
    pieces = PieceSource(source(), TILES)
    part = pickle.loads(pickle.dumps(pieces.subset([5, 0])))
    assert len(part) == 2
    np.testing.assert_array_equal(part[0]["image"], pieces[5]["image"])
    np.testing.assert_array_equal(part[1]["image"], pieces[0]["image"])


def test_a_mask_is_decoded_once_for_all_its_tiles(monkeypatch):
    pieces = PieceSource(source(), TILES)
    decoded = []
    mask = ExampleSource.mask
    monkeypatch.setattr(ExampleSource, "mask", lambda self, index: decoded.append(index) or mask(self, index))
    assert pieces.labels().tolist() == [2, 0, 0, 0, -1, -1]
    assert decoded == [0, 1, 2]
    decoded.clear()
    assert defective_flags(pieces.subset([0, 1, 4])).tolist() == [True, False, False]
    # Once for the labels and once for the flags.
    assert decoded == [0, 2, 0, 2]


def test_squares_that_are_kept_are_cut_once(monkeypatch):
    decoded = []
    example = ExampleSource.__getitem__
    monkeypatch.setattr(ExampleSource, "__getitem__", lambda self, index: decoded.append(index) or example(self, index))
    plain = PieceSource(source(), TILES)
    expected = [plain[i] for i in range(6)]
    decoded.clear()
    # Room for four of six: 16 x 16 x (3 + 1) bytes each, and 16 for where the content is.
    memory = Memory(4 * (1024 + 16))
    pieces = PieceSource(source(), TILES, memory)
    part = pieces.subset([5, 0])
    for _ in range(2):
        for i in range(4):
            for name, value in pieces[i].items():
                np.testing.assert_array_equal(value, expected[i][name])
    assert decoded == [0, 0, 1, 1]
    # A subset knows what the whole keeps.
    np.testing.assert_array_equal(part[1]["image"], expected[0]["image"])
    assert decoded == [0, 0, 1, 1]
    np.testing.assert_array_equal(part[0]["image"], expected[5]["image"])
    np.testing.assert_array_equal(part[0]["mask"], expected[5]["mask"])
    assert decoded == [0, 0, 1, 1, 2, 2]
    # Another source has squares of its own.
    other = PieceSource(source(), TILES, memory)
    np.testing.assert_array_equal(other[0]["image"], expected[0]["image"])
    assert decoded[6:] == [0]


def test_a_tile_that_is_kept_does_not_keep_its_picture():
    memory = Memory(10**6)
    pieces = PieceSource(source(), TILES, memory)
    assert pieces[0]["image"].base is not None
    for array in (pieces[0]["image"], pieces[0]["mask"]):
        assert array.shape[:2] == (16, 16)
        assert array.base is None
