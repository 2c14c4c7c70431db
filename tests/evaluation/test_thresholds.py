import numpy as np
import pytest

from dms_jax.evaluation.scoring import collect, score_image
from dms_jax.evaluation.thresholds import choose_threshold, given_threshold, no_threshold

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
    assert threshold.note == "the largest F1 over all pixels of the 1 images of validation"


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
