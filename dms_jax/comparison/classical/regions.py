"""The segments of an image: their sizes and where they lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dms_jax.comparison.classical.images import Floats


@dataclass(frozen=True, eq=False)
class Regions:
    """The segments of an image.

    Attributes:
      labels: the segment of each pixel, int64 [H, W], from 0.
      counts: pixels of each, float64 [n].
      centres: mean row and column of each, in units of the image's larger side, float64 [n, 2].
    """

    labels: NDArray[np.int64]
    counts: Floats
    centres: Floats

    def means(self, channels: Floats) -> Floats:
        """The mean over each segment of [H, W, C], float64 [n, C]."""
        flat = self.labels.ravel()
        sums = [np.bincount(flat, channel.ravel()) for channel in np.moveaxis(channels, 2, 0)]
        return np.stack(sums, axis=1) / self.counts[:, None]


def regions(labels: NDArray[np.integer]) -> Regions:
    """Describe a segmentation, int [H, W], whose labels may leave numbers out."""
    _, flat = np.unique(labels, return_inverse=True)
    flat = flat.reshape(labels.shape)
    counts = np.bincount(flat.ravel()).astype(np.float64)
    found = Regions(flat, counts, np.zeros((len(counts), 2)))
    positions = np.moveaxis(np.indices(labels.shape), 0, -1) / max(labels.shape)
    return Regions(flat, counts, found.means(positions))


def squared_distances(points: Floats) -> Floats:
    """|a - b|^2 of all pairs of points [n, C], float64 [n, n]."""
    return np.sum((points[:, None] - points[None]) ** 2, axis=2)
