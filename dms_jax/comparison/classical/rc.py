"""RC: Cheng, Zhang, Mitra, Huang and Hu, "Global contrast based salient region detection" (CVPR 2011), by region."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dms_jax.comparison.classical.colours import quantised
from dms_jax.comparison.classical.images import levels, normalised
from dms_jax.comparison.classical.regions import regions, squared_distances
from dms_jax.comparison.classical.scikit_image import segmentation

# Of Felzenszwalb and Huttenlocher's segmentation, with colours in 0..1; a segment has at least so many pixels, and more
# where there would be too many segments to compare each with each.
_SCALE, _BLUR, _SMALLEST, _MOST = 100.0, 0.8, 200, 2000
_SPATIAL_VARIANCE = 0.4


def rc(image: ArrayLike) -> NDArray[np.float32]:
    """Contrast of a segment with all others, of which near and large ones count more.

    S(r) = sum over segments s other than r of exp(-D_s(r, s) / 0.4) w(s) D_r(r, s): D_s is the distance of their
    centres in units of the larger side, w the number of pixels, and D_r the mean distance of a colour of r and one of
    s, in CIELAB, of colours in 12 levels a channel.

    Args:
      image: [H, W, 3], uint8, 0..255, or floating point, 0..1.

    Returns:
      float32 [H, W], 0..1.

    Raises:
      ValueError: the image is of another shape, type or range.
      UserError: scikit-image is not installed.
    """
    channels = levels(image) / 255
    smallest = max(_SMALLEST, channels[..., 0].size // _MOST)
    labels = segmentation("RC").felzenszwalb(channels, scale=_SCALE, sigma=_BLUR, min_size=smallest, channel_axis=-1)
    parts, colours = regions(labels), quantised(image)
    shape = (len(parts.counts), len(colours.counts))
    both = parts.labels.ravel() * shape[1] + colours.index.ravel()
    shares = np.bincount(both, minlength=shape[0] * shape[1]).reshape(shape) / parts.counts[:, None]
    contrast = shares @ colours.distances @ shares.T
    weights = np.exp(-np.sqrt(squared_distances(parts.centres)) / _SPATIAL_VARIANCE) * parts.counts
    np.fill_diagonal(weights, 0)
    return normalised(np.sum(weights * contrast, axis=1)[parts.labels])
