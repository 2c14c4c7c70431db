"""Images of any kind and size, through a network that needs no compilation."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_network import FakeNetwork, WithoutNumbers, reading
from PIL import Image
from scipy import ndimage

from dms_jax.data.framing import Framing
from dms_jax.errors import UserError
from dms_jax.inference.image_predictor import ImagePredictor

SIZE = 32


@pytest.fixture
def predictor() -> ImagePredictor:
    """One whose map of an image of 32 x 32 is the image's red."""
    return ImagePredictor(FakeNetwork(), reading())  # type: ignore[arg-type]


def tiled(size: int = SIZE, tile: int = 0, overlap: float = 0.25) -> ImagePredictor:
    framing = Framing("tiles", size, tile, overlap)
    return ImagePredictor(FakeNetwork(), reading(framing=framing))  # type: ignore[arg-type]


@pytest.fixture
def grey() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (SIZE, SIZE), np.uint8)


def test_arrays_of_grey_and_of_colours(predictor: ImagePredictor, grey: np.ndarray) -> None:
    colours = np.stack([grey, 255 - grey, 0 * grey], axis=2)
    for image in (grey, grey[..., None], colours, Image.fromarray(grey), Image.fromarray(colours)):
        np.testing.assert_array_equal(predictor(image).map, grey)
    # Also parts of others, and what may not be written.
    large = np.repeat(np.repeat(colours, 2, axis=0), 2, axis=1)
    large.flags.writeable = False
    np.testing.assert_array_equal(predictor(large[::2, ::2]).map, grey)
    np.testing.assert_array_equal(predictor(colours[:, ::-1]).map, grey[:, ::-1])


def test_one_image_or_several(predictor: ImagePredictor, grey: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(grey).save(tmp_path / "a.png")
    assert predictor([]) == predictor(np.zeros((0, 4, 4, 3), np.uint8)) == []
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        np.testing.assert_array_equal(predictor(path).map, grey)
    mixed = [tmp_path / "a.png", grey[:9, :20], Image.fromarray(grey), np.zeros((70, 3, 3), np.uint8)] * 5
    shapes = [prediction.map.shape for prediction in predictor(mixed)]
    assert shapes == [(32, 32), (9, 20), (32, 32), (70, 3)] * 5
    batch = np.stack([np.roll(grey, shift, axis=0) for shift in range(7)])[..., None].repeat(3, axis=3)
    for prediction, image in zip(predictor(batch), batch, strict=True):
        np.testing.assert_array_equal(prediction.map, image[..., 0])
    one = predictor(batch[:1])
    assert isinstance(one, list)
    assert len(one) == 1
    np.testing.assert_array_equal(one[0].map, grey)
    assert len(predictor(image for image in batch)) == 7  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.zeros((4, 4), np.float32), "must be uint8"),
        (np.zeros((4, 4), bool), "must be uint8"),
        (np.zeros((4, 4, 4), np.uint8), r"not \[4, 4, 4\]"),
        (np.zeros((2, 4, 4, 2), np.uint8), r"not \[4, 4, 2\]"),
        (np.zeros((0, 4), np.uint8), r"not \[0, 4, 1\]"),
        (np.zeros(4, np.uint8), "must be a path, a Pillow image or an array"),
        ([np.zeros((1, 1, 4, 4, 3), np.uint8)], r"not \[1, 1, 4, 4, 3\]"),
        ([3], "must be a path, a Pillow image or an array, not int"),
    ],
)
def test_what_is_no_image_is_refused(predictor: ImagePredictor, image: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        predictor(image)


@pytest.mark.parametrize("classes", [3, 0])
def test_an_image_that_the_network_has_no_numbers_for_is_named(
    predictor: ImagePredictor, grey: np.ndarray, classes: int, tmp_path: Path
) -> None:
    predictor = ImagePredictor(WithoutNumbers(classes=classes), reading())  # type: ignore[arg-type]
    black = np.zeros((SIZE, SIZE), np.uint8)
    Image.fromarray(black).save(tmp_path / "black.png")
    predictions = predictor.stream([grey, tmp_path / "black.png"])
    np.testing.assert_array_equal(next(predictions).map, grey)
    with pytest.raises(UserError, match=r"/black\.png cannot be predicted: the network's map or .* \(NaN\)"):
        next(predictions)
    with pytest.raises(UserError, match=r"^the image cannot be predicted: the network's map"):
        predictor(black)


def test_files_that_cannot_be_read_are_named(predictor: ImagePredictor, tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"no image")
    before = set(threading.enumerate())
    for name in ("a.png", "b.png", "."):
        with pytest.raises(UserError, match=str(tmp_path / name)) as caught:
            predictor([np.zeros((5, 5), np.uint8)] * 20 + [tmp_path / name])
        assert len(str(caught.value).splitlines()) == 1
    # Those that other tests have left may end meanwhile.
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (31, 33), (32, 32), (200, 131)])
@pytest.mark.parametrize("mode", ["squash", "letterbox", "tiles"])
def test_maps_have_the_size_of_their_images(mode: str, size: tuple[int, int]) -> None:
    predictor = ImagePredictor(FakeNetwork(), reading(framing=Framing(mode, SIZE)))  # type: ignore[arg-type]
    prediction = predictor(np.full(size, 150, np.uint8))
    assert prediction.map.shape == size
    # Padding has no say in what is inside, but for the interpolation at its border.
    assert (prediction.map == 150).all()
    assert prediction.area == 1
    assert [region.box for region in prediction.regions] == [(0, 0, size[1], size[0])]


def test_images_of_any_mode(predictor: ImagePredictor, grey: np.ndarray, tmp_path: Path) -> None:
    image = Image.fromarray(grey)
    black_and_white = np.where(grey > 127, 255, 0).astype(np.uint8)
    coloured = Image.merge("RGB", [image, Image.fromarray(255 - grey), image])
    kinds = {
        "1": (Image.fromarray(black_and_white).convert("1"), black_and_white),
        "P": (image.convert("P"), grey),
        "LA": (Image.merge("LA", [image, Image.fromarray(grey // 2)]), grey),
        "RGBA": (Image.merge("RGBA", [*coloured.split(), Image.fromarray(grey // 2)]), grey),
        "I;16": (Image.fromarray(grey.astype(np.uint16) * 257), grey),
    }
    for mode, (own, expected) in kinds.items():
        own.save(tmp_path / "a.png")
        assert own.mode == mode
        for given in (own, tmp_path / "a.png"):
            np.testing.assert_array_equal(predictor(given).map, expected, err_msg=mode)
    converted = coloured.convert("CMYK")
    converted.save(tmp_path / "a.tif")
    for given in (converted, tmp_path / "a.tif"):
        np.testing.assert_array_equal(predictor(given).map, np.asarray(converted.convert("RGB"))[..., 0])


def test_a_camera_s_range_becomes_black_and_white(grey: np.ndarray, tmp_path: Path) -> None:
    predictor = ImagePredictor(FakeNetwork(), reading(value_range=(0, 4095)))  # type: ignore[arg-type]
    twelve_bits = np.round(grey * (4095 / 255)).astype(np.uint16)
    Image.fromarray(twelve_bits).save(tmp_path / "a.png")
    for image in (Image.fromarray(twelve_bits), tmp_path / "a.png"):
        np.testing.assert_array_equal(predictor(image).map, grey)
    without = ImagePredictor(FakeNetwork(), reading())  # type: ignore[arg-type]
    with pytest.raises(UserError, match="value_range"):
        without(tmp_path / "a.png")


def test_an_image_is_turned_upright_as_its_file_says(predictor: ImagePredictor, tmp_path: Path) -> None:
    upright = np.zeros((20, 50), np.uint8)
    upright[:5] = 200
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter clockwise
    Image.fromarray(np.rot90(upright)).save(tmp_path / "a.png", exif=exif)
    for image in (tmp_path / "a.png", Image.open(tmp_path / "a.png")):
        prediction = predictor(image)
        assert prediction.map.shape == (20, 50)
        assert prediction.map[0, 25] == 200
        assert prediction.map[19, 25] == 0


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_an_opened_image_may_come_several_times(predictor: ImagePredictor, tmp_path: Path, suffix: str) -> None:
    """Pillow reads its pixels when they are first asked for, and several threads ask."""
    pixels = np.random.default_rng(0).integers(0, 256, (1200, 1200), np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"a{suffix}")
    expected = predictor(tmp_path / f"a{suffix}").map
    with Image.open(tmp_path / f"a{suffix}") as image:
        for prediction in predictor([image] * 6):
            np.testing.assert_array_equal(prediction.map, expected)


class TestTiles:
    @pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.9])
    @pytest.mark.parametrize("tile", [0, 20, 32, 50])
    def test_a_constant_image_has_a_constant_map(self, tile: int, overlap: float) -> None:
        for size in ((32, 32), (33, 95), (10, 131), (7, 5)):
            assert (tiled(tile=tile, overlap=overlap)(np.full(size, 93, np.uint8)).map == 93).all(), size

    def test_what_is_not_resized_comes_back_as_it_was(self) -> None:
        image = np.random.default_rng(0).integers(0, 256, (77, 131), np.uint8)
        np.testing.assert_array_equal(tiled()(image).map, image)

    def test_a_defect_across_seams_is_one(self) -> None:
        image = np.zeros((90, 200), np.uint8)
        image[40:46, 5:195] = 200
        for predictor in (tiled(), tiled(tile=64), tiled(tile=20), tiled(overlap=0)):
            prediction = predictor(image)
            (region,) = prediction.regions
            left, top, right, bottom = region.box
            assert abs(left - 5) <= 2
            assert abs(right - 195) <= 2
            assert abs(top - 40) <= 2
            assert abs(bottom - 46) <= 2
            # As thick at the seams as elsewhere.
            thickness = prediction.mask.sum(axis=0)[10:190]
            assert thickness.max() - thickness.min() <= 2

    def test_tiles_that_disagree_meet_without_a_step(self) -> None:
        class Loud(FakeNetwork):
            """Every other tile is brighter."""

            def __call__(self, images: Any) -> Any:
                maps, *others = super().__call__(images)
                maps[...] = np.where(images[:, None, :, :, 0].max(axis=(2, 3), keepdims=True) > 100, 200, 100)
                return maps, *others

        image = np.zeros((32, 150), np.uint8)
        image[16, 0] = 101
        framing = Framing("tiles", SIZE, overlap=0.5)
        prediction = ImagePredictor(Loud(), reading(framing=framing))(image)  # type: ignore[arg-type]
        assert prediction.map[16, 0] == 200
        steps = np.abs(np.diff(prediction.map[16].astype(int)))
        assert prediction.map[16, -1] == 100
        assert steps.max() < 15

    def test_the_defect_may_be_in_any_tile(self) -> None:
        image = np.zeros((150, 150), np.uint8)
        image[140, 3] = 255
        prediction = tiled()(image)
        assert prediction.class_name == "crack"
        assert prediction.score == 1
        assert ndimage.label(prediction.map > 100)[1] == 1


def test_a_gate_takes_false_alarms_off_normal_images() -> None:
    class Sure(FakeNetwork):
        def __call__(self, images: Any) -> Any:
            maps, probabilities, finite = super().__call__(images)
            probabilities[...] = np.float32([0.98, 0.02, 0])
            return maps, probabilities, finite

    image = np.full((40, 40), 250, np.uint8)
    for gates, largest in ((True, 5), (False, 250)):
        predictor = ImagePredictor(Sure(), reading(gates=gates))  # type: ignore[arg-type]
        assert predictor(image).map.max() == largest


def test_predictions_of_many_images_are_streamed(predictor: ImagePredictor) -> None:
    """An endless camera, too."""

    def camera() -> Any:
        while True:
            yield np.full((8, 8), 7, np.uint8)

    frames = predictor.stream(camera())
    assert [next(frames).map.max() for _ in range(50)] == [7] * 50
    frames.close()  # type: ignore[attr-defined]
