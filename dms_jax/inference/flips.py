"""Predictions averaged over the flips of an image, which a surface without up and down has as well."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from dms_jax.inference.batching import Answers, Predict


def average_over_flips(predict: Predict, *, horizontal: bool = True, vertical: bool = True) -> Predict:
    """A prediction that is the mean over an image and its flips, each map flipped back: two or four times the work.

    Args:
      predict: takes images uint8 [M, S, S, 3] to maps uint8 [M, N, S, S], class probabilities float32 [M, N, K], and
        whether all of both are numbers, bool [M].
      horizontal: exchange left and right.
      vertical: exchange top and bottom, by itself and together with the other.

    Returns:
      A function like `predict`. Its maps are means of rounded ones, rounded: within 1 of those without rounding.
    """
    choices = product((False, True)[: 1 + vertical], (False, True)[: 1 + horizontal])
    # Of the axes (rows, columns) of images [M, S, S, 3]; those of maps [M, N, S, S] are one further.
    flips = [tuple(axis for axis, chosen in zip((1, 2), choice, strict=True) if chosen) for choice in choices]

    def averaged(images: NDArray[np.uint8]) -> Answers:
        answers = [predict(np.ascontiguousarray(np.flip(images, axes))) for axes in flips]
        maps = np.zeros(answers[0][0].shape, np.uint16)
        for (found, *_), axes in zip(answers, flips, strict=True):
            maps += np.flip(found, [axis + 1 for axis in axes])
        mean = np.round(maps / np.float32(len(flips))).astype(np.uint8)
        classes: NDArray[np.float32] = np.mean([found for _, found, _ in answers], axis=0, dtype=np.float32)
        finite: NDArray[np.bool_] = np.min([found for *_, found in answers], axis=0)
        return mean, classes, finite

    return averaged
