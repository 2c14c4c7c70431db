"""Predictions averaged over flips, against the same written out by hand."""

import numpy as np
import pytest

from dms_jax.inference.batching import Answers
from dms_jax.inference.flips import average_over_flips


def predict(images: np.ndarray) -> Answers:
    """Two maps that depend on where a pixel lies, class scores that depend on a corner; no numbers where it is 9."""
    ramp = np.arange(images.shape[1] * images.shape[2], dtype=np.uint16).reshape(images.shape[1:3])
    first = ((images[..., 0].astype(np.uint16) + ramp) % 256).astype(np.uint8)
    maps = np.stack([first, 255 - first], axis=1)
    corner = images[:, 0, 0, 0].astype(np.float32)
    return maps, np.stack([corner, 255 - corner], axis=1)[:, None], corner != 9


IMAGES = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), np.uint8)


@pytest.mark.parametrize(
    ("horizontal", "vertical", "slices"),
    [
        (True, True, [(1, 1), (1, -1), (-1, 1), (-1, -1)]),
        (True, False, [(1, 1), (1, -1)]),
        (False, True, [(1, 1), (-1, 1)]),
        (False, False, [(1, 1)]),
    ],
)
def test_each_flip_counts_once_and_is_flipped_back(
    horizontal: bool, vertical: bool, slices: list[tuple[int, int]]
) -> None:
    maps, classes, finite = average_over_flips(predict, horizontal=horizontal, vertical=vertical)(IMAGES)
    expected_maps, expected_classes = [], []
    for rows, columns in slices:
        found, probabilities, _ = predict(IMAGES[:, ::rows, ::columns])
        expected_maps.append(found[:, :, ::rows, ::columns].astype(float))
        expected_classes.append(probabilities)
    assert (maps.dtype, classes.dtype) == (np.uint8, np.float32)
    np.testing.assert_array_equal(maps, np.round(np.mean(expected_maps, axis=0)))
    np.testing.assert_allclose(classes, np.mean(expected_classes, axis=0), rtol=1e-6)
    assert finite.tolist() == [True] * 3


def test_one_flip_without_numbers_leaves_none() -> None:
    images = IMAGES.copy()
    images[1, -1, 0, 0] = 9
    assert average_over_flips(predict)(images)[2].tolist() == [True, False, True]
    assert average_over_flips(predict, vertical=False)(images)[2].tolist() == [True] * 3


def test_a_network_without_class_heads_still_has_none() -> None:
    def without_heads(images: np.ndarray) -> Answers:
        return predict(images)[0], np.zeros((len(images), 0, 4), np.float32), np.ones(len(images), bool)

    assert average_over_flips(without_heads)(IMAGES)[1].shape == (3, 0, 4)
