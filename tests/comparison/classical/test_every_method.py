"""What holds for each of the twelve methods, as their papers define them."""

from functools import partial

import numpy as np
import pytest

from dms_jax.comparison.classical.ac import ac
from dms_jax.comparison.classical.bms import bms
from dms_jax.comparison.classical.ft import ft
from dms_jax.comparison.classical.hc import hc
from dms_jax.comparison.classical.itti import itti
from dms_jax.comparison.classical.lc import lc
from dms_jax.comparison.classical.mbp import mbp
from dms_jax.comparison.classical.methods import METHODS
from dms_jax.comparison.classical.mss import mss
from dms_jax.comparison.classical.phot import phot
from dms_jax.comparison.classical.rc import rc
from dms_jax.comparison.classical.sf import sf
from dms_jax.comparison.classical.sr import sr

ALL = {each.__name__: each for each in (itti, lc, sr, ac, ft, mss, phot, hc, rc, sf, bms, mbp)}
TABLED = {
    "itti at level 6": partial(itti, level=6, promote=False),
    "lc squared": partial(lc, power=2, over_all_levels=True),
    "hc blurred": partial(hc, coverage=1.0, blurred=True),
    "sf saturated": partial(sf, saturated=0.05),
    "bms without norm": partial(bms, normalise=False),
    "mbp raw": partial(mbp, enhanced=False),
}
EVERY = ALL | TABLED
every = pytest.mark.parametrize("saliency", EVERY.values(), ids=EVERY)


def textured(height=70, width=90, colour=False, seed=0):
    """A surface of soft noise, uint8."""
    random = np.random.default_rng(seed)
    noise = random.normal(0, 6, (height, width, 3 if colour else 1))
    noise = sum(np.roll(noise, shift, axis) for axis in (0, 1) for shift in (0, 1)) / 2
    return np.repeat(110 + noise, 1 if colour else 3, axis=2).clip(0, 255).astype(np.uint8)


def with_spot(at=(26, 40), side=24):
    image = textured() // 4 + 70  # 90 to 105
    image[at[0] : at[0] + side, at[1] : at[1] + side] = 220
    return image


@every
@pytest.mark.parametrize("level", [0, 1, 127, 255])
def test_a_uniform_image_has_a_map_of_zeros(saliency, level):
    saliency_map = saliency(np.full((37, 52, 3), level, np.uint8))
    assert saliency_map.dtype == np.float32
    assert saliency_map.shape == (37, 52)
    assert not saliency_map.any()


@every
def test_a_uniform_colour_has_a_map_of_zeros(saliency):
    assert not saliency(np.full((37, 52, 3), (200, 90, 10), np.uint8)).any()


@every
@pytest.mark.parametrize("colour", [False, True])
def test_a_map_is_float32_and_spans_0_to_1(saliency, colour):
    image = textured(colour=colour)
    image[20:40, 30:50] //= 2  # segments differ
    saliency_map = saliency(image)
    assert saliency_map.dtype == np.float32
    assert saliency_map.shape == (70, 90)
    # The table's LC and HC are stretched before the image is looked at, or after which they are rounded.
    assert 0 <= saliency_map.min() < saliency_map.max() <= 1


@pytest.mark.parametrize("saliency", ALL.values(), ids=ALL)
def test_a_bright_spot_is_the_most_salient(saliency):
    saliency_map = saliency(with_spot())
    at = np.unravel_index(saliency_map.argmax(), saliency_map.shape)
    # The map that ITTI enlarges has pixels of 16; the others may mark the spot's outline.
    margin = 16 if saliency is itti else 6
    assert 26 - margin <= at[0] < 50 + margin
    assert 40 - margin <= at[1] < 64 + margin
    assert saliency_map[20:56, 34:70].mean() > saliency_map[:14].mean() + 0.01


@pytest.mark.parametrize("saliency", [lc, ac, ft, mss, phot, hc, bms], ids=lambda each: each.__name__)
def test_a_mirrored_image_has_the_mirrored_map(saliency):
    image = textured(64, 64, seed=1)
    np.testing.assert_allclose(saliency(image[:, ::-1])[:, ::-1], saliency(image), atol=2e-4)


@every
def test_numbers_in_0_to_1_are_as_good_as_bytes(saliency):
    image = textured(seed=2)
    np.testing.assert_allclose(saliency(image / 255.0), saliency(image), atol=1e-4)


@pytest.mark.parametrize("saliency", ALL.values(), ids=ALL)
def test_an_image_is_left_as_it_is(saliency):
    image = with_spot()
    kept = image.copy()
    saliency(image)
    np.testing.assert_array_equal(image, kept)


@pytest.mark.parametrize("saliency", ALL.values(), ids=ALL)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_tiny_images_have_maps(saliency, shape):
    image = np.zeros((*shape, 3), np.uint8)
    image[0, 0] = 255
    saliency_map = saliency(image)
    assert saliency_map.shape == shape
    assert np.isfinite(saliency_map).all()


@pytest.mark.parametrize("saliency", ALL.values(), ids=ALL)
@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((5, 6), np.uint8), r"\[H, W, 3\]"),
        (np.zeros((5, 6, 1), np.uint8), r"\[H, W, 3\]"),
        (np.zeros((0, 6, 3), np.uint8), "at least one pixel"),
        (np.zeros((5, 6, 3), np.int32), "uint8 or floating point"),
        (np.full((5, 6, 3), 1.5), r"in 0\.\.1"),
        (np.full((5, 6, 3), np.nan), r"in 0\.\.1"),
    ],
)
def test_what_is_no_image_is_refused(saliency, image, message):
    with pytest.raises(ValueError, match=message):
        saliency(image)


def test_a_methods_maps_come_in_the_order_of_the_images():
    images = [with_spot(at=(10 + i, 20)) // 200 * 200 for i in range(9)]
    method = next(each for each in METHODS if each.name == "LC")
    for image, saliency_map in zip(images, method.make_maps(iter(images)), strict=True):
        assert saliency_map.dtype == np.uint8
        np.testing.assert_array_equal(saliency_map > 127, image[..., 0] == 200)
