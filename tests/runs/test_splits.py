import numpy as np
import pytest
from image_records import ImageRecords

from dms_jax.data.examples import ExampleSource
from dms_jax.runs.splits import Splits


def source(rows: list[tuple[int, int]]) -> ExampleSource:
    """Masks that are black (0) or white (1), and unknown (0) or known (1)."""
    images = [np.zeros((2, 2, 3), np.uint8)] * len(rows)
    masks = [np.full((2, 2), 255 * white, np.uint8) for white, _ in rows]
    return ExampleSource(ImageRecords(images, masks, [0] * len(rows), [bool(known) for _, known in rows]), "train")


@pytest.mark.parametrize(
    ("parts", "share"),
    [
        ([[(1, 1), (0, 1)]], 1 / 2),
        # Every image weighs the same, whatever part it is in.
        ([[(1, 1)], [(0, 1), (0, 1), (0, 1)]], 1 / 4),
        # Those whose mask is unknown do not weigh at all.
        ([[(1, 1), (0, 0), (0, 0)], [(0, 1), (0, 1), (1, 1)], [(0, 0)]], 2 / 4),
        ([[(0, 0)], [(0, 1)]], 0),
        ([[(0, 0)], [(0, 0), (0, 0)]], 1 / 2),
    ],
)
def test_defective_share(parts: list[list[tuple[int, int]]], share: float) -> None:
    train = tuple(map(source, parts))
    splits = Splits(train, None, train[0], "test", "none", threshold=None, threshold_name="none here")
    assert splits.defective_share() == pytest.approx(share, abs=1e-15)
