import json

import numpy as np
import pytest

from dms_jax.evaluation.results_text import details_text
from dms_jax.evaluation.scoring import score_image
from dms_jax.evaluation.summary_metrics import compute_metrics
from dms_jax.evaluation.thresholds import given_threshold, no_threshold
from dms_jax.evaluation.totals import collect

SALIENCY = {"mae", "max_f", "max_f_threshold", "images"}
SET = SALIENCY | {"threshold", "iou", "f1", "pixel_ap"}
OUTPUT = SET | {"defective", "accuracy"}
ALL = {
    *OUTPUT,
    "all_images",
    "per_class",
    "operating_threshold",
    "gated",
    "painted",
    "image_level",
    "sod",
    "all_black",
    "curve",
    "outputs",
    "extra",
}
IMAGE_LEVEL = {
    "truth",
    "defective",
    "free",
    "class_head",
    "map_maximum",
    "gated_maximum",
    "gated_class_head",
    "confusion",
}
DETECTION = {"precision", "recall", "false_alarm_rate", "auroc", "ap"}
SOD = {"s_measure", "max_e", "mean_e", "weighted_f"}
CURVE = {"precision", "recall", "f"}

BLACK = np.zeros((2, 2), np.uint8)
DEFECT = np.array([[0, 0], [0, 255]], np.uint8)
HALF = np.array([[0, 0], [150, 200]], np.uint8)
NO_THRESHOLD = no_threshold("none was given")


def evaluation_of(*images, threshold=None):
    """Images are (map, mask), or (map, mask, label, predicted, probability of a defect)."""
    scored = []
    for number, (saliency_map, mask, *classes) in enumerate(images):
        label, predicted, probability = classes or (None, None, None)
        scored.append(
            score_image(
                [saliency_map],
                mask,
                name=str(number),
                label=label,
                predicted=() if predicted is None else (predicted,),
                probabilities=None if probability is None else np.array([1 - probability, probability]),
                free_class=0,
                threshold=threshold,
            )
        )
    return collect(scored)


def test_keys_are_stable():
    evaluation = evaluation_of((BLACK, BLACK, 0, 0, 0.1), (HALF, DEFECT, 1, 1, 0.9), threshold=100)
    metrics = compute_metrics(evaluation, given_threshold(100), class_names=["free", "crack"], free_class=0)
    assert metrics.keys() == ALL
    assert metrics["defective"].keys() == SET | {"mean_iou", "mean_f1"}
    assert metrics["per_class"].keys() == {"free", "crack"}
    for own in metrics["per_class"].values():
        assert own.keys() == SET | {"accuracy", "fired"}
    assert metrics["operating_threshold"].keys() == {"value", "chosen_on", "note"}
    assert metrics["image_level"].keys() == IMAGE_LEVEL
    assert metrics["image_level"]["class_head"].keys() == metrics["image_level"]["map_maximum"].keys() == DETECTION
    assert metrics["image_level"]["confusion"].keys() == {"classes", "matrix"}
    assert metrics["sod"].keys() == SOD | {"defective", "convention"}
    assert metrics["sod"]["defective"].keys() == SOD
    assert metrics["all_black"].keys() == SALIENCY | {"defective"}
    assert metrics["all_black"]["defective"].keys() == SALIENCY
    assert metrics["curve"].keys() == CURVE | {"defective"}
    assert metrics["curve"]["defective"].keys() == CURVE
    assert all(len(metrics["curve"][key]) == 256 for key in CURVE)
    assert [output.keys() for output in metrics["outputs"]] == [OUTPUT]
    assert metrics["outputs"][0]["defective"].keys() == SET
    json.dumps(metrics, allow_nan=False)


def test_keys_are_the_same_where_nothing_exists():
    metrics = compute_metrics(evaluation_of((BLACK, BLACK)), NO_THRESHOLD)
    assert metrics.keys() == ALL
    assert metrics["defective"] == dict.fromkeys(SET | {"mean_iou", "mean_f1"}) | {"images": 0}
    assert metrics["per_class"] == {}
    assert metrics["curve"]["defective"] is None
    assert metrics["image_level"] == {
        "truth": "masks",
        "defective": 0,
        "free": 1,
        "class_head": None,
        "map_maximum": None,
        "gated_maximum": None,
        "gated_class_head": None,
        "confusion": None,
    }
    json.dumps(metrics, allow_nan=False)


def test_what_needs_masks_is_none_where_no_mask_is_known():
    evaluation = evaluation_of((BLACK, None, 0, 0, 0.1), (HALF, None, 1, 0, 0.4))
    metrics = compute_metrics(evaluation, NO_THRESHOLD, class_names=["free", "crack"], free_class=0)
    assert metrics.keys() == ALL
    assert metrics["curve"] == dict.fromkeys(CURVE | {"defective"})
    assert (metrics["mae"], metrics["max_f"], metrics["all_black"]["mae"]) == (None, None, None)
    assert metrics["accuracy"] == 0.5
    assert metrics["image_level"]["class_head"]["auroc"] == 1.0
    json.dumps(metrics, allow_nan=False)


def test_where_no_mask_is_known_the_gated_row_has_its_accuracy():
    """Black maps make a free image of each, of which one is."""
    scored = [
        score_image(
            [BLACK],
            None,
            name=str(label),
            label=label,
            predicted=(1,),
            probabilities=np.array([0.4, 0.6]),
            free_class=0,
        )
        for label in (0, 1)
    ]
    metrics = compute_metrics(collect(scored), NO_THRESHOLD, class_names=["free", "crack"], free_class=0)
    assert metrics["gated"]["accuracy"] == 0.5
    assert [row.gated_predicted for row in collect(scored).rows] == [0, 0]
    assert (metrics["gated"]["mae"], metrics["gated"]["images"]) == (None, 0)
    assert metrics["gated"]["operating_threshold"] == metrics["operating_threshold"]
    json.dumps(metrics, allow_nan=False)


def test_without_a_defect_there_is_no_max_f():
    """Precision and recall are 1 at threshold 255 then, whatever the map."""
    metrics = compute_metrics(evaluation_of((HALF, BLACK), (BLACK, BLACK)), NO_THRESHOLD)
    assert (metrics["max_f"], metrics["all_black"]["max_f"]) == (None, None)
    assert metrics["mae"] == pytest.approx((150 + 200) / 255 / 4 / 2)


def test_a_map_has_a_say_in_the_class_where_it_is_gated() -> None:
    """A sound image that the head calls a crack and the map leaves black, and a crack that the map alone finds."""
    scored = [
        score_image(
            [saliency_map],
            mask,
            name=str(label),
            label=label,
            predicted=(int(np.argmax(classes)),),
            probabilities=np.array(classes),
            free_class=0,
        )
        for label, saliency_map, mask, classes in (
            (0, BLACK, BLACK, [0.4, 0.5, 0.1]),
            (1, HALF, DEFECT, [0.45, 0.35, 0.2]),
            (2, HALF, None, [0.1, 0.6, 0.3]),
        )
    ]
    assert [(image.row.predicted, image.row.gated_predicted) for image in scored] == [(1, 0), (0, 1), (1, 1)]
    metrics = compute_metrics(collect(scored), NO_THRESHOLD, class_names=["free", "crack", "fray"], free_class=0)
    assert (metrics["accuracy"], metrics["gated"]["accuracy"]) == (0, 2 / 3)
    head, joint = metrics["image_level"]["class_head"], metrics["image_level"]["gated_class_head"]
    assert (head["recall"], head["false_alarm_rate"]) == (0.5, 1.0)
    assert (joint["recall"], joint["false_alarm_rate"], joint["auroc"]) == (1.0, 0.0, 1.0)


def test_metrics_of_two_images_by_hand():
    """A sound image with a false alarm on a quarter of it, and a defect of one pixel found with one too many."""
    alarm = np.array([[250, 0], [0, 0]], np.uint8)
    evaluation = evaluation_of((alarm, BLACK, 0, 0, 0.3), (HALF, DEFECT, 1, 0, 0.2), threshold=100)
    metrics = compute_metrics(evaluation, given_threshold(100), class_names=["free", "crack"], free_class=0)
    assert metrics["mae"] == pytest.approx((250 / 255 / 4 + (150 + 55) / 255 / 4) / 2)
    # One hit among three pixels called and one true.
    assert (metrics["iou"], metrics["f1"]) == (pytest.approx(1 / 3), pytest.approx(1 / 2))
    assert metrics["pixel_ap"] == pytest.approx(1 / 2)
    assert metrics["defective"]["images"] == 1
    assert metrics["defective"]["mean_iou"] == metrics["defective"]["iou"] == pytest.approx(1 / 2)
    assert metrics["defective"]["mean_f1"] == metrics["defective"]["f1"] == pytest.approx(2 / 3)
    assert metrics["accuracy"] == 0.5
    free, crack = metrics["per_class"]["free"], metrics["per_class"]["crack"]
    assert (free["accuracy"], free["fired"], free["max_f"], free["iou"]) == (1.0, 1.0, None, None)
    assert (crack["accuracy"], crack["fired"], crack["iou"]) == (0.0, 1.0, pytest.approx(1 / 2))
    # Both images are said to be free, so that nothing is painted.
    assert metrics["painted"]["per_class"] == {"crack": 0}
    assert metrics["painted"]["background"] == pytest.approx(7 / 8)
    level = metrics["image_level"]
    assert (level["truth"], level["defective"], level["free"]) == ("labels", 1, 1)
    assert level["map_maximum"] == {"precision": 0.5, "recall": 1.0, "false_alarm_rate": 1.0, "auroc": 0.0, "ap": 0.5}
    assert level["class_head"] == {"precision": None, "recall": 0.0, "false_alarm_rate": 0.0, "auroc": 0.0, "ap": 0.5}
    assert level["confusion"] == {"classes": ["free", "crack"], "matrix": [[1, 0], [1, 0]]}


def test_without_a_free_class_defective_or_not_does_not_exist():
    evaluation = evaluation_of((HALF, DEFECT, 0, 0, None), (BLACK, BLACK, 1, 1, None), threshold=100)
    metrics = compute_metrics(evaluation, given_threshold(100), class_names=["break", "crack"], free_class=None)
    level = metrics["image_level"]
    assert (level["class_head"], level["map_maximum"]) == (None, None)
    assert (level["defective"], level["free"]) == (2, 0)
    assert level["confusion"]["matrix"] == [[1, 0], [0, 1]]


@pytest.mark.parametrize(("class_names", "free_class"), [(["defect"], None), (["free", "crack"], 0)])
def test_where_no_image_has_a_label_the_masks_say_what_is_defective(class_names, free_class):
    evaluation = evaluation_of((HALF, DEFECT, None, None, None), (HALF, BLACK), (BLACK, BLACK), threshold=100)
    metrics = compute_metrics(evaluation, given_threshold(100), class_names=class_names, free_class=free_class)
    level = metrics["image_level"]
    assert (level["truth"], level["defective"], level["free"]) == ("masks", 1, 2)
    assert level["map_maximum"] == {"precision": 0.5, "recall": 1.0, "false_alarm_rate": 0.5, "auroc": 0.75, "ap": 0.5}
    assert level["class_head"] is level["confusion"] is None
    assert "(1 defective and 2 defect-free images, by their masks)" in details_text(metrics)


def test_every_image_counts_whatever_is_known_of_it():
    known = (HALF, DEFECT, 1, 1, None), (BLACK, BLACK, 0, 0, None)
    masks_alone, labels_alone = (HALF, DEFECT, None, 1, None), (BLACK, None, 0, 0, None)
    evaluation = evaluation_of(*known, masks_alone, labels_alone, threshold=100)
    metrics = compute_metrics(evaluation, given_threshold(100), class_names=["free", "crack"], free_class=0)
    assert (metrics["all_images"], metrics["images"]) == (4, 3)
    # As many have a label.
    assert (metrics["image_level"]["defective"], metrics["image_level"]["free"]) == (1, 2)
    assert "(images: those whose mask is known; accuracy and fired: of all that have a label)" in details_text(metrics)


def test_images_without_a_label_are_in_no_class():
    evaluation = evaluation_of((HALF, DEFECT, 1, None, None), (BLACK, BLACK), threshold=100)
    metrics = compute_metrics(evaluation, given_threshold(100), class_names=["free", "crack"], free_class=0)
    assert metrics["images"] == 2
    assert {name: own["images"] for name, own in metrics["per_class"].items()} == {"free": 0, "crack": 1}
    assert (metrics["image_level"]["defective"], metrics["image_level"]["free"]) == (1, 0)
    assert metrics["accuracy"] is None


def test_all_black_maps_are_scored_beside():
    metrics = compute_metrics(evaluation_of((HALF, DEFECT), (BLACK, BLACK)), NO_THRESHOLD)
    assert metrics["all_black"]["mae"] == pytest.approx(1 / 8)
    assert metrics["all_black"]["defective"]["max_f"] == pytest.approx(0, abs=1e-3)
    # P is 1 everywhere and R is 0 and 1: F = 1.3 * 0.5 / (0.3 + 0.5).
    assert metrics["all_black"]["max_f"] == pytest.approx(0.8125, abs=1e-4)


def test_further_metrics_are_averaged_over_the_images_that_have_them():
    scored = [
        score_image([HALF], mask, name=str(value), extra_metrics={"m": lambda *_, value=value: value})
        for mask, value in ((BLACK, 1.0), (DEFECT, 0.5), (DEFECT, None), (None, 9.0), (BLACK, None))
    ]
    assert compute_metrics(collect(scored), NO_THRESHOLD)["extra"] == {"m": {"all": 0.75, "defective": 0.5}}
    undefined = [score_image([HALF], BLACK, name="a", extra_metrics={"m": lambda *_: None})]
    assert compute_metrics(collect(undefined), NO_THRESHOLD)["extra"] == {"m": {"all": None, "defective": None}}


def test_fired_is_the_share_of_images_with_a_pixel_above_the_threshold():
    evaluation = evaluation_of(
        (HALF, BLACK, 0, None, None), (BLACK, BLACK, 0, None, None), (HALF, DEFECT, 1, None, None), threshold=199
    )
    for threshold, fired in ((199, [0.5, 1.0]), (200, [0.0, 0.0])):
        metrics = compute_metrics(evaluation, given_threshold(threshold), class_names=["free", "crack"], free_class=0)
        assert [own["fired"] for own in metrics["per_class"].values()] == fired
        alarms = metrics["image_level"]["map_maximum"]
        assert [alarms["false_alarm_rate"], alarms["recall"]] == fired
