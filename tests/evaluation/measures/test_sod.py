import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from image_pairs import PAIR_LISTS, PAIRS
from PIL import Image
from py_sod_metrics import Emeasure, FmeasureHandler, FmeasureV2, Smeasure, WeightedFmeasure

from dms_jax.evaluation.measures.saliency import SaliencyAverages, f_measure, score_map
from dms_jax.evaluation.measures.sod import SodAverages, count_by_quadrant, measure, stretched_values

RELEASED_MAPS = Path(__file__).parents[4] / "shared" / "released_maps"


def measured(pairs):
    averages = SodAverages()
    for saliency_map, mask in pairs:
        averages = averages.merge(measure(saliency_map, mask))
    return averages


def released_pairs(method):
    if not RELEASED_MAPS.is_dir():
        pytest.skip("needs ../shared/released_maps: the maps that SDMS's authors published")
    for path in sorted((RELEASED_MAPS / method).glob("*.png")):
        yield np.asarray(Image.open(path)), np.asarray(Image.open(RELEASED_MAPS / "GT" / path.name))


def library_f_curve(pairs):
    """F at each threshold, averaged over images, as pysodmetrics computes it."""
    fmeasure = FmeasureV2({"fm": FmeasureHandler(with_dynamic=True, with_adaptive=False, beta=0.3)})
    for saliency_map, mask in pairs:
        fmeasure.step(saliency_map, mask)
    return fmeasure.get_results()["fm"]["dynamic"]


def slow_library_f_curve(pairs):
    """The same from pysodmetrics' conventions, threshold by threshold; from 255 down, as the library orders them."""
    curves = []
    for saliency_map, mask in pairs:
        truth = mask > 128
        stretched = saliency_map / 255
        if stretched.max() > stretched.min():
            stretched = (stretched - stretched.min()) / (stretched.max() - stretched.min())
        levels = np.floor(stretched * 255).astype(np.uint8)
        curve = []
        for threshold in range(255, -1, -1):
            called = levels >= threshold
            hits = np.count_nonzero(called & truth)
            # An image without a defect has no hit, hence F = 0 whatever its map.
            precision = hits / np.count_nonzero(called) if called.any() else 0.0
            recall = hits / np.count_nonzero(truth) if truth.any() else 0.0
            curve.append(1.3 * precision * recall / (0.3 * precision + recall) if hits else 0.0)
        curves.append(curve)
    return np.mean(curves, axis=0)


def slow_s_measure(saliency_map, mask):
    """S-measure (Fan et al., ICCV 2017) of the stretched map: half objects, half regions around the centre."""
    x, truth = saliency_map / 255, (mask > 128).astype(float)
    if x.max() > x.min():
        x = (x - x.min()) / (x.max() - x.min())
    share = truth.mean()
    if share in (0, 1):
        return x.mean() if share else 1 - x.mean()

    def of_object(values):
        spread = values.std(ddof=1) if values.size > 1 else 0.0
        return 2 * values.mean() / (values.mean() ** 2 + 1 + spread)

    def ssim(part, truth_part):
        if not part.size:
            return 0.0
        less_one = max(part.size - 1, np.spacing(1))
        p, t = part.flat[0] if (part == part.flat[0]).all() else part.mean(), truth_part.mean()
        variance = (np.sum((part - p) ** 2) + np.sum((truth_part - t) ** 2)) / less_one
        above = 4 * p * t * np.sum((part - p) * (truth_part - t)) / less_one
        below = (p**2 + t**2) * variance
        return above / (below + np.spacing(1)) if above else float(below == 0)

    objects = share * of_object(x[truth > 0]) + (1 - share) * of_object(1 - x[truth == 0])
    row, column = (int(centre) + 1 for centre in np.argwhere(truth).mean(0).round())
    regions = sum(
        x[part].size / x.size * ssim(x[part], truth[part])
        for part in (np.s_[:row, :column], np.s_[:row, column:], np.s_[row:, :column], np.s_[row:, column:])
    )
    return max(0.0, (objects + regions) / 2)


def has_flat_quadrant(saliency_map, mask):
    """Whether a quadrant of the map has one grey, whose mean the library rounds, and then scores it 0 instead of 1."""
    values = stretched_values(saliency_map)
    counts = count_by_quadrant(saliency_map, mask > 128).sum(axis=1)
    return any(np.count_nonzero(part) == 1 and values[part.argmax()] not in (0, 1) for part in counts)


def library_measures(saliency_map, mask):
    """S, the curve of E and weighted F of one image, by pysodmetrics."""
    s, e, weighted_f = Smeasure(), Emeasure(), WeightedFmeasure()
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        for each in (s, e, weighted_f):
            each.step(saliency_map, mask)
    return s.get_results()["sm"], e.get_results()["em"]["curve"], weighted_f.get_results()["wfm"]


def averaged(scores):
    averages = SaliencyAverages.empty()
    for own in scores:
        averages = averages.add(own)
    return averages.compute()


def our_max_f(pairs):
    return averaged(score_map(saliency_map, mask) for saliency_map, mask in pairs).max_f


@settings(max_examples=50, deadline=None)
@given(PAIR_LISTS)
def test_averages_are_those_of_pysodmetrics_over_all_images(pairs):
    s, e, weighted_f = Smeasure(), Emeasure(), WeightedFmeasure()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for pair in pairs:
            for library_measure in (s, e, weighted_f):
                library_measure.step(*pair)
        metrics = measured(pairs).compute()
        s_measure = s.get_results()["sm"]
    assert metrics.keys() == {"s_measure", "max_e", "mean_e", "weighted_f"}
    # Which the library's is not for a defect centred in the last row or column.
    if np.isfinite(s_measure) and not any(has_flat_quadrant(*pair) for pair in pairs):
        assert metrics["s_measure"] == pytest.approx(s_measure, rel=1e-9)
    curve = e.get_results()["em"]["curve"]
    if all(mask.size > 1 for _, mask in pairs):
        assert metrics["max_e"] == pytest.approx(max(curve), rel=1e-9)
        assert metrics["mean_e"] == pytest.approx(sum(curve) / len(curve), rel=1e-9)
    assert metrics["weighted_f"] == pytest.approx(weighted_f.get_results()["wfm"], rel=1e-9)


def assert_as_the_library(saliency_map, mask):
    found, expected = measure(saliency_map, mask), library_measures(saliency_map, mask)
    # The library's S is not a number for a defect centred in the last row or column.
    s_measure = expected[0] if np.isfinite(expected[0]) else slow_s_measure(saliency_map, mask)
    assert found.s_sum == pytest.approx(s_measure, abs=1e-12)
    np.testing.assert_allclose(found.e_sum, expected[1], rtol=0, atol=1e-12)
    assert found.weighted_f_sum == pytest.approx(expected[2], abs=1e-12)


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (33, 57), (120, 80)])
@pytest.mark.parametrize("defects", [1, 3, 12])
def test_measures_of_images_with_defects_are_those_of_pysodmetrics(shape, defects):
    random = np.random.default_rng(defects)
    for _ in range(5):
        mask = np.zeros(shape, np.uint8)
        for _ in range(defects):
            y, x = (int(random.integers(side)) for side in shape)
            mask[y : y + int(random.integers(1, 9)), x : x + int(random.integers(1, 9))] = 255
        soft = mask * random.uniform(0.3, 1) + random.normal(0, 30, shape)
        assert_as_the_library(soft.clip(0, 255).astype(np.uint8), mask)
        assert_as_the_library(np.where(random.random(shape) < 0.05, 255 - mask, mask).astype(np.uint8), mask)


@pytest.mark.parametrize("method", ["SDMS", "DSS"])
def test_measures_of_released_maps_are_those_of_pysodmetrics(method):
    for pair in released_pairs(method):
        assert_as_the_library(*pair)


def test_flat_quadrant_is_as_alike_as_it_is():
    """The library takes a mean that is rounded for a variance, and scores three of these four quadrants 0."""
    mask = np.zeros((10, 14), np.uint8)
    mask[1:3, 1:3] = 255
    grey = np.full((10, 14), 41, np.uint8)
    assert measure(grey, mask).s_sum == pytest.approx(slow_s_measure(grey, mask), abs=1e-12)
    assert measure(grey, mask).s_sum - library_measures(grey, mask)[0] > 0.1


@settings(max_examples=100, deadline=None)
@given(PAIRS)
def test_every_image_has_finite_measures(pair):
    pixels = pair[1].size
    for value in measured([pair]).compute().values():
        assert 0 <= value <= max(1, pixels / max(1, pixels - 1)) + 1e-9


@settings(max_examples=100, deadline=None)
@given(PAIRS)
def test_s_measure_is_that_of_its_definition(pair):
    assert measure(*pair).compute()["s_measure"] == pytest.approx(slow_s_measure(*pair), abs=1e-9)


@pytest.mark.parametrize("pixel", [(0, 0), (5, 0), (0, 7), (5, 7), (2, 7), (5, 3)])
def test_perfect_map_of_a_defect_at_the_edge_has_s_measure_1(pixel):
    mask = np.zeros((6, 8), np.uint8)
    mask[pixel] = 255
    assert measure(mask, mask).compute()["s_measure"] == pytest.approx(1)


def test_one_pixel():
    white, black = np.full((1, 1), 255, np.uint8), np.zeros((1, 1), np.uint8)
    assert measure(white, white).compute()["max_e"] == 1
    assert measure(white, black).compute()["max_e"] == 0


def test_nothing_measured_has_no_metrics():
    assert SodAverages().compute() == {"s_measure": None, "max_e": None, "mean_e": None, "weighted_f": None}


def test_what_pysodmetrics_says_of_released_maps_follows_from_its_conventions():
    """One folder of maps has two maxF, 0.929 and 0.192, and each is right in its convention."""
    pairs = list(released_pairs("SDMS"))
    curve = library_f_curve(pairs)
    np.testing.assert_allclose(curve, slow_library_f_curve(pairs), rtol=1e-12)
    assert our_max_f(pairs) == pytest.approx(0.92949, abs=5e-6)
    assert curve.max() == pytest.approx(0.19155, abs=5e-6)


@pytest.mark.parametrize(
    ("method", "steps"),
    [("SDMS", [0.92949, 0.92950, 0.83325, 0.18766, 0.19155]), ("DSS", [0.96197, 0.96198, 0.91442, 0.24628, 0.25557])],
)
def test_what_each_convention_of_pysodmetrics_adds_to_the_difference(method, steps):
    """From our maxF to the library's: another cut of the truth, F of each image, F = 0 without a defect, stretching.

    That our prediction is `map > t` and the library's `map >= t` shifts the curve by one and leaves its maximum.
    """
    pairs = list(released_pairs(method))
    as_stored = [score_map(saliency_map, mask) for saliency_map, mask in pairs]
    cut = [score_map(saliency_map, whiter(mask)) for saliency_map, mask in pairs]
    stretched = [score_map(stretch(saliency_map), whiter(mask)) for saliency_map, mask in pairs]
    found = [
        averaged(as_stored).max_f,
        averaged(cut).max_f,
        np.mean([f_measure(own.precision, own.recall) for own in cut], axis=0).max(),
        np.mean([f_measure(own.precision, own.recall) * own.defective for own in cut], axis=0).max(),
        np.mean([f_measure(own.precision, own.recall) * own.defective for own in stretched], axis=0).max(),
    ]
    assert found == pytest.approx(steps, abs=5e-6)
    assert library_f_curve(pairs).max() == pytest.approx(steps[-1], abs=5e-6)


def whiter(mask):
    """A mask whose pixels of 128, defective to us but not to pysodmetrics, are sound."""
    return np.where(mask == 128, 127, mask).astype(np.uint8)


def stretch(saliency_map):
    """The map from 0 to 255, as pysodmetrics stretches it."""
    low, high = int(saliency_map.min()), int(saliency_map.max())
    return saliency_map if low == high else ((saliency_map.astype(int) - low) * 255 // (high - low)).astype(np.uint8)


def test_faint_map_is_certain_for_pysodmetrics_and_faint_here():
    mask = np.zeros((8, 8), np.uint8)
    mask[2:5, 3:6] = 255
    faint = np.where(mask > 0, 3, 0).astype(np.uint8)
    assert library_f_curve([(faint, mask)])[0] == pytest.approx(1)
    scores = score_map(faint, mask)
    assert (scores.iou(2), scores.iou(3)) == (1, 0)
    assert scores.mae == pytest.approx((252 / 255) * 9 / 64)
    assert measure(faint, mask).compute()["weighted_f"] == pytest.approx(1)


def test_truth_of_zero_and_one_is_empty_for_pysodmetrics():
    mask = np.zeros((8, 8), np.uint8)
    mask[2:5, 3:6] = 1
    assert library_f_curve([(mask * 255, mask)]).max() == 0
    assert measure(mask * 255, mask).compute()["weighted_f"] == 0
