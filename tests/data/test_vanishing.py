"""Defects that are lost where an image becomes a square."""

import numpy as np
import pytest
from image_records import ImageRecords

from dms_jax.data import vanishing
from dms_jax.data.examples import ExampleSource
from dms_jax.data.framing import Framing
from dms_jax.data.vanishing import VanishedDefects, vanished_defects, vanishing_sentence


def source_of(*marks: tuple[int, int], size: tuple[int, int] = (80, 120), known: list[bool] | None = None):
    """Images with a mark of (height, width) in the middle each, in both senses: image and mask."""
    masks = []
    for height, width in marks:
        mask = np.zeros(size, np.uint8)
        mask[40 : 40 + height, 50 : 50 + width] = 255
        masks.append(mask)
    images = [np.zeros((*size, 3), np.uint8)] * len(masks)
    return ExampleSource(ImageRecords(images, masks, [1] * len(masks), known or []), "train", free_class=0)


def test_thin_and_small_defects_vanish_in_a_squashed_image() -> None:
    """At a fifth of its height a line of two pixels is 0.4 of one: no pixel is above 127."""
    found = vanished_defects([source_of((2, 60), (30, 40), (0, 0), (8, 8), (8, 90))], Framing(size=16))
    assert found == VanishedDefects(looked_at=4, gone=("n0",), faint=("n3",))


def test_an_image_of_another_shape_keeps_less_when_its_aspect_is_kept() -> None:
    source = source_of((8, 60))
    assert vanished_defects([source], Framing("squash", size=16)).gone == ()
    assert vanished_defects([source], Framing("letterbox", size=8)).gone == ("n0",)


def test_tiles_lose_nothing_but_where_they_are_shrunk_themselves() -> None:
    source = source_of((2, 60), (1, 1), (3, 3))
    assert vanished_defects([source], Framing("tiles", size=16)) == VanishedDefects(3, (), ())
    assert vanished_defects([source], Framing("tiles", size=16, tile=80)).gone == ("n0", "n1", "n2")


def test_a_defect_that_was_as_small_before_has_not_vanished() -> None:
    assert vanished_defects([source_of((1, 2), size=(64, 64))], Framing(size=64)) == VanishedDefects(1, (), ())
    assert vanished_defects([source_of((1, 2), size=(64, 64))], Framing(size=128)).gone == ()


def test_all_sources_count_and_unknown_masks_do_not() -> None:
    found = vanished_defects([source_of((2, 60)), source_of((2, 60), (2, 60), known=[True, False])], Framing(size=16))
    assert (found.looked_at, len(found.gone)) == (2, 2)


def test_of_many_masks_some_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vanishing, "MOST_MASKS", 4)
    found = vanished_defects([source_of(*[(2, 60)] * 9)], Framing(size=16))
    assert found == VanishedDefects(4, ("n0", "n2", "n5", "n8"), ())


def test_the_sentence_counts_names_and_gives_the_fix() -> None:
    assert vanishing_sentence(VanishedDefects(5, (), ()), Framing()) is None
    found = VanishedDefects(7, ("a", "b", "c", "d"), ("e",))
    assert vanishing_sentence(found, Framing(size=96)) == (
        "Where images become 96 x 96 squares (squash), nothing is left of the defect in 4 of 7 defective images (a, b, "
        "c and 1 more), and fewer than 4 defective pixels are left in 1 of 7 defective images (e): set "
        "config.data.resize=tiles, or a larger config.data.image_size."
    )
    tiles = vanishing_sentence(found, Framing("tiles", size=96, tile=960))
    assert tiles is not None
    assert tiles.endswith("set a config.data.tile_size nearer to 96.")
