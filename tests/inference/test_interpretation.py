import numpy as np
import pytest
from fake_network import CLASSES, reading

from dms_jax.data.framing import Crop, Framing, crops_of
from dms_jax.inference.description import UNTESTED, ModelDescription, OperatingPoint
from dms_jax.inference.interpretation import Interpretation, Region, find_regions, interpret, join_classes

MODEL = ModelDescription(
    CLASSES,
    "free",
    Framing("squash", 32),
    OperatingPoint(96, "chosen plain", {50: 9, 120: 1}),
    OperatingPoint(68, "chosen gated", {10: 9, 90: 1}),
)


def flood_fill(mask: np.ndarray) -> list[tuple[tuple[int, int, int, int], int]]:
    """Boxes and areas of the regions, found pixel by pixel."""
    left, found = {(int(y), int(x)) for y, x in np.argwhere(mask)}, []
    while left:
        edge, region = [left.pop()], []
        while edge:
            y, x = edge.pop()
            region.append((y, x))
            around = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= around
            edge += around
        rows, columns = zip(*region, strict=True)
        found.append(((min(columns), min(rows), max(columns) + 1, max(rows) + 1), len(region)))
    return found


@pytest.mark.parametrize("share", [0, 0.1, 0.3, 0.5, 1])
def test_regions_are_those_of_a_flood_fill(share: float) -> None:
    mask = np.random.default_rng(1).random((40, 57)) < share
    regions = find_regions(mask)
    assert sorted((region.box, region.area) for region in regions) == sorted(flood_fill(mask))
    assert [region.area for region in regions] == sorted((region.area for region in regions), reverse=True)


def test_regions_touch_at_corners() -> None:
    assert find_regions(np.eye(5, dtype=bool)) == (Region((0, 0, 5, 5), 5),)


def test_what_is_said_of_an_image() -> None:
    maps = np.zeros((1, 32, 32), np.uint8)
    maps[0, 4:8, 6:9] = 200
    probabilities = np.array([[0.25, 0.25, 0.5]], np.float32)
    crops = crops_of((32, 32), reading().framing)
    prediction = interpret(maps, probabilities, crops, (32, 32), reading())
    np.testing.assert_array_equal(prediction.map, maps[0])
    assert prediction.class_name == "stain"
    assert prediction.probabilities == {"free": 0.25, "crack": 0.25, "stain": 0.5}
    assert (prediction.score, prediction.threshold, prediction.area) == (0.75, 100, 12 / 1024)
    assert prediction.regions == (Region((6, 4, 9, 8), 12),)
    gated = interpret(maps, probabilities, crops, (32, 32), reading(gates=True, threshold=149))
    np.testing.assert_array_equal(gated.map, maps[0] * 0.75)
    assert gated.regions == prediction.regions
    # As bright as that, and not above it.
    assert interpret(maps, probabilities, crops, (32, 32), reading(gates=True, threshold=150)).regions == ()


def test_without_class_heads_the_map_alone_says_how_defective_an_image_is() -> None:
    maps = np.full((1, 32, 32), 51, np.uint8)
    crops = crops_of((32, 32), reading().framing)
    # Gates are for those that have a probability.
    prediction = interpret(maps, np.zeros((1, 0), np.float32), crops, (32, 32), reading(gates=True))
    assert (prediction.class_name, prediction.probabilities, prediction.score) == (None, {}, 0.2)
    assert (prediction.map == 51).all()
    one = interpret(maps, np.ones((1, 1), np.float32), crops, (32, 32), reading(class_names=("free",)))
    assert (one.class_name, one.score) == ("free", 0.2)
    without_free = interpret(maps, np.full((1, 3), 1 / 3, np.float32), crops, (32, 32), reading(free_class=None))
    assert without_free.score == 0.2


def test_without_a_threshold_there_is_no_mask() -> None:
    crops = crops_of((32, 32), reading().framing)
    maps = np.full((1, 32, 32), 255, np.uint8)
    prediction = interpret(maps, np.ones((1, 3), np.float32), crops, (32, 32), reading(threshold=None))
    assert (prediction.mask, prediction.area, prediction.regions) == (None, None, ())


def test_an_image_is_as_defective_as_its_most_defective_crop() -> None:
    crops = np.array([[0.9, 0.1, 0], [0.2, 0, 0.8], [0.5, 0.5, 0]], np.float32)[:, None]
    np.testing.assert_array_equal(join_classes(crops, 0), crops[1])
    np.testing.assert_allclose(join_classes(crops, None)[0], [1.6 / 3, 0.2, 0.8 / 3], rtol=1e-6)


def test_a_prediction_of_many_crops_has_the_image_s_size() -> None:
    framing = Framing("tiles", 16)
    crops = crops_of((40, 70), framing)
    maps = np.full((len(crops), 16, 16), 77, np.uint8)
    prediction = interpret(maps, np.full((len(crops), 3), 1 / 3, np.float32), crops, (40, 70), reading(framing=framing))
    assert prediction.map.shape == (40, 70)
    assert (prediction.map == 77).all()
    assert isinstance(crops[0], Crop)


def test_by_default_maps_are_gated_where_the_model_can_and_cut_at_its_threshold() -> None:
    gated, plain = Interpretation.of(MODEL), Interpretation.of(MODEL, gates=False)
    assert (gated.gates, gated.threshold, gated.note, gated.free_class) == (True, 68, "chosen gated", 0)
    assert (plain.gates, plain.threshold, plain.note) == (False, 96, "chosen plain")
    without = Interpretation.of(ModelDescription(("a", "b"), None, Framing()))
    assert (without.gates, without.threshold, without.free_class) == (False, None, None)
    assert without.note == UNTESTED.note


def test_the_threshold_can_be_given_or_raised_for_few_false_alarms() -> None:
    assert Interpretation.of(MODEL, threshold=0).threshold == 0
    assert Interpretation.of(MODEL, max_false_alarms=0.1).threshold == 68
    assert Interpretation.of(MODEL, max_false_alarms=0).threshold == 90
    assert Interpretation.of(MODEL, gates=False, max_false_alarms=0).threshold == 120


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"threshold": 256}, "0..255"),
        ({"threshold": -1}, "0..255"),
        ({"threshold": 3, "max_false_alarms": 0.1}, "exclude each other"),
        ({"max_false_alarms": 1}, "below 1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Interpretation.of(MODEL, **options)


def test_what_cannot_be_gated_says_why() -> None:
    with pytest.raises(ValueError, match="gives no probability of a defect: its maps cannot be gated"):
        Interpretation.of(ModelDescription(("a", "b"), None, Framing()), gates=True)
    unmasked = OperatingPoint(None, "no image of validation has a defective pixel to choose a threshold by")
    with pytest.raises(ValueError, match="no image with a mask was left to choose a threshold for gated maps by"):
        Interpretation.of(ModelDescription(("free", "b"), "free", Framing(), unmasked), gates=True)
    with pytest.raises(ValueError, match="cannot be gated yet: the run has not been tested yet"):
        Interpretation.of(ModelDescription(("free", "b"), "free", Framing()), gates=True)
