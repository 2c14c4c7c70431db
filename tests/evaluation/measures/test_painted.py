"""The mean IoU of painted maps, against scikit-learn's confusion matrix over every pixel."""

from functools import reduce

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, jaccard_score

from dms_jax.evaluation.measures.painted import PaintedCounts
from dms_jax.evaluation.measures.saliency import score_map

NAMES = ("free", "crack", "stain", "never")
BACKGROUND = len(NAMES)


def images(count, free_class, seed=0):
    """Maps and masks of several sizes with labels and predicted classes; images of the free class have no defect."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        size = rng.integers(3, 20, 2)
        label, predicted = rng.integers(0, 3, 2).tolist()
        saliency_map, mask = rng.integers(0, 256, (2, *size), np.uint8)
        yield saliency_map, np.minimum(mask, 127) if label == free_class else mask, label, predicted


def painted(threshold, free_class, seed=0):
    """The true and the predicted class of every pixel."""
    truth, found = [], []
    for saliency_map, mask, label, predicted in images(20, free_class, seed):
        for shown, above, number in ((truth, mask > 127, label), (found, saliency_map > threshold, predicted)):
            shown.append(np.where(above, BACKGROUND if number == free_class else number, BACKGROUND).ravel())
    return np.concatenate(truth), np.concatenate(found)


def counts_of(free_class, seed=0):
    counts = PaintedCounts()
    for saliency_map, mask, label, predicted in images(20, free_class, seed):
        counts = counts.add(score_map(saliency_map, mask), label, predicted)
    return counts


@pytest.mark.parametrize("free_class", [0, None])
@pytest.mark.parametrize("threshold", [0, 100, 255])
def test_agrees_with_every_pixel_counted(threshold, free_class):
    truth, found = painted(threshold, free_class)
    counts = counts_of(free_class)
    np.testing.assert_array_equal(
        counts.confusion(threshold, len(NAMES), free_class),
        confusion_matrix(truth, found, labels=range(BACKGROUND + 1)),
    )
    metrics = counts.compute(threshold, NAMES, free_class)
    present = [number for number in range(3) if number != free_class]
    ious = jaccard_score(truth, found, labels=[*present, BACKGROUND], average=None)
    assert metrics["miou"] == pytest.approx(ious[:-1].mean())
    assert metrics["miou_with_background"] == pytest.approx(ious.mean())
    assert metrics["background"] == pytest.approx(ious[-1])
    assert [metrics["per_class"][NAMES[number]] for number in present] == pytest.approx(ious[:-1].tolist())
    assert metrics["per_class"]["never"] is None
    assert ("free" in metrics["per_class"]) == (free_class is None)


def test_parts_merge_to_the_whole():
    whole = reduce(PaintedCounts.merge, [counts_of(0, seed) for seed in range(3)])
    expected = sum(counts_of(0, seed).confusion(99, 4, 0) for seed in range(3))
    np.testing.assert_array_equal(whole.confusion(99, 4, 0), expected)


def test_the_right_pixels_with_the_wrong_class_count_for_neither():
    mask = np.array([[255, 0]], np.uint8)
    metrics = PaintedCounts().add(score_map(mask, mask), 1, 2).compute(127, NAMES, 0)
    assert metrics["miou"] == 0
    assert metrics["per_class"] == {"crack": 0, "stain": 0, "never": None}
    assert metrics["background"] == 1


def test_a_defect_on_an_image_said_to_be_free_is_missed():
    mask = np.array([[255, 0]], np.uint8)
    metrics = PaintedCounts().add(score_map(mask, mask), 1, 0).compute(127, NAMES, 0)
    assert metrics["per_class"]["crack"] == 0
    assert metrics["background"] == 0.5


@pytest.mark.parametrize(("counts", "threshold"), [(PaintedCounts(), 100), (counts_of(0), None)])
def test_nothing_without_images_or_without_a_threshold(counts, threshold):
    metrics = counts.compute(threshold, NAMES, 0)
    assert metrics.pop("per_class") == {"crack": None, "stain": None, "never": None}
    assert metrics.pop("convention")
    assert set(metrics.values()) == {None}
