"""Which crops the ranges of INT8 are chosen by."""

import numpy as np

from dms_jax.data.framing import Framing, crops_of
from dms_jax.data.pipeline import EvaluationBatch
from dms_jax.runs.exporting import _some_crops


def test_of_an_image_of_many_tiles_a_few_are_held() -> None:
    # One row of 10 tiles, one tile, and one row of 3; then padding.
    framing = Framing("tiles", size=4, tile=4, overlap=0)
    sizes = [(4, 40), (4, 4), (4, 12)]
    crops = [crops_of(size, framing) for size in sizes]
    assert [len(own) for own in crops] == [10, 1, 3]
    images = np.zeros((16, 4, 4, 3), np.uint8)
    images[:14] = np.arange(1, 15)[:, None, None, None]
    masks = [np.zeros(size, np.uint8) for size in sizes]
    batch = EvaluationBatch(images, crops, masks, np.zeros(3, np.int32), ["a", "b", "c"], np.ones(3, bool))
    assert [part[:, 0, 0, 0].tolist() for part in _some_crops([batch], 4)] == [[1, 4, 7, 10], [11], [12, 13, 14]]
    assert [part[:, 0, 0, 0].tolist() for part in _some_crops([batch], 1)] == [[1], [11], [12]]
