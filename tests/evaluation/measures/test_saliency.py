import dataclasses
import doctest
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_pairs import PAIRS
from PIL import Image

from dms_jax.evaluation.measures import saliency
from dms_jax.evaluation.measures.saliency import (
    AccuracyCount,
    SaliencyAverages,
    f_measure,
    resize_map,
    score_map,
)

RELEASED_MAPS = Path(__file__).parents[4] / "shared" / "released_maps"


def slow_scores(saliency_map, mask):
    """MAE, P and R of one image, pixel by pixel and threshold by threshold, from the definitions."""
    pairs = [(int(s), int(m)) for s, m in zip(saliency_map.flat, mask.flat, strict=True)]
    mae = sum(abs(s - m) / 255 for s, m in pairs) / len(pairs)
    precision, recall = [], []
    for threshold in range(256):
        true_positives = predicted = true = 0
        for s, m in pairs:
            true_positives += s > threshold and m > 127
            predicted += s > threshold
            true += m > 127
        precision.append((true_positives + 0.0001) / (predicted + 0.0001))
        recall.append((true_positives + 0.0001) / (true + 0.0001))
    return mae, precision, recall


def slow_result(pairs):
    scores = [slow_scores(*pair) for pair in pairs]
    best, best_threshold = -1.0, None
    for threshold in range(256):
        p = sum(precision[threshold] for _, precision, _ in scores) / len(scores)
        r = sum(recall[threshold] for _, _, recall in scores) / len(scores)
        f = 1.3 * p * r / (0.3 * p + r)
        if f > best + 1e-12:
            best, best_threshold = f, threshold
    return sum(mae for mae, _, _ in scores) / len(scores), best, best_threshold


def averages_of(pairs):
    averages = SaliencyAverages.empty()
    for saliency_map, mask in pairs:
        averages = averages.add(score_map(saliency_map, mask))
    return averages


@given(PAIRS)
def test_score_map_agrees_with_the_definitions(pair):
    mae, precision, recall = slow_scores(*pair)
    scores = score_map(*pair)
    assert scores.mae == pytest.approx(mae, rel=1e-12)
    assert scores.precision.shape == scores.recall.shape == (256,)
    np.testing.assert_allclose(scores.precision, precision, rtol=1e-12)
    np.testing.assert_allclose(scores.recall, recall, rtol=1e-12)
    assert scores.defective == any(value > 127 for value in pair[1].flat)


@given(st.lists(PAIRS, min_size=1, max_size=3))
def test_averages_agree_with_the_definitions(pairs):
    mae, max_f, threshold = slow_result(pairs)
    averages = averages_of(pairs)
    result = averages.compute()
    assert result.mae == pytest.approx(mae, rel=1e-12)
    assert result.max_f == pytest.approx(max_f, rel=1e-12)
    assert result.images == len(pairs)
    # Thresholds that tie but for rounding are equally good.
    assert averages.f_curve()[result.max_f_threshold] == pytest.approx(averages.f_curve()[threshold], rel=1e-12)


@given(st.lists(PAIRS, max_size=3), st.lists(PAIRS, max_size=3))
def test_merge_is_as_if_one_had_scored_all(left, right):
    merged = averages_of(left).merge(averages_of(right))
    together = averages_of(left + right)
    assert merged.images == together.images == len(left + right)
    assert merged.mae_sum == pytest.approx(together.mae_sum)
    np.testing.assert_allclose(merged.precision_sum, together.precision_sum)
    np.testing.assert_allclose(merged.recall_sum, together.recall_sum)


@given(PAIRS, st.integers(0, 255))
def test_iou_agrees_with_sets_of_pixels(pair, threshold):
    predicted = set(np.flatnonzero(pair[0] > threshold).tolist())
    true = set(np.flatnonzero(pair[1] > 127).tolist())
    expected = len(predicted & true) / len(predicted | true) if predicted | true else None
    assert score_map(*pair).iou(threshold) == expected


def test_cuts_fall_where_the_convention_says():
    saliency_map = np.array([[100, 101]], np.uint8)
    mask = np.array([[127, 128]], np.uint8)
    scores = score_map(saliency_map, mask)
    assert scores.true == 1
    assert scores.predicted[[99, 100, 101]].tolist() == [2, 1, 0]
    assert scores.true_positives[[99, 100, 101]].tolist() == [1, 1, 0]
    assert scores.mae == (27 + 27) / (2 * 255)


def test_a_perfect_map():
    mask = np.array([[0, 255], [255, 0]], np.uint8)
    result = SaliencyAverages.empty().add(score_map(mask, mask)).compute()
    assert dataclasses.astuple(result) == (0.0, 1.0, 0, 1)


def test_map_with_faint_peak_is_not_normalised():
    mask = np.array([[0, 255]], np.uint8)
    scores = score_map(np.array([[0, 3]], np.uint8), mask)
    assert scores.predicted[2] == 1
    assert not scores.predicted[3:].any()


def test_empty_map_of_a_free_image_has_precision_and_recall_of_one():
    blank = np.zeros((3, 3), np.uint8)
    scores = score_map(blank, blank)
    assert not scores.defective
    assert (scores.precision == 1).all()
    assert (scores.recall == 1).all()
    assert scores.iou(128) is None


def test_no_images_have_no_metrics():
    result = SaliencyAverages.empty().compute()
    assert dataclasses.astuple(result) == (None, None, None, 0)
    assert SaliencyAverages.empty().f_curve() is None


def test_adding_leaves_the_earlier_averages_alone():
    empty = SaliencyAverages.empty()
    full = np.full((2, 2), 255, np.uint8)
    empty.add(score_map(full, full))
    assert empty.images == 0
    assert not empty.precision_sum.any()


@pytest.mark.parametrize(
    ("saliency_map", "mask", "message"),
    [
        (np.zeros((2, 2), np.float32), np.zeros((2, 2), np.uint8), "saliency_map must be uint8"),
        (np.zeros((2, 2), np.uint8), np.zeros((2, 2), bool), "mask must be uint8"),
        (np.zeros((2, 2, 1), np.uint8), np.zeros((2, 2, 1), np.uint8), r"saliency_map must be \[H, W\]"),
        (np.zeros((2, 2), np.uint8), np.zeros((2, 2, 1), np.uint8), r"mask must be \[H, W\]"),
        (np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), "resize the map first"),
        (np.zeros((0, 3), np.uint8), np.zeros((0, 3), np.uint8), "at least one pixel"),
    ],
)
def test_wrong_images_are_refused(saliency_map, mask, message):
    with pytest.raises(ValueError, match=message):
        score_map(saliency_map, mask)


def test_f_measure():
    assert f_measure(0.5, 0.25) == pytest.approx(1.3 * 0.125 / (0.15 + 0.25))
    assert f_measure(0.5, 0.25, beta2=1.0) == pytest.approx(2 * 0.125 / 0.75)
    assert f_measure(0.0, 0.0) == 0
    np.testing.assert_allclose(f_measure([1.0, 0.0], 1.0), [1.0, 0.0])


def test_resize_of_the_same_size_changes_nothing():
    saliency_map = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert resize_map(saliency_map, (2, 3)) is saliency_map


def test_resize_is_half_pixel_bilinear():
    enlarged = resize_map(np.array([[0, 200]], np.uint8), (2, 4))
    assert enlarged.dtype == np.uint8
    # Output centres lie at -0.25, 0.25, 0.75 and 1.25 of the input's, the edges repeated.
    assert enlarged.tolist() == [[0, 50, 150, 200]] * 2


def test_resize_takes_height_before_width():
    assert resize_map(np.zeros((4, 4), np.uint8), (2, 7)).shape == (2, 7)


@pytest.mark.parametrize(
    ("saliency_map", "size"),
    [
        (np.zeros((2, 2)), (3, 3)),
        (np.zeros((2, 2, 3), np.uint8), (3, 3)),
        (np.zeros((2, 2), np.uint8), (0, 3)),
    ],
)
def test_resize_refuses(saliency_map, size):
    with pytest.raises(ValueError, match="must be"):
        resize_map(saliency_map, size)


def test_accuracy():
    count = AccuracyCount().add([1, 2, 0], [1, 1, 0]).merge(AccuracyCount().add(np.int32(3), np.int32(3)))
    assert count == AccuracyCount(correct=3, total=4)
    assert count.compute() == 0.75


def test_accuracy_of_nothing_does_not_exist():
    assert AccuracyCount().compute() is None
    assert AccuracyCount().add([], []).compute() is None


@pytest.mark.parametrize(
    ("predicted", "labels", "message"),
    [([1, 2], [1], r"predicted is \(2,\)"), ([0.2, 0.8], [0, 1], "predicted must be class numbers")],
)
def test_accuracy_refuses(predicted, labels, message):
    with pytest.raises(ValueError, match=message):
        AccuracyCount().add(predicted, labels)


def test_examples_in_the_docstrings():
    failed, attempted = doctest.testmod(saliency)
    assert attempted > 0
    assert failed == 0


@pytest.fixture(scope="module")
def released_masks():
    if not RELEASED_MAPS.is_dir():
        pytest.skip("needs ../shared/released_maps: the maps that the paper's authors released")
    return {path.name: np.asarray(Image.open(path)) for path in sorted((RELEASED_MAPS / "GT").glob("*.png"))}


def released_results(masks, read_map):
    everything = defective = SaliencyAverages.empty()
    for name, mask in masks.items():
        scores = score_map(resize_map(read_map(name, mask), mask.shape), mask)
        everything = everything.add(scores)
        if scores.defective:
            defective = defective.add(scores)
    return everything.compute(), defective.compute()


@pytest.mark.parametrize(
    ("method", "expected", "expected_defective"),
    [("SDMS", (0.00970, 0.92949), (0.02959, 0.74724)), ("DSS", (0.00762, 0.96197), (0.02317, 0.87276))],
)
def test_released_maps_score_as_in_the_field(released_masks, method, expected, expected_defective):
    everything, defective = released_results(
        released_masks, lambda name, mask: np.asarray(Image.open(RELEASED_MAPS / method / name))
    )
    assert (everything.images, defective.images) == (226, 74)
    assert (round(everything.mae, 5), round(everything.max_f, 5)) == expected
    assert (round(defective.mae, 5), round(defective.max_f, 5)) == expected_defective


def test_maps_that_never_fire_score_by_the_share_of_free_images(released_masks):
    everything, defective = released_results(released_masks, lambda name, mask: np.zeros_like(mask))
    assert (round(everything.mae, 4), round(everything.max_f, 3)) == (0.0332, 0.899)
    assert round(defective.max_f, 5) == 0
