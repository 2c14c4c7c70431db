import json
from dataclasses import asdict, replace
from fractions import Fraction

import numpy as np
import pytest

from dms_jax.data.framing import Framing
from dms_jax.inference.description import (
    UNTESTED,
    ModelDescription,
    OperatingPoint,
    gate,
    gate_classes,
    normal_maxima,
    operating_point,
)

MODEL = ModelDescription(
    ("good", "crack"),
    "good",
    Framing("tiles", 64, 96, 0.5),
    OperatingPoint(96, "chosen", {3: 2, 200: 1}),
    OperatingPoint(68, "chosen too", {0: 3}),
    (0.0, 4095.0),
)


@pytest.mark.parametrize("model", [MODEL, replace(MODEL, free_class=None, gated=None, value_range=None)])
def test_a_description_comes_back_from_json(model: ModelDescription) -> None:
    assert ModelDescription.from_json(json.loads(json.dumps(model.to_json()))) == model


def test_a_description_with_other_fields_is_refused() -> None:
    with pytest.raises(TypeError, match="unknown"):
        ModelDescription.from_json({**MODEL.to_json(), "unknown": 1})
    with pytest.raises(ValueError, match="mode"):
        ModelDescription.from_json({**MODEL.to_json(), "framing": {"mode": "mirror"}})


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("threshold", 256, "threshold=256 must be in 0..255"),
        ("threshold", 1.5, "threshold=1.5 must be"),
        ("threshold", True, "threshold=True must be"),
        ("threshold", "12", "threshold='12' must be"),
        ("normal_maxima", None, "normal_maxima=None must have counts"),
        ("normal_maxima", [1, 2], r"normal_maxima=\[1, 2\] must have counts"),
        ("normal_maxima", {"256": 1}, "the value 256 must be in 0..255"),
        ("normal_maxima", {"20": []}, r"\[\] cannot be how many images have the value 20"),
        ("normal_maxima", {"20": -1}, "-1 cannot be how many"),
        ("note", 3, "note=3 must be text"),
        ("chosen_on", None, "chosen_on=None must be text"),
        ("limit", "0.1", "limit='0.1' must be in 0..1"),
        ("limit", float("nan"), "limit=nan must be"),
    ],
)
@pytest.mark.parametrize("point", ["plain", "gated"])
def test_a_point_with_a_value_that_it_cannot_have_is_refused(point: str, field: str, value: object, told: str) -> None:
    fields = MODEL.to_json()
    with pytest.raises(ValueError, match=told):
        ModelDescription.from_json({**fields, point: {**fields[point], field: value}})


@pytest.mark.parametrize("point", ["plain", "gated"])
@pytest.mark.parametrize("value", [96, [], "96"])
def test_a_point_without_fields_is_refused(point: str, value: object) -> None:
    with pytest.raises(ValueError, match="must have the fields of a threshold"):
        ModelDescription.from_json({**MODEL.to_json(), point: value})


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"framing": {"size": 1.5}}, "framing: size=1.5 must be a whole number of pixels"),
        ({"framing": {"size": True}}, "size=True must be"),
        ({"framing": {"size": 64, "tile": float("nan")}}, "tile=nan must be"),
        ({"framing": {"size": 64, "overlap": False}}, "overlap=False must be a number"),
        ({"value_range": ["0", "9"]}, r"value_range=\('0', '9'\) must be two numbers that rise"),
        ({"value_range": [False, True]}, "must be two numbers"),
        ({"value_range": [0, float("inf")]}, "must be two numbers"),
        ({"value_range": [9, 0]}, "must be two numbers"),
    ],
)
def test_what_no_image_can_be_read_by_is_refused(fields: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ModelDescription.from_json({**MODEL.to_json(), **fields})


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("class_names", ["good", "crack", "crack"], "must differ"),
        ("version", None, "version=None must be text"),
    ],
)
def test_a_model_with_a_value_that_it_cannot_have_is_refused(field: str, value: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ModelDescription.from_json({**MODEL.to_json(), "free_class": None, field: value})


def test_false_alarms_are_limited_to_exactly_the_share_that_was_asked_for() -> None:
    random = np.random.default_rng(0)
    for count in (1, 2, 7, 50, 100):
        maxima = random.integers(0, 256, count).tolist()
        for own in (None, 60):
            point = OperatingPoint(own, "chosen", normal_maxima(maxima))
            for number in range(count):
                share = number / count
                chosen = point.with_false_alarms(share).threshold
                # In whole numbers: 29 of 100 images may fire at 0.29, which is a little less in binary.
                allowed = Fraction(number, count) * count
                fits = [t for t in range(own or 0, 256) if sum(maximum > t for maximum in maxima) <= allowed]
                assert chosen == fits[0], (count, number, own)


def test_a_threshold_that_is_high_enough_stays() -> None:
    limited = OperatingPoint(90, "chosen", {80: 3}).with_false_alarms(0.1)
    assert limited.threshold == 90
    start = "chosen; 0 of the 3 normal images of validation have a pixel above it"
    assert limited.note == f"{start}, too few to tell a share of 0.1; at most 0.1 of them may fire"
    enough = OperatingPoint(90, "chosen", {80: 10}).with_false_alarms(0.1)
    assert "too few" not in enough.note


@pytest.mark.parametrize("share", [-0.1, 1, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        OperatingPoint(90, "chosen", {80: 3}).with_false_alarms(share)


def test_no_limit_is_refused_with_what_lifts_one() -> None:
    lifted = r"not 1 \(only dms-jax evaluate --max-false-alarms 1 lifts a run's limit: it chooses the threshold anew\)$"
    with pytest.raises(ValueError, match=lifted):
        OperatingPoint(90, "chosen", {80: 3}).with_false_alarms(1)


@pytest.mark.parametrize("threshold", [20, 90])
def test_a_stricter_limit_of_the_run_s_own_holds(threshold: int) -> None:
    limited = OperatingPoint(threshold, "chosen", {30: 50, 80: 50}).with_false_alarms(0.01)
    assert limited.with_false_alarms(0.01) == limited
    looser = limited.with_false_alarms(0.5)
    assert looser.threshold == limited.threshold == max(threshold, 80)
    assert looser.note == f"{limited.note}; this limit of the run's own is stricter than 0.5, and holds"
    for point in (limited, OperatingPoint(threshold, "chosen", {30: 50, 80: 50}).with_false_alarms(0.5)):
        stricter = point.with_false_alarms(0.001)
        assert stricter.threshold == max(threshold, 80)
        fire = "0 of the 100 normal images of validation have a pixel above it, too few to tell a share of 0.001"
        assert stricter.note == f"at most 0.001 of the normal images may fire; {fire}"
    # A share whose note is rounded.
    thirds = OperatingPoint(threshold, "chosen", {30: 2, 80: 1}).with_false_alarms(1 / 3)
    assert thirds.with_false_alarms(1 / 3) == thirds


@pytest.mark.parametrize("threshold", [20, 90])
def test_the_limit_of_an_earlier_version_is_read_from_its_note(threshold: int) -> None:
    limited = OperatingPoint(threshold, "chosen", {30: 50, 80: 50}).with_false_alarms(0.01)
    fields = json.loads(json.dumps(asdict(limited)))
    assert operating_point(fields) == limited
    assert fields.pop("limit") == 0.01
    assert operating_point(fields) == limited
    fields["note"] = "chosen"
    assert operating_point(fields).limit is None


def test_without_normal_images_there_is_no_share() -> None:
    with pytest.raises(ValueError, match="no image of validation is known to be normal"):
        OperatingPoint(90, "chosen").with_false_alarms(0.5)
    with pytest.raises(ValueError, match="the run has not been tested yet, and no normal image is known"):
        UNTESTED.with_false_alarms(0.5)


def test_the_gate_multiplies_and_rounds() -> None:
    values = np.arange(256, dtype=np.uint8)
    assert (gate(values, 1) == values).all()
    assert not gate(values, 0).any()
    for probability in np.linspace(0, 1, 23):
        exact = values * probability
        gated = gate(values, probability)
        assert gated.dtype == np.uint8
        assert np.abs(gated - exact).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("maximum", [0, 1, 100, 128, 254, 255])
def test_a_map_multiplies_the_odds_of_each_defect_by_a_root_of_its_own(maximum: int) -> None:
    classes = np.array([0.3, 0.5, 0.2], np.float32)
    joint = gate_classes(classes, maximum, 1)
    assert joint.sum() == pytest.approx(1)
    counted = {0: 0.5, 255: 254.5}.get(maximum, maximum)
    for defect in (0, 2):
        before, after = classes[defect] / classes[1], joint[defect] / joint[1]
        assert after / before == pytest.approx((counted / (255 - counted)) ** 0.25)


def test_what_a_sure_head_says_stands_against_any_map() -> None:
    assert gate_classes(np.array([0.999, 0.001]), 255, 0).argmax() == 0
    assert gate_classes(np.array([0.001, 0.999]), 0, 0).argmax() == 1
    assert gate_classes(np.array([1.0, 0.0]), 255, 0).tolist() == [1, 0]
