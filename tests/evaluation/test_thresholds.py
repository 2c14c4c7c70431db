import numpy as np
import pytest

from dms_jax.evaluation.scoring import score_image
from dms_jax.evaluation.thresholds import choose_threshold, given_threshold, no_threshold
from dms_jax.evaluation.totals import collect

BLACK = np.zeros((1, 4), np.uint8)
MASK = np.array([[0, 0, 255, 255]], np.uint8)


def evaluation_of(*images):
    return collect(score_image(maps, mask, name="a", with_sod=False) for maps, mask in images)


def test_each_output_has_the_threshold_with_the_largest_f1_over_all_pixels():
    coarse, final = np.array([[10, 20, 30, 40]], np.uint8), np.array([[0, 120, 180, 220]], np.uint8)
    threshold = choose_threshold(evaluation_of(([coarse, final], MASK)), "validation")
    assert threshold.values == (20, 120)
    assert threshold.final == 120
    assert threshold.chosen_on == "validation"
    assert threshold.note == "the largest F1 over all pixels of the only image of validation"


def test_false_alarms_on_sound_images_raise_the_threshold():
    final = np.array([[0, 120, 180, 220]], np.uint8)
    loud = np.full((1, 4), 200, np.uint8)
    assert choose_threshold(evaluation_of(([final], MASK), ([loud], BLACK)), "validation").final == 200


def test_without_a_defective_pixel_there_is_none_and_a_reason():
    threshold = choose_threshold(evaluation_of(([BLACK, BLACK], BLACK)), "val/maps")
    assert (threshold.values, threshold.final, threshold.chosen_on) == ((), None, None)
    assert threshold.note == "no image of val/maps has a defective pixel to choose a threshold by"


def test_given_threshold_is_for_every_output():
    assert given_threshold(7, outputs=3).values == (7, 7, 7)
    assert given_threshold(7).chosen_on == "given"
    for value in (-1, 256):
        with pytest.raises(ValueError, match=r"0\.\.255"):
            given_threshold(value)


def test_no_threshold_has_its_reason():
    assert no_threshold("because").note == "because"
    assert no_threshold("because").final is None


def scored_image(saliency_map, mask, probability, label=None):
    probabilities = None if probability is None else np.array([1 - probability, probability])
    options = {"probabilities": probabilities, "free_class": 0, "with_sod": False}
    return score_image([saliency_map], mask, name="a", label=label, **options)


def test_the_gated_map_has_a_threshold_of_its_own():
    final = np.array([[0, 120, 180, 220]], np.uint8)
    threshold = choose_threshold(collect([scored_image(final, MASK, 0.5)]), "validation")
    assert (threshold.plain.threshold, threshold.gated.threshold) == (120, 60)
    assert choose_threshold(evaluation_of(([final], MASK)), "validation").gated is None


def test_maxima_are_those_of_normal_images_by_label_or_else_by_mask():
    loud = np.full((1, 4), 200, np.uint8)
    images = [scored_image(loud, BLACK, 0.5, label=0), scored_image(loud, BLACK, 0.5, label=1)]
    by_label = choose_threshold(collect(images), "validation", free_class=0)
    assert by_label.plain.normal_maxima == {200: 1}
    assert by_label.gated.normal_maxima == {100: 1}
    assert choose_threshold(collect(images), "validation").plain.normal_maxima == {200: 2}
    # Where there is a label, the mask has no say.
    odd = [scored_image(loud, MASK, 0.5, label=0), scored_image(loud, BLACK, 0.5, label=1)]
    assert choose_threshold(collect(odd), "validation", free_class=0).plain.normal_maxima == {200: 1}
    assert choose_threshold(collect(odd[:1]), "validation", free_class=0).plain.normal_maxima == {200: 1}
    images = [scored_image(loud, None, 0.5, label=0), scored_image(loud, None, 0.5)]
    assert choose_threshold(collect(images), "validation", free_class=0).plain.normal_maxima == {200: 1}


@pytest.mark.parametrize(("share", "value"), [(0.5, 120), (0.34, 120), (0.33, 200), (0.01, 200), (0.0, 200)])
def test_few_false_alarms_raise_the_threshold_no_further_than_needed(share, value):
    """Of three normal images one fires up to 110 and one up to 200; the best F1 is at 120."""
    final = np.array([[0, 120, 180, 220]], np.uint8)
    normal = [
        scored_image(np.full((1, 40), maximum, np.uint8), np.zeros((1, 40), np.uint8), 1) for maximum in (9, 110, 200)
    ]
    loud = choose_threshold(collect([*[scored_image(final, MASK, 1)] * 99, *normal]), "validation")
    assert loud.final == 120
    limited = loud.with_false_alarms(share)
    assert (limited.final, limited.gated.threshold) == (value, value)
    assert "of the 3 normal images of validation" in limited.note


def test_without_a_defect_the_false_alarms_alone_decide():
    normal = [scored_image(np.full((1, 4), maximum, np.uint8), BLACK, 1) for maximum in range(100)]
    chosen = choose_threshold(collect(normal), "validation")
    assert chosen.final is None
    limited = chosen.with_false_alarms(0.05)
    assert limited.values == (94,)
    assert (chosen.chosen_on, limited.chosen_on) == (None, "validation")


def test_without_a_normal_image_false_alarms_cannot_be_limited():
    final = np.array([[0, 120, 180, 220]], np.uint8)
    chosen = choose_threshold(evaluation_of(([final], MASK)), "validation")
    with pytest.raises(ValueError, match="no image of validation is known to be normal"):
        chosen.with_false_alarms(0.01)
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        chosen.with_false_alarms(1.0)
