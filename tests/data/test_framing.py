import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dms_jax.data.framing import MODES, Crop, Framing, crops_of, cut, join

SIDES = st.integers(1, 90)
FRAMINGS = st.builds(
    Framing,
    mode=st.sampled_from(MODES),
    size=st.integers(6, 40),
    tile=st.one_of(st.just(0), st.integers(6, 50)),
    overlap=st.floats(0, 0.7),
)


def squash(image, size):
    """The image as Pillow's bilinear filter makes it, channel by channel."""
    channels = [np.asarray(Image.fromarray(image[..., c]).resize(size[::-1], Image.BILINEAR)) for c in range(3)]
    return np.stack(channels, axis=-1)


def random_image(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@given(SIDES, SIDES, FRAMINGS)
def test_crops_cover_the_image_and_their_contents_lie_inside(height, width, framing):
    crops = crops_of((height, width), framing)
    covered = np.zeros((height, width), bool)
    for crop in crops:
        top, left, tall, wide = crop.content
        assert min(crop.top, crop.left, top, left) >= 0
        assert min(crop.height, crop.width, tall, wide) >= 1
        assert top + tall <= framing.size
        assert left + wide <= framing.size
        assert crop.top + crop.height <= height
        assert crop.left + crop.width <= width
        covered[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width] = True
        found = cut(np.full((height, width, 1), 9, np.uint8), crop, framing)
        inside = np.zeros((framing.size, framing.size), bool)
        inside[top : top + tall, left : left + wide] = True
        np.testing.assert_array_equal(found[..., 0], np.where(inside, 9, 0))
    assert covered.all()


@given(SIDES, SIDES, FRAMINGS, st.integers(0, 255))
def test_a_constant_map_comes_back_as_it_was(height, width, framing, value):
    crops = crops_of((height, width), framing)
    maps = [np.full((framing.size, framing.size), value, np.uint8)] * len(crops)
    found = join(maps, crops, (height, width))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.full((height, width), value))


@given(st.integers(20, 90), st.integers(20, 90), st.floats(0, 0.9))
def test_tiles_at_their_own_resolution_lose_nothing(height, width, overlap):
    framing = Framing("tiles", size=16, overlap=overlap)
    image = random_image((height, width, 1))
    crops = crops_of((height, width), framing)
    assert join([cut(image, crop, framing)[..., 0] for crop in crops], crops, (height, width)).tolist() == (
        image[..., 0].tolist()
    )


@pytest.mark.parametrize("shape", [(7, 31), (40, 12), (5, 5), (1, 90)])
@pytest.mark.parametrize("size", [16, 33])
def test_squash_is_pillows_resize_both_ways(shape, size):
    framing = Framing(size=size)
    image = random_image((*shape, 3))
    (crop,) = crops_of(shape, framing)
    assert crop == Crop(0, 0, *shape, (0, 0, size, size))
    np.testing.assert_array_equal(cut(image, crop, framing), squash(image, (size, size)))
    found = random_image((size, size))
    expected = np.asarray(Image.fromarray(found).resize(shape[::-1], Image.BILINEAR))
    np.testing.assert_array_equal(join([found], [crop], shape), expected)


def test_letterbox_keeps_the_aspect_in_the_middle():
    framing = Framing("letterbox", size=20)
    (crop,) = crops_of((40, 10), framing)
    assert crop.content == (0, 7, 20, 5)
    image = random_image((40, 10, 3))
    found = cut(image, crop, framing)
    np.testing.assert_array_equal(found[:, 7:12], squash(image, (20, 5)))
    assert (found[:, :7] == [124, 116, 104]).all()
    assert (found[:, 12:] == [124, 116, 104]).all()


def test_letterbox_maps_come_back_without_the_padding():
    framing = Framing("letterbox", size=20)
    (crop,) = crops_of((20, 10), framing)
    found = np.full((20, 20), 255, np.uint8)
    found[:, 5:15] = random_image((20, 10))
    np.testing.assert_array_equal(join([found], [crop], (20, 10)), found[:, 5:15])


def test_tiles_overlap_at_least_as_asked_and_evenly():
    starts = sorted({crop.left for crop in crops_of((10, 100), Framing("tiles", size=30, overlap=0.25))})
    assert starts[0] == 0
    assert starts[-1] == 70
    steps = np.diff(starts)
    assert steps.max() <= 30 * 0.75
    assert steps.max() - steps.min() <= 1


def test_in_an_overlap_the_nearer_tile_counts_more():
    framing = Framing("tiles", size=8, overlap=0.5)
    crops = crops_of((8, 12), framing)
    assert [crop.left for crop in crops] == [0, 4]
    found = join([np.full((8, 8), 0, np.uint8), np.full((8, 8), 200, np.uint8)], crops, (8, 12))
    assert (found[4, :4] == 0).all()
    assert (np.diff(found[4].astype(int)) >= 0).all()
    assert found[4, 4] < 100 < found[4, 7]
    assert (found[4, 8:] == 200).all()


def test_a_tile_of_another_size_is_resized():
    framing = Framing("tiles", size=10, tile=40)
    image = random_image((40, 60, 3))
    crops = crops_of((40, 60), framing)
    assert {crop.content for crop in crops} == {(0, 0, 10, 10)}
    np.testing.assert_array_equal(cut(image, crops[-1], framing), squash(image[:, -40:], (10, 10)))


@pytest.mark.parametrize("wrong", [{"mode": "crop"}, {"size": 0}, {"tile": -1}, {"overlap": 1.0}, {"overlap": -0.1}])
def test_senseless_framings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Framing(**wrong)
