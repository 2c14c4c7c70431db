import numpy as np

from dms_jax.runs.monitoring.overlays import choose_rows, draw_overlay


def test_defects_come_first_and_of_each_class_one_before_a_second():
    mask = np.zeros((7, 4, 4, 1), np.uint8)
    mask[[1, 2, 4, 5], 0, 0] = 255
    batch = {"mask": mask, "label": np.array([0, 1, 1, 0, 2, 2, 0]), "valid": np.arange(7) < 6}
    assert choose_rows(batch, 2) == [1, 4]
    assert choose_rows(batch, 3) == [1, 2, 4]
    assert choose_rows(batch, 5) == [0, 1, 2, 4, 5]
    assert choose_rows(batch, 99) == [0, 1, 2, 3, 4, 5]
    assert choose_rows({**batch, "valid": np.zeros(7, bool)}, 4) == []


def test_the_outline_runs_around_the_truth():
    image = np.full((8, 8, 3), 100, np.uint8)
    mask, saliency_map = np.zeros((8, 8), np.uint8), np.arange(64, dtype=np.uint8).reshape(8, 8)
    mask[3:5, 3:5] = 128
    drawn = draw_overlay(image, mask, saliency_map)
    magenta = (drawn[:, :8] == (255, 0, 255)).all(axis=2)
    expected = np.zeros((8, 8), bool)
    expected[2:6, 2:6] = True
    expected[3:5, 3:5] = False
    np.testing.assert_array_equal(magenta, expected)
    assert (drawn[:, :8][~magenta] == 100).all()
    np.testing.assert_array_equal(drawn[:, 8:], np.repeat(saliency_map[..., None], 3, axis=2))
