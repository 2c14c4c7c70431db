import numpy as np
import pytest
from hypothesis import given, settings
from image_pairs import PAIR_LISTS
from sklearn.metrics import average_precision_score

from dms_jax.evaluation.measures.pixels import PixelCounts
from dms_jax.evaluation.measures.saliency import score_map


def counts_of(pairs):
    counts = PixelCounts.empty()
    for saliency_map, mask in pairs:
        counts = counts.add(score_map(saliency_map, mask))
    return counts


def pixels_of(pairs):
    """All pixels of all images, as (map, defective)."""
    return [(int(s), int(m) > 127) for pair in pairs for s, m in zip(pair[0].flat, pair[1].flat, strict=True)]


def called_and_true(pixels, threshold):
    called = {index for index, (value, _) in enumerate(pixels) if value > threshold}
    return called, {index for index, (_, defective) in enumerate(pixels) if defective}


def slow_average_precision(pixels):
    """The sum over the distinct values, from the largest, of the recall gained times the precision there."""
    true = sum(defective for _, defective in pixels)
    total, recall_before = 0.0, 0.0
    for value in sorted({value for value, _ in pixels}, reverse=True):
        found = [defective for other, defective in pixels if other >= value]
        recall = sum(found) / true
        total += (recall - recall_before) * sum(found) / len(found)
        recall_before = recall
    return total


@settings(max_examples=60, deadline=None)
@given(PAIR_LISTS)
def test_iou_and_f1_are_those_of_sets_of_pixels(pairs):
    counts, pixels = counts_of(pairs), pixels_of(pairs)
    assert counts.pixels == len(pixels)
    for threshold in (0, 1, 126, 127, 128, 254, 255):
        called, true = called_and_true(pixels, threshold)
        if not true:
            assert counts.iou(threshold) is None
            assert counts.f1(threshold) is None
            continue
        assert counts.iou(threshold) == pytest.approx(len(called & true) / len(called | true), rel=1e-12)
        precision = len(called & true) / len(called) if called else 0.0
        recall = len(called & true) / len(true)
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        assert counts.f1(threshold) == pytest.approx(f1, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(PAIR_LISTS)
def test_best_threshold_is_the_first_with_the_largest_f1_and_iou(pairs):
    counts, pixels = counts_of(pairs), pixels_of(pairs)
    if not any(defective for _, defective in pixels):
        assert counts.best_threshold() is None
        return
    ious = []
    for threshold in range(256):
        called, true = called_and_true(pixels, threshold)
        ious.append(len(called & true) / len(called | true))
    best = counts.best_threshold()
    assert best == ious.index(max(ious))
    assert counts.f1(best) == max(counts.f1(threshold) for threshold in range(256))


@settings(max_examples=60, deadline=None)
@given(PAIR_LISTS)
def test_average_precision_is_that_of_the_raw_pixels(pairs):
    counts, pixels = counts_of(pairs), pixels_of(pairs)
    values, defective = zip(*pixels, strict=True)
    if not any(defective):
        assert counts.average_precision() is None
        return
    assert counts.average_precision() == pytest.approx(slow_average_precision(pixels), rel=1e-12)
    assert counts.average_precision() == pytest.approx(average_precision_score(defective, values), rel=1e-12)


def test_average_precision_of_many_pixels():
    rng = np.random.default_rng(0)
    mask = np.where(rng.random((80, 90)) < 0.1, 255, 0).astype(np.uint8)
    saliency_map = rng.integers(0, 256, mask.shape, np.uint8) // 2 + mask // 4
    expected = average_precision_score(mask.ravel() > 127, saliency_map.ravel())
    assert counts_of([(saliency_map, mask)]).average_precision() == pytest.approx(expected, rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(PAIR_LISTS, PAIR_LISTS)
def test_merged_counts_are_those_of_all_images(some, others):
    merged, together = counts_of(some).merge(counts_of(others)), counts_of(some + others)
    np.testing.assert_array_equal(merged.true_positives, together.true_positives)
    np.testing.assert_array_equal(merged.predicted, together.predicted)
    assert (merged.true, merged.pixels) == (together.true, together.pixels)


def test_false_alarms_on_a_sound_image_count():
    defect = np.array([[0, 255]], np.uint8)
    alone = counts_of([(defect, defect)])
    with_alarm = counts_of([(defect, defect), (np.full((1, 2), 200, np.uint8), np.zeros((1, 2), np.uint8))])
    assert alone.iou(100) == 1
    assert with_alarm.iou(100) == pytest.approx(1 / 3)
    assert with_alarm.best_threshold() == 200


def test_nothing_counted_has_no_metrics():
    empty = PixelCounts.empty()
    assert (empty.iou(0), empty.f1(0), empty.best_threshold(), empty.average_precision()) == (None,) * 4
