import pytest

from dms_jax.evaluation.report.kinds import (
    ALARM,
    ERRORS,
    FINE,
    MISSED,
    POOR,
    UNKNOWN,
    WRONG,
    badness,
    errors_of,
    shown_errors,
)
from dms_jax.evaluation.scoring import ImageRow


def row(name="a", **known):
    nothing = dict.fromkeys(
        ("label", "predicted", "defective", "defect_probability", "mae", "iou", "f1", "s_measure", "weighted_f")
    )
    return ImageRow(**{**nothing, "name": name, "maximum": 0, **known})


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        # Found well, in part, beside it, and not at all.
        ({"defective": True, "iou": 0.5, "maximum": 200}, (FINE,)),
        ({"defective": True, "iou": 0.49, "maximum": 200}, (POOR,)),
        ({"defective": True, "iou": 0.0, "maximum": 200}, (MISSED,)),
        ({"defective": True, "iou": 0.0, "maximum": 100}, (MISSED,)),
        # Sound images.
        ({"defective": False, "maximum": 100}, (FINE,)),
        ({"defective": False, "maximum": 101, "iou": 0.0}, (ALARM,)),
        ({"defective": False, "maximum": 101, "iou": 0.0, "label": 0, "predicted": 0}, (ALARM,)),
        # A defect whose mask is empty may be fired at.
        ({"defective": False, "maximum": 101, "iou": 0.0, "label": 1, "predicted": 1}, (FINE,)),
        # Masks unknown: the labels tell.
        ({"label": 1, "predicted": 1, "maximum": 100}, (MISSED,)),
        ({"label": 1, "predicted": 1, "maximum": 101}, (FINE,)),
        ({"label": 0, "predicted": 0, "maximum": 101}, (ALARM,)),
        # Classes, alone and with another error.
        ({"defective": True, "iou": 0.9, "maximum": 200, "label": 1, "predicted": 2}, (WRONG,)),
        ({"defective": True, "iou": 0.0, "maximum": 10, "label": 1, "predicted": 0}, (MISSED, WRONG)),
        ({"defective": True, "iou": 0.1, "maximum": 200, "label": 1, "predicted": 2}, (WRONG, POOR)),
        ({"maximum": 255, "predicted": 2}, (UNKNOWN,)),
    ],
)
def test_what_is_wrong_with_an_image(known, expected):
    assert errors_of(row(**known), 100, 0) == expected


@pytest.mark.parametrize(("maximum", "kind"), [(100, MISSED), (101, FINE)])
def test_without_a_defect_free_class_every_label_is_a_defect(maximum, kind):
    assert errors_of(row(label=0, maximum=maximum), 100, None) == (kind,)


def test_without_a_threshold_only_black_maps_miss_and_nothing_is_an_alarm():
    assert errors_of(row(defective=True, maximum=0), None, 0) == (MISSED,)
    assert errors_of(row(defective=True, maximum=1), None, 0) == (FINE,)
    assert errors_of(row(defective=False, maximum=255), None, 0) == (FINE,)


def test_the_worst_come_first():
    rows = [
        row("missed, large", defective=True, iou=0.0, mae=0.4),
        row("missed, small", defective=True, iou=0.0, mae=0.1),
        row("alarm", defective=False, maximum=255, mae=0.5),
        row("wrong", defective=True, iou=0.9, maximum=255, mae=0.6, label=1, predicted=2),
        row("poor", defective=True, iou=0.1, maximum=255, mae=0.1),
        row("less poor", defective=True, iou=0.3, maximum=255, mae=0.2),
        row("good", defective=True, iou=0.7, maximum=255, mae=0.0),
        row("better", defective=True, iou=0.9, maximum=255, mae=0.0),
        row("sound", defective=False, mae=0.01),
        row("who knows"),
    ]
    found = sorted([*rows[5:], *rows[:5]], key=lambda each: badness(each, errors_of(each, 100, 0)))
    assert [each.name for each in found] == [each.name for each in rows]


def test_kinds_are_those_that_images_may_be_of():
    assert shown_errors([row(defective=True), row(label=1, predicted=1)]) == ERRORS[:-1]
    assert shown_errors([row(label=1, predicted=1), row()]) == ERRORS
    assert shown_errors([row(defective=True, predicted=1)]) == (MISSED, ALARM, POOR, FINE)
