import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dms_jax.evaluation.measures.detection import confusion, detection_metrics

# Few distinct scores, so that there are ties.
IMAGES = st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.booleans()), min_size=1, max_size=12)


def slow_auroc(images):
    """The share of pairs of a defective and a free image that are in the right order; a tie is half a pair."""
    points = [
        1.0 if high > low else 0.5 if high == low else 0.0
        for defective, high, _ in images
        if defective
        for other, low, _ in images
        if not other
    ]
    return sum(points) / len(points)


def slow_ap(images):
    true = sum(defective for defective, _, _ in images)
    total, recall_before = 0.0, 0.0
    for level in sorted({score for _, score, _ in images}, reverse=True):
        called = [defective for defective, score, _ in images if score >= level]
        total += (sum(called) / true - recall_before) * sum(called) / len(called)
        recall_before = sum(called) / true
    return total


@settings(max_examples=150, deadline=None)
@given(IMAGES)
def test_metrics_are_those_of_counting(images):
    defective, scores, alarms = zip(*images, strict=True)
    metrics = detection_metrics(defective, scores, alarms)
    if all(defective) or not any(defective):
        assert metrics is None
        return
    hits = sum(d and a for d, a in zip(defective, alarms, strict=True))
    false = sum(a and not d for d, a in zip(defective, alarms, strict=True))
    assert metrics == {
        "precision": pytest.approx(hits / sum(alarms)) if any(alarms) else None,
        "recall": pytest.approx(hits / sum(defective)),
        "false_alarm_rate": pytest.approx(false / (len(defective) - sum(defective))),
        "auroc": pytest.approx(slow_auroc(images)),
        "ap": pytest.approx(slow_ap(images)),
    }
    assert all(value is None or type(value) is float for value in metrics.values())


def test_without_alarms_only_the_scores_are_judged():
    assert detection_metrics([True, False], [0.9, 0.1], None) == {
        "precision": None,
        "recall": None,
        "false_alarm_rate": None,
        "auroc": 1.0,
        "ap": 1.0,
    }


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=10))
def test_confusion_counts_every_pair_of_classes(pairs):
    labels, predicted = zip(*pairs, strict=True)
    counted = confusion(labels, predicted, ["free", "crack", "break"])
    assert counted["classes"] == ["free", "crack", "break"]
    assert counted["matrix"] == [[pairs.count((row, column)) for column in range(3)] for row in range(3)]


def test_confusion_of_a_single_class():
    assert confusion(np.zeros(3, int), [0, 0, 0], ["free"]) == {"classes": ["free"], "matrix": [[3]]}
