import numpy as np
import pytest
from fake_network import FakeNetwork, reading
from PIL import Image
from scipy import ndimage

from dms_jax.data.framing import crops_of
from dms_jax.inference.folder.overlay import caption, draw_overlay, outline
from dms_jax.inference.image_predictor import ImagePredictor
from dms_jax.inference.interpretation import Prediction, Region, interpret


def prediction(mask: np.ndarray | None, class_name: str | None = "crack") -> Prediction:
    regions = () if mask is None or not mask.any() else (Region((0, 0, 1, 1), 1),)
    probabilities = {} if class_name is None else {class_name: 0.984, "free": 0.016}
    saliency_map = np.zeros((9, 9) if mask is None else mask.shape, np.uint8)
    return Prediction(saliency_map, class_name, probabilities, 0.984, None if mask is None else 9, mask, regions)


@pytest.mark.parametrize("width", [1, 2, 5])
def test_an_outline_is_where_the_outside_is_near(width: int) -> None:
    mask = ndimage.binary_dilation(np.random.default_rng(0).random((40, 60)) < 0.004, iterations=7)
    inside = np.ones_like(mask)
    padded = np.pad(mask, width, constant_values=True)
    for y in range(2 * width + 1):
        for x in range(2 * width + 1):
            inside &= padded[y : y + 40, x : x + 60]
    np.testing.assert_array_equal(outline(mask, width), mask & ~inside)


def test_nothing_has_no_outline_and_everything_neither() -> None:
    assert not outline(np.zeros((5, 5), bool)).any()
    assert not outline(np.ones((5, 5), bool)).any()


def test_an_overlay_shows_the_outline_and_leaves_the_rest() -> None:
    mask = np.zeros((100, 120), bool)
    mask[50:80, 60:100] = True
    image = Image.fromarray(np.full((100, 120, 3), 90, np.uint8))
    drawn = np.asarray(draw_overlay(image, prediction(mask)))
    assert drawn.shape == (100, 120, 3)
    assert (drawn[outline(mask)] == (255, 32, 32)).all()
    rest = ~outline(mask)
    rest[:30] = False  # the words
    assert (drawn[rest] == 90).all()
    assert (np.asarray(image) == 90).all()


def test_captions() -> None:
    mask = np.ones((4, 4), bool)
    assert caption(prediction(mask)) == "crack 98%, 1 region"
    assert caption(prediction(~mask)) == "crack 98%, 0 regions"
    assert caption(prediction(None, None)) == "defective 98%"
    assert caption(prediction(None, "Kratzer Ä ü")) == "Kratzer ? ? 98%"


def test_a_single_class_says_nothing_of_an_image() -> None:
    """It is certain, also where there is no defect."""
    only = reading(class_names=("crack",), free_class=None)
    crops = crops_of((32, 32), only.framing)
    sound = interpret(np.full((1, 32, 32), 51, np.uint8), np.ones((1, 1), np.float32), crops, (32, 32), only)
    assert caption(sound) == "defective 20%, 0 regions"


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (7, 3)])
def test_images_of_any_size_are_drawn_on(size: tuple[int, int]) -> None:
    image = Image.fromarray(np.full((*size, 3), 200, np.uint8))
    predicted = ImagePredictor(FakeNetwork(), reading())(image)  # type: ignore[arg-type]
    assert draw_overlay(image, predicted).size == image.size


def test_an_image_that_is_too_long_for_jpeg_is_made_smaller(tmp_path: object) -> None:
    image = Image.new("RGB", (70000, 20))
    drawn = draw_overlay(image, prediction(np.zeros((20, 70000), bool)))
    assert drawn.size == (65500, 19)
    drawn.save(f"{tmp_path}/a.jpg")
