import dataclasses
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_pairs import PAIRS

from dms_jax.evaluation.measures.pixels import PixelCounts
from dms_jax.evaluation.measures.saliency import SaliencyAverages, score_black_map, score_map
from dms_jax.evaluation.measures.sod import SodAverages, measure
from dms_jax.evaluation.scoring import score_image
from dms_jax.evaluation.totals import Evaluation, collect
from dms_jax.inference.description import gate_classes

# A pair, its class or None, and the classes that two outputs take it for.
IMAGES = st.tuples(PAIRS, st.one_of(st.none(), st.integers(0, 2)), st.tuples(st.integers(0, 2), st.integers(0, 2)))
IMAGE_LISTS = st.lists(IMAGES, min_size=0, max_size=5)


def scored(images, first=0, with_sod=True):
    """Two outputs an image: the map's negative, and the map."""
    return [
        score_image(
            [255 - saliency_map, saliency_map],
            mask,
            name=f"n{number}",
            label=label,
            predicted=predicted,
            threshold=100,
            with_sod=with_sod,
        )
        for number, ((saliency_map, mask), label, predicted) in enumerate(images, first)
    ]


def plain(value):
    """Dataclasses, mappings and arrays as dicts and lists of rounded numbers, to be compared with ==."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "items"):
        return {key: plain(own) for key, own in sorted(value.items())}
    if isinstance(value, tuple | list | np.ndarray):
        return [plain(own) for own in value]
    return round(float(value), 9) if isinstance(value, float | np.floating) else value


@settings(max_examples=40, deadline=None)
@given(IMAGE_LISTS, IMAGE_LISTS)
def test_merged_parts_are_the_whole(some, others):
    parts = collect(scored(some)).merge(collect(scored(others, first=len(some))))
    assert plain(parts) == plain(collect(scored(some + others)))


@settings(max_examples=40, deadline=None)
@given(st.lists(IMAGES, min_size=1, max_size=5))
def test_sums_are_over_the_images_that_they_name(images):
    evaluation = collect(scored(images))
    assert len(evaluation.outputs) == 2
    for index, output in enumerate(evaluation.outputs):
        own = [
            (score_map([255 - pair[0], pair[0]][index], pair[1]), label, predicted[index])
            for pair, label, predicted in images
        ]
        assert plain(output.everything) == sums(scores for scores, _, _ in own)
        assert plain(output.defective) == sums(scores for scores, _, _ in own if scores.defective)
        labelled = sorted((part for part in own if part[1] is not None), key=lambda part: part[1])
        groups = {label: list(group) for label, group in groupby(labelled, key=lambda part: part[1])}
        assert plain(output.per_class) == {
            label: sums(scores for scores, _, _ in group) for label, group in groups.items()
        }
        assert (output.accuracy.correct, output.accuracy.total) == (
            sum(label == guess for _, label, guess in labelled),
            len(labelled),
        )
    assert plain(evaluation.black.everything) == sums(score_black_map(pair[1]) for pair, _, _ in images)
    defective = [pair for pair, _, _ in images if (pair[1] > 127).any()]
    assert plain(evaluation.sod) == sod_sums(pair for pair, _, _ in images)
    assert plain(evaluation.sod_defective) == sod_sums(defective)


def sums(scores):
    saliency, pixels = SaliencyAverages.empty(), PixelCounts.empty()
    for own in scores:
        saliency, pixels = saliency.add(own), pixels.add(own)
    return {"saliency": plain(saliency), "pixels": plain(pixels)}


def sod_sums(pairs):
    total = SodAverages()
    for pair in pairs:
        total = total.merge(measure(*pair))
    return plain(total)


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_row_holds_the_final_maps_numbers(pair):
    saliency_map, mask = pair
    maps, classes = [np.zeros_like(mask), saliency_map], {"probabilities": np.array([0.25, 0.75]), "free_class": 1}
    row = score_image(maps, mask, name="a", threshold=100, **classes).row
    called, true = {*np.flatnonzero(saliency_map > 100)}, {*np.flatnonzero(mask > 127)}
    measures = measure(saliency_map, mask).compute()
    both = len(called) + len(true)
    joint = gate_classes(classes["probabilities"], int(saliency_map.max()), 1)
    assert dataclasses.asdict(row) == {
        "name": "a",
        "label": None,
        "predicted": None,
        "defective": bool(true),
        "maximum": int(saliency_map.max()),
        "defect_probability": 0.25,
        "mae": pytest.approx(np.mean(np.abs(saliency_map / 255 - mask / 255))),
        "iou": len(called & true) / len(called | true) if both else None,
        "f1": pytest.approx(2 * len(called & true) / both) if both else None,
        "s_measure": pytest.approx(measures["s_measure"]),
        "weighted_f": pytest.approx(measures["weighted_f"]),
        "gated_maximum": round(float(saliency_map.max()) / 4),
        "gated_predicted": int(joint.argmax()),
        "gated_defect_probability": pytest.approx(joint[0]),
        "extra": {},
    }


def test_further_metrics_are_of_the_final_map_by_name():
    first, final, mask = (np.full((2, 2), value, np.uint8) for value in (9, 100, 255))
    further = {"contrast": lambda saliency_map, mask: mask[0, 0] - saliency_map[0, 0], "nothing": lambda *_: None}
    row = score_image([first, final], mask, name="a", extra_metrics=further).row
    assert row.extra == {"contrast": 155.0, "nothing": None}
    assert type(row.extra["contrast"]) is float
    # What NumPy gives where there is nothing to divide by, which JSON cannot hold.
    for value in (np.nan, float("nan"), np.float32(np.inf), np.array(-np.inf)):
        row = score_image([final], mask, name="a", extra_metrics={"share": lambda *_, value=value: value}).row
        assert row.extra == {"share": None}
    # A metric may need a mask.
    assert score_image([first, final], None, name="a", extra_metrics=further).row.extra == dict.fromkeys(further)


def test_without_threshold_and_measures_their_columns_are_none():
    image = np.full((2, 2), 255, np.uint8)
    scores = score_image([image], image, name="a", with_sod=False)
    assert (scores.row.iou, scores.row.f1, scores.row.s_measure, scores.row.weighted_f) == (None,) * 4
    assert collect([scores]).sod.images == 0


def test_images_with_different_numbers_of_outputs_are_refused():
    image = np.zeros((2, 2), np.uint8)
    one, two = (score_image([image] * count, image, name="a", with_sod=False) for count in (1, 2))
    with pytest.raises(ValueError):
        collect([one, two])
    with pytest.raises(ValueError):
        collect([one]).merge(collect([two]))


def test_an_evaluation_of_nothing_adds_nothing():
    whole = collect(scored([((np.zeros((2, 2), np.uint8),) * 2, 1, (0, 0))]))
    assert plain(whole.merge(Evaluation())) == plain(Evaluation().merge(whole)) == plain(whole)
