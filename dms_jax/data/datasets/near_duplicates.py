"""Finding images that are turned or mirrored copies of each other.

Some published datasets were enlarged by turning images before they were split: a copy in training then gives
its test image away.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image

THUMBNAIL_SIDE = 25

# Between the thumbnails of two copies. In NEU-Seg, where each copy was compressed anew, the copies correlate at
# 0.9976 and more, different images at 0.9922 and less.
LEAST_CORRELATION = 0.995

_ROWS_AT_ONCE = 1024


def thumbnail(image: Image.Image) -> np.ndarray:
    """What an image is compared by: its greys, averaged over the cells of a square grid.

    Args:
      image: mode RGB or L.

    Returns:
      float32 [25, 25], 0..255.
    """
    small = image.convert("L").resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float32)


def first_copies(thumbnails: np.ndarray) -> np.ndarray:
    """Groups the copies of each image: turned by any multiple of 90 degrees, mirrored, or neither.

    Copies of copies are of one group. An image of one grey everywhere is nobody's copy.

    Args:
      thumbnails: float32 [N, S, S], see `thumbnail`.

    Returns:
      int64 [N], for each image the index of the first one of its group.
    """
    # Imported here: a tenth of a second that the start of every run would wait for.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    upright = _standardise(thumbnails)
    rows, columns = [], []
    for turned in map(_standardise, _symmetries(thumbnails)):
        # In parts: all correlations at once would be a gigabyte for 16 000 images.
        for start in range(0, len(upright), _ROWS_AT_ONCE):
            correlation = upright[start : start + _ROWS_AT_ONCE] @ turned.T
            row, column = np.nonzero(correlation > LEAST_CORRELATION)
            rows.append(row + start)
            columns.append(column)
    row, column = np.concatenate(rows), np.concatenate(columns)
    links = coo_array((np.ones(len(row), bool), (row, column)), shape=(len(upright), len(upright)))
    _, group = connected_components(links, directed=False)
    _, first = np.unique(group, return_index=True)
    return first[group]


def _symmetries(images: np.ndarray) -> Iterator[np.ndarray]:
    """The eight symmetries of the square, of every image."""
    for mirrored in (images, images[:, :, ::-1]):
        for quarters in range(4):
            yield np.rot90(mirrored, quarters, axes=(1, 2))


def _standardise(images: np.ndarray) -> np.ndarray:
    """Flattened images of mean 0 and norm 1, whose product is their correlation; flat ones become 0."""
    rows = images.reshape(len(images), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    # Rounding leaves a flat image some norm.
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 1e-2)
