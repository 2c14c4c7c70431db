"""The methods against their definitions, written plainly, and against other libraries."""

import heapq

import numpy as np
import pytest
from scipy import ndimage

from dms_jax.comparison.classical.ac import ac
from dms_jax.comparison.classical.bms import bms
from dms_jax.comparison.classical.ft import ft
from dms_jax.comparison.classical.hc import hc
from dms_jax.comparison.classical.images import lab, resized
from dms_jax.comparison.classical.lc import lc
from dms_jax.comparison.classical.mbp import barrier_distances
from dms_jax.comparison.classical.mss import mss
from dms_jax.comparison.classical.phot import phot
from dms_jax.comparison.classical.sr import sr

RANDOM = np.random.default_rng(5)
COLOURS = RANDOM.integers(0, 256, (11, 14, 3), np.uint8)
GREYS = np.repeat(RANDOM.integers(0, 256, (11, 14, 1), np.uint8), 3, axis=2)
both = pytest.mark.parametrize("image", [COLOURS, GREYS], ids=["colours", "greys"])


def stretched(values):
    return (values - values.min()) / (values.max() - values.min())


@pytest.mark.parametrize("power", [1, 2])
def test_lc_is_the_sum_of_differences_with_all_pixels(power):
    grey = GREYS[..., 0].astype(float)
    plain = np.array([[(np.abs(value - grey) ** power).sum() for value in row] for row in grey])
    np.testing.assert_allclose(lc(GREYS, power=power), stretched(plain), atol=1e-6)


def test_lc_over_all_levels_is_stretched_by_levels_that_the_image_lacks():
    image = np.full((4, 5, 3), 100, np.uint8)
    image[1, 2] = 140
    contrast = np.array([19 * (level - 100) ** 2 + (level - 140) ** 2 for level in range(256)])
    expected = np.rint(255 * stretched(contrast))[[100, 140]] / 255
    saliency_map = lc(image, power=2, over_all_levels=True)
    np.testing.assert_allclose([saliency_map[0, 0], saliency_map[1, 2]], expected, atol=1e-6)
    assert saliency_map[1, 2] < 0.1


@both
def test_ft_is_the_distance_of_the_blurred_colour_from_the_mean(image):
    colours = lab(image)
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    blurred = np.stack([ndimage.correlate(c, kernel, mode="nearest") for c in np.moveaxis(colours, 2, 0)], -1)
    np.testing.assert_allclose(ft(image), stretched(((blurred - colours.mean((0, 1))) ** 2).sum(2)), atol=1e-6)


@both
@pytest.mark.parametrize("short", [False, True])
def test_mss_compares_with_the_largest_box_centred_at_the_pixel(image, short):
    colours = lab(image)
    height, width, _ = colours.shape
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    blurred = np.stack([ndimage.correlate(c, kernel, mode="nearest") for c in np.moveaxis(colours, 2, 0)], -1)
    plain = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            up, left = min(y, height - y - (not short)), min(x, width - x - (not short))
            bottom, right = min(y + up, height - 1), min(x + left, width - 1)
            box = colours[y - up : bottom + (not short), x - left : right + (not short)]
            mean = box.sum((0, 1)) / ((bottom - y + up + 1) * (right - x + left + 1))
            plain[y, x] = ((blurred[y, x] - mean) ** 2).sum()
    np.testing.assert_allclose(mss(image, short_sums=short), stretched(plain), atol=1e-6)


@both
def test_ac_sums_three_distances_from_means_of_boxes(image):
    colours = lab(image)
    height, width, _ = colours.shape
    plain = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            for half in (2, 1, 0):  # 11 // 2, 11 // 4 and 11 // 8, halved
                box = colours[max(y - half, 0) : y + half + 1, max(x - half, 0) : x + half + 1]
                plain[y, x] += np.linalg.norm(colours[y, x] - box.mean((0, 1)))
    np.testing.assert_allclose(ac(image), stretched(plain), atol=1e-6)


def test_hc_gives_a_rarer_colour_more():
    image = np.zeros((10, 10, 3), np.uint8)
    image[:, 6:] = (255, 0, 0)
    saliency_map = hc(image)
    # Two colours, so that smoothing takes both, the other with no weight: S = share of the other times their distance.
    assert (saliency_map[:, 6:] == 1).all()
    assert (saliency_map[:, :6] == 0).all()


def test_hc_of_three_greys_is_that_of_its_equation():
    shares = {0: 0.6, 120: 0.25, 255: 0.15}
    image = np.repeat(np.repeat(list(shares), [60, 25, 15]).reshape(100, 1, 1), 3, axis=2).astype(np.uint8)
    lightness = [float(lab(np.full((1, 1, 3), level, np.uint8))[0, 0, 0]) for level in shares]
    weights = list(shares.values())
    contrast = [sum(w * abs(a - b) for w, b in zip(weights, lightness, strict=True)) for a in lightness]
    # Of each colour and its nearest, with m = 2: the nearest has the weight T - T = 0.
    expected = stretched(np.array(contrast))
    np.testing.assert_allclose(hc(image, coverage=1.0)[[0, 60, 85], 0], expected, atol=1e-6)
    # The two most frequent colours cover four fifths: the third gets the value of the nearest.
    assert len(np.unique(hc(image, coverage=0.8))) == 2


def test_hc_averages_over_a_quarter_of_the_colours():
    greys = np.arange(12) * 255 / 11
    counts = np.arange(1, 13)
    values = np.repeat(np.rint(greys), counts).astype(np.uint8)
    image = np.repeat(values.reshape(1, -1, 1), 3, axis=2)
    lightness = np.array([lab(np.full((1, 1, 3), int(g), np.uint8))[0, 0, 0] for g in np.rint(greys)])
    distances = np.abs(lightness[:, None] - lightness)
    contrast = distances @ (counts / counts.sum())
    expected = []
    for i in range(12):
        nearest = np.argsort(distances[i], kind="stable")[:3]
        total = distances[i, nearest].sum()
        expected.append(sum((total - distances[i, j]) * contrast[j] for j in nearest) / (2 * total))
    first = np.cumsum(counts) - counts
    np.testing.assert_allclose(hc(image, coverage=1.0)[0, first], stretched(np.array(expected)), atol=1e-6)


def exact_barrier_distance(values):
    """Of a tiny image, by trying every lowest value: the least maximum of a path that stays above it (Dijkstra)."""
    height, width = values.shape
    best = np.full(values.shape, np.inf)
    for floor in np.unique(values):
        highest = np.full(values.shape, np.inf)
        queue = []
        for y in range(height):
            for x in range(width):
                if (y in (0, height - 1) or x in (0, width - 1)) and values[y, x] >= floor:
                    highest[y, x] = values[y, x]
                    queue.append((values[y, x], y, x))
        heapq.heapify(queue)
        while queue:
            high, y, x = heapq.heappop(queue)
            if high > highest[y, x]:
                continue
            for to_y, to_x in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= to_y < height and 0 <= to_x < width and values[to_y, to_x] >= floor:
                    there = max(high, values[to_y, to_x])
                    if there < highest[to_y, to_x]:
                        highest[to_y, to_x] = there
                        heapq.heappush(queue, (there, to_y, to_x))
        best = np.minimum(best, highest - floor)
    return best


def test_the_barrier_distance_is_nearly_the_exact_one():
    smooth = ndimage.gaussian_filter(RANDOM.normal(0, 100, (16, 18)), 1.5)
    exact, found = exact_barrier_distance(smooth), barrier_distances(smooth)
    assert (found >= exact - 1e-9).all()
    assert np.mean(np.isclose(found, exact)) > 0.6
    assert np.mean(found - exact) < 0.15 * exact.mean()
    assert exact.mean() > 1


def test_the_barrier_of_a_wall_is_its_height():
    values = np.zeros((9, 9))
    values[2:7, 2:7] = 5
    values[3:6, 3:6] = 1
    distances = barrier_distances(values)
    assert distances[4, 4] == 5
    assert distances[2, 2] == 5
    assert distances[1, 1] == 0


def test_a_barrier_has_a_way_around_it():
    values = np.zeros((9, 9))
    values[2:7, 2:7] = 5
    values[3:6, 3:6] = 1
    values[4, 6] = 2
    assert barrier_distances(values)[4, 4] == 2


def test_bms_counts_thresholds_at_which_a_spot_is_closed_in():
    image = np.full((400, 400, 3), 40, np.uint8)
    image[100:150, 100:150] = 120  # closed in at the ten thresholds from 40 on
    image[250:300, 250:300] = 80  # at five
    image[:, :30] = 200  # never: it touches the border
    saliency_map = bms(image, normalise=False)
    assert saliency_map[125, 125] == 1
    assert saliency_map[275, 275] == pytest.approx(0.5)
    assert not saliency_map[:, :30].any()
    # Both dilations, by 3 x 3 each.
    assert (saliency_map[98:152, 98:152] == 1).all()
    assert not saliency_map[90:97].any()


def test_bms_leaves_out_what_the_opening_takes():
    image = np.full((400, 400, 3), 40, np.uint8)
    image[100:106, 100:150] = 120
    assert not bms(image).any()


def test_bms_gives_a_small_region_more_where_it_is_divided_by_its_norm():
    image = np.full((400, 400, 3), 40, np.uint8)
    image[50:60, 50:60] = 80
    image[150:350, 150:350] = 80
    saliency_map = bms(image)
    large, alone = saliency_map[250, 250], bms(image, normalise=False)[250, 250]
    # Regions of one Boolean map share its norm.
    assert large == alone == 1
    image[50:60, 50:60] = 120
    assert bms(image)[250, 250] < bms(image, normalise=False)[250, 250]


def test_phot_finds_a_mark_on_stripes_that_are_brighter():
    stripes = np.tile(np.where(np.arange(256) % 8 < 4, 60.0, 200.0), (256, 1))
    stripes[120:126, 100:106] = 130
    image = np.repeat(stripes[..., None], 3, axis=2).astype(np.uint8)
    saliency_map = phot(image)
    assert saliency_map[115:131, 95:111].max() == 1
    assert np.mean(saliency_map[:90]) < 0.02
    assert np.mean(lc(image)[:90]) > 0.3


def test_sr_of_a_square_image_is_that_of_its_equation():
    image = np.repeat(RANDOM.integers(0, 256, (64, 64, 1), np.uint8), 3, axis=2)
    spectrum = np.fft.fft2(image[..., 0].astype(float))
    log = np.log(1 + np.abs(spectrum))
    padded = np.pad(log, 1, mode="reflect")
    mean = sum(padded[dy : dy + 64, dx : dx + 64] for dy in range(3) for dx in range(3)) / 9
    energy = np.abs(np.fft.ifft2(np.exp(log - mean) * np.exp(1j * np.angle(spectrum)))) ** 2
    window = np.exp(-(np.arange(-4, 5) ** 2) / (2 * 2.5**2))
    window /= window.sum()
    smooth = ndimage.correlate(energy, np.outer(window, window), mode="nearest")
    np.testing.assert_allclose(sr(image), stretched(smooth), atol=1e-5)


def test_sr_agrees_with_opencv():
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    if not hasattr(cv2, "saliency"):
        pytest.skip("needs cv2.saliency: opencv-contrib-python-headless 4")
    image = np.full((64, 64), 90.0) + ndimage.gaussian_filter(RANDOM.normal(0, 40, (64, 64)), 1)
    image[20:28, 36:44] += 80
    image = np.repeat(image.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)
    succeeded, theirs = cv2.saliency.StaticSaliencySpectralResidual_create().computeSaliency(image)
    assert succeeded
    # Theirs smooths by 5 x 5, ours by 9 x 9.
    ours, theirs = sr(image), ndimage.gaussian_filter(theirs, 1.5)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.7
    peaks = [np.array(np.unravel_index(each.argmax(), each.shape)) for each in (ours, theirs)]
    assert np.abs(peaks[0] - peaks[1]).max() <= 5


@both
def test_lab_is_that_of_scikit_image(image):
    color = pytest.importorskip("skimage.color", reason="scikit-image is not installed")
    theirs = color.rgb2lab(image)
    np.testing.assert_allclose(lab(image), theirs[..., : lab(image).shape[2]], atol=0.02)


def test_resizing_averages_over_areas_or_interpolates():
    values = np.array([[0.0, 4.0], [8.0, 12.0]])
    np.testing.assert_array_equal(resized(values, (1, 1)), [[6]])
    np.testing.assert_array_equal(resized(values, (2, 4), enlarge=True)[0], [0, 1, 3, 4])
