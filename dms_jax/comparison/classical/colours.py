"""An image's colours in few bins, which HC and RC compare in place of pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dms_jax.comparison.classical.images import Floats, levels, levels_to_lab

LEVELS = 12  # of each channel


@dataclass(frozen=True, eq=False)
class Colours:
    """The colours of an image.

    Attributes:
      index: the colour of each pixel, int64 [H, W].
      counts: pixels of each colour, float64 [n], all above 0.
      distances: between the colours' means, in CIELAB, float64 [n, n].
    """

    index: NDArray[np.int64]
    counts: Floats
    distances: Floats


def quantised(image: ArrayLike, coverage: float = 1.0) -> Colours:
    """Bin the pixels by 12 levels of each channel.

    Args:
      image: [H, W, 3], uint8, 0..255, or floating point, 0..1.
      coverage: keep the most frequent colours that cover this share of the pixels, 0..1; pixels of any other colour get
        the nearest of these.

    Raises:
      ValueError: the image is of another shape, type or range.
    """
    channels = levels(image)
    steps = np.rint(channels / 255 * (LEVELS - 1)).astype(np.int64)
    codes = steps @ LEVELS ** np.arange(steps.shape[2])
    _, flat = np.unique(codes, return_inverse=True)
    flat = flat.ravel()
    counts = np.bincount(flat).astype(np.float64)
    sums = [np.bincount(flat, channel.ravel()) for channel in np.moveaxis(channels, 2, 0)]
    means = np.stack(sums, axis=1) / counts[:, None]
    if coverage < 1:
        frequent = np.argsort(-counts, kind="stable")
        covered = np.cumsum(counts[frequent]) / counts.sum()
        kept = frequent[: int(np.searchsorted(covered, coverage)) + 1]
        nearest = np.argmin(_distances(means, means[kept]), axis=1)
        flat, means = nearest[flat], means[kept]
        counts = np.bincount(flat, minlength=len(kept)).astype(np.float64)
    in_lab = levels_to_lab(means)
    return Colours(flat.reshape(codes.shape), counts, _distances(in_lab, in_lab))


def _distances(some: Floats, others: Floats) -> Floats:
    return np.linalg.norm(some[:, None] - others[None], axis=2)
