import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dms_jax.data.framing import MODES, Framing, Piece, cut, join, pieces_of

SIDES = st.integers(1, 90)
FRAMINGS = st.builds(
    Framing,
    mode=st.sampled_from(MODES),
    size=st.integers(6, 40),
    tile=st.one_of(st.just(0), st.integers(6, 50)),
    overlap=st.floats(0, 0.7),
)


def squash(picture, size):
    """The picture as Pillow's bilinear filter makes it, channel by channel."""
    channels = [np.asarray(Image.fromarray(picture[..., c]).resize(size[::-1], Image.BILINEAR)) for c in range(3)]
    return np.stack(channels, axis=-1)


def random_picture(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@given(SIDES, SIDES, FRAMINGS)
def test_pieces_cover_the_picture_and_lie_in_their_squares(height, width, framing):
    pieces = pieces_of((height, width), framing)
    covered = np.zeros((height, width), bool)
    for piece in pieces:
        top, left, tall, wide = piece.content
        assert min(piece.top, piece.left, top, left) >= 0
        assert min(piece.height, piece.width, tall, wide) >= 1
        assert top + tall <= framing.size
        assert left + wide <= framing.size
        assert piece.top + piece.height <= height
        assert piece.left + piece.width <= width
        covered[piece.top : piece.top + piece.height, piece.left : piece.left + piece.width] = True
        square = cut(np.full((height, width, 1), 9, np.uint8), piece, framing)
        inside = np.zeros((framing.size, framing.size), bool)
        inside[top : top + tall, left : left + wide] = True
        np.testing.assert_array_equal(square[..., 0], np.where(inside, 9, 0))
    assert covered.all()


@given(SIDES, SIDES, FRAMINGS, st.integers(0, 255))
def test_a_constant_map_comes_back_as_it_was(height, width, framing, value):
    pieces = pieces_of((height, width), framing)
    squares = [np.full((framing.size, framing.size), value, np.uint8)] * len(pieces)
    found = join(squares, pieces, (height, width))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.full((height, width), value))


@given(st.integers(20, 90), st.integers(20, 90), st.floats(0, 0.9))
def test_tiles_at_their_own_resolution_lose_nothing(height, width, overlap):
    framing = Framing("tiles", size=16, overlap=overlap)
    picture = random_picture((height, width, 1))
    pieces = pieces_of((height, width), framing)
    assert join([cut(picture, piece, framing)[..., 0] for piece in pieces], pieces, (height, width)).tolist() == (
        picture[..., 0].tolist()
    )


@pytest.mark.parametrize("shape", [(7, 31), (40, 12), (5, 5), (1, 90)])
@pytest.mark.parametrize("size", [16, 33])
def test_squash_is_pillows_resize_both_ways(shape, size):
    framing = Framing(size=size)
    picture = random_picture((*shape, 3))
    (piece,) = pieces_of(shape, framing)
    assert piece == Piece(0, 0, *shape, (0, 0, size, size))
    np.testing.assert_array_equal(cut(picture, piece, framing), squash(picture, (size, size)))
    found = random_picture((size, size))
    expected = np.asarray(Image.fromarray(found).resize(shape[::-1], Image.BILINEAR))
    np.testing.assert_array_equal(join([found], [piece], shape), expected)


def test_letterbox_keeps_the_aspect_in_the_middle():
    framing = Framing("letterbox", size=20)
    (piece,) = pieces_of((40, 10), framing)
    assert piece.content == (0, 7, 20, 5)
    picture = random_picture((40, 10, 3))
    square = cut(picture, piece, framing)
    np.testing.assert_array_equal(square[:, 7:12], squash(picture, (20, 5)))
    assert (square[:, :7] == [124, 116, 104]).all()
    assert (square[:, 12:] == [124, 116, 104]).all()


def test_letterbox_maps_come_back_without_the_padding():
    framing = Framing("letterbox", size=20)
    (piece,) = pieces_of((20, 10), framing)
    square = np.full((20, 20), 255, np.uint8)
    square[:, 5:15] = random_picture((20, 10))
    np.testing.assert_array_equal(join([square], [piece], (20, 10)), square[:, 5:15])


def test_tiles_overlap_at_least_as_asked_and_evenly():
    starts = sorted({piece.left for piece in pieces_of((10, 100), Framing("tiles", size=30, overlap=0.25))})
    assert starts[0] == 0
    assert starts[-1] == 70
    steps = np.diff(starts)
    assert steps.max() <= 30 * 0.75
    assert steps.max() - steps.min() <= 1


def test_in_an_overlap_the_nearer_tile_counts_more():
    framing = Framing("tiles", size=8, overlap=0.5)
    pieces = pieces_of((8, 12), framing)
    assert [piece.left for piece in pieces] == [0, 4]
    found = join([np.full((8, 8), 0, np.uint8), np.full((8, 8), 200, np.uint8)], pieces, (8, 12))
    assert (found[4, :4] == 0).all()
    assert (np.diff(found[4].astype(int)) >= 0).all()
    assert found[4, 4] < 100 < found[4, 7]
    assert (found[4, 8:] == 200).all()


def test_a_tile_of_another_size_is_resized():
    framing = Framing("tiles", size=10, tile=40)
    picture = random_picture((40, 60, 3))
    pieces = pieces_of((40, 60), framing)
    assert {piece.content for piece in pieces} == {(0, 0, 10, 10)}
    np.testing.assert_array_equal(cut(picture, pieces[-1], framing), squash(picture[:, -40:], (10, 10)))


@pytest.mark.parametrize("wrong", [{"mode": "crop"}, {"size": 0}, {"tile": -1}, {"overlap": 1.0}, {"overlap": -0.1}])
def test_senseless_framings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Framing(**wrong)
