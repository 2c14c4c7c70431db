"""Masks as tools write them: read rightly where there is no doubt, and refused by name where there is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, features

from dms_jax.data.image_files import IGNORED
from dms_jax.data.mask_files import read_mask, read_pair, read_united_mask
from dms_jax.data.mask_values import MaskValues
from dms_jax.errors import UsageError, UserError

# Where class 1 and class 2 are, 225 and 600 pixels.
NUMBERS = np.zeros((64, 96), np.uint8)
NUMBERS[5:20, 5:20], NUMBERS[40:60, 50:80] = 1, 2
DEFECTIVE = NUMBERS > 0
# PASCAL VOC's first colours: a bit of each channel for a bit of the number.
VOC = [0, 0, 0, 128, 0, 0, 0, 128, 0, *[0] * (3 * 252), 224, 224, 192]


PHOTO = np.random.default_rng(0).normal(120, 30, (64, 96)).clip(0, 255).astype(np.uint8)
PHOTO_IN_COLOUR = np.random.default_rng(1).normal(120, 30, (64, 96, 3)).clip(0, 255).astype(np.uint8)


def painted(*colours: int | tuple[int, int, int]) -> Image.Image:
    return Image.fromarray(np.array(colours, np.uint8)[NUMBERS])


def palette(numbers: np.ndarray, colours: list[int]) -> Image.Image:
    image = Image.fromarray(numbers.astype(np.uint8))
    image.putpalette(colours)
    return image


def with_alpha(colour: np.ndarray, alpha: np.ndarray) -> Image.Image:
    return Image.fromarray(np.dstack([colour, alpha]).astype(np.uint8))


def all_of(value: int | tuple[int, int, int]) -> np.ndarray:
    return np.broadcast_to(np.array(value), (*NUMBERS.shape, 3))


def saved(tmp_path: Path, image: Image.Image, name: str = "mask.png", **options: object) -> Path:
    path = tmp_path / name
    image.save(path, **options)
    return path


def found(path: Path, values: str = "") -> np.ndarray:
    return np.asarray(read_mask(path, MaskValues.parse(values))) > 127


RIGHT: dict[str, tuple[Callable[[], Image.Image], str]] = {
    "0 and 255": (lambda: painted(0, 255, 255), "mask.png"),
    "0 and 255 as BMP": (lambda: painted(0, 255, 255), "mask.bmp"),
    "0 and 255 as TIFF": (lambda: painted(0, 255, 255), "mask.tif"),
    "0 and 200": (lambda: painted(0, 200, 200), "mask.png"),
    "a background that is not quite black": (lambda: painted(9, 250, 250), "mask.png"),
    "two bright greys of classes": (lambda: painted(0, 128, 255), "mask.png"),
    "1 bit": (lambda: Image.fromarray(DEFECTIVE), "mask.png"),
    "16 bits, 0 and 65535": (lambda: Image.fromarray(np.array([0, 65535, 65535], np.uint16)[NUMBERS]), "mask.png"),
    "16 bits, 0 and 255": (lambda: Image.fromarray(np.array([0, 255, 255], np.uint16)[NUMBERS]), "mask.png"),
    "32 bits, 0 and 255": (lambda: Image.fromarray(np.array([0, 255, 255], np.int32)[NUMBERS]), "mask.tif"),
    "JPEG": (lambda: painted(0, 255, 255), "mask.jpg"),
    "colours of CVAT": (lambda: painted((0, 0, 0), (48, 112, 32), (176, 112, 32)), "mask.png"),
    "dark colours": (lambda: painted((0, 0, 0), (0, 0, 64), (32, 0, 0)), "mask.png"),
    "VOC's colours as RGB": (lambda: painted((0, 0, 0), (128, 0, 0), (0, 128, 0)), "mask.png"),
    "VOC's palette": (lambda: palette(NUMBERS, VOC), "mask.png"),
    "a palette of greys": (lambda: palette(NUMBERS, [0, 0, 0, 255, 255, 255, 200, 200, 200]), "mask.png"),
    "alpha on white": (lambda: with_alpha(all_of(255), 255 * DEFECTIVE), "mask.png"),
    "alpha on black": (lambda: with_alpha(all_of(0), 255 * DEFECTIVE), "mask.png"),
    "red marks on transparent white": (
        lambda: with_alpha(np.where(DEFECTIVE[..., None], (255, 0, 0), 255), 255 * DEFECTIVE),
        "mask.png",
    ),
    "white marks on transparent black": (
        lambda: with_alpha(np.where(DEFECTIVE[..., None], 255, all_of(0)), 255 * DEFECTIVE),
        "mask.png",
    ),
    "a photograph of which the marks can be seen": (lambda: with_alpha(PHOTO_IN_COLOUR, 255 * DEFECTIVE), "mask.png"),
    "marks cut out of a grey photograph, on black": (
        lambda: with_alpha(np.where(DEFECTIVE[..., None], PHOTO[..., None].repeat(3, -1), 0), 255 * DEFECTIVE),
        "mask.png",
    ),
    "white marks, all opaque": (
        lambda: with_alpha(np.where(DEFECTIVE[..., None], 255, all_of(0)), np.full(NUMBERS.shape, 255)),
        "mask.png",
    ),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_masks_without_a_doubt(kind: str, tmp_path: Path) -> None:
    make, name = RIGHT[kind]
    np.testing.assert_array_equal(found(saved(tmp_path, make(), name)), DEFECTIVE)


LINE = np.zeros((64, 96), np.uint8)
LINE[30, 10:80], LINE[40:50, 20:40] = 1, 2


def lines(*colours: int | tuple[int, int, int]) -> Image.Image:
    """A thin line of class 1 and an area of class 2."""
    return Image.fromarray(np.array(colours, np.uint8)[LINE])


@pytest.mark.parametrize("colours", [((0, 0, 0), (0, 100, 0), (255, 0, 0)), ((0, 0, 0), (0, 0, 100), (0, 0, 100))])
def test_thin_lines_in_dark_colours_are_found(colours: tuple[tuple[int, int, int], ...], tmp_path: Path) -> None:
    np.testing.assert_array_equal(found(saved(tmp_path, lines(*colours))), LINE > 0)


# How each is written with loss.
LOSSY: dict[str, dict[str, object]] = {
    "mask.jpg": {"quality": 90},
    "mask.webp": {"quality": 90},
    "mask.tif": {"compression": "jpeg"},
    "mask.jp2": {"irreversible": True, "quality_mode": "rates", "quality_layers": [8]},
    # Not every Pillow has it.
    **({"mask.avif": {"quality": 90}} if features.check("avif") else {}),
}


@pytest.mark.parametrize("name", LOSSY)
@pytest.mark.parametrize("colour", [(128, 0, 0), (64, 0, 0), (96, 32, 0), (255, 255, 255)])
def test_what_was_compressed_with_loss_is_found_all_the_same(
    name: str, colour: tuple[int, int, int], tmp_path: Path
) -> None:
    mask = found(saved(tmp_path, painted((0, 0, 0), colour, colour), name, **LOSSY[name]))
    assert (mask & DEFECTIVE).sum() / (mask | DEFECTIVE).sum() > 0.8


def test_a_copy_in_another_contrast_and_with_loss(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).normal(4, 4, (64, 96)).clip(0, 255).astype(np.uint8)
    grey[10:30, 10:50] = 250
    image = saved(tmp_path, Image.fromarray(grey), "image.png")
    with pytest.raises(UserError, match="is a copy of its image"):
        read_pair(image, saved(tmp_path, Image.fromarray(grey), "mask.jpg", quality=95))


REFUSED: dict[str, tuple[Callable[[], Image.Image], str, str]] = {
    "class numbers": (lambda: painted(0, 1, 2), "mask.png", r"has no pixel above 2.*with --mask-values \(in training"),
    "0 and 1": (lambda: painted(0, 1, 1), "mask.png", "has no pixel above 1"),
    "0 and 1 in 16 bits": (
        lambda: Image.fromarray(np.array([0, 1, 1], np.uint16)[NUMBERS]),
        "mask.png",
        "has no pixel above 1",
    ),
    # No value_range would help: it is of images.
    "0 and 1 in floating point": (
        lambda: Image.fromarray(DEFECTIVE.astype(np.float32)),
        "mask.tif",
        r"has floating-point values: save the mask with 8 bits, 255 for defective pixels and 0 for sound ones\.$",
    ),
    "0 and 1 in JPEG": (lambda: painted(0, 1, 1), "mask.jpg", "has no pixel above"),
    "0 and 1 in alpha": (lambda: with_alpha(all_of(255), 1 * DEFECTIVE), "mask.png", "has no pixel above 1"),
    "class number 1 and 255": (lambda: painted(0, 1, 255), "mask.png", "areas of the value 1"),
    "greys 85 and 255": (lambda: painted(0, 85, 255), "mask.png", r"areas of the value 85.*such as 85-255\.$"),
    "greys 85 and 255 in JPEG": (lambda: painted(0, 85, 255), "mask.jpg", "areas of the value"),
    "greys of classes on grey": (lambda: painted(20, 85, 255), "mask.png", "areas of the value 85"),
    "VOC's border": (
        lambda: palette(np.where(NUMBERS == 2, 255, NUMBERS), VOC),
        "mask.png",
        r"class numbers 0, 1 and 255.*mask_values\), such as 1,ignore:255\.$",
    ),
    "a coloured background": (
        lambda: painted((0, 215, 255), (252, 0, 42), (252, 0, 42)),
        "mask.png",
        "no black pixel, and most are #00d7ff",
    ),
    "a palette with a coloured background": (
        lambda: palette(NUMBERS, [0, 215, 255, 252, 0, 42, 0, 255, 0]),
        "mask.png",
        "no black pixel, and most are #00d7ff",
    ),
    "a photograph": (
        lambda: Image.fromarray(np.random.default_rng(0).normal(120, 30, (64, 96)).clip(0, 255).astype(np.uint8)),
        "mask.png",
        "is no mask, as 100% of its pixels are neither black nor white",
    ),
    **{
        f"a thin line of {value} beside 255": (
            lambda value=value: lines(0, value, 255),
            "mask.png",
            f"areas of the value {value}",
        )
        for value in (1, 85, 120)
    },
    "half grey in JPEG": (lambda: painted(0, 128, 128), "mask.jpg", "areas of the value 12"),
    "a photograph with alpha": (lambda: Image.fromarray(PHOTO).convert("RGBA"), "mask.png", "is no mask"),
    "a photograph of 16 bits": (lambda: Image.fromarray(PHOTO.astype(np.uint16) << 8), "mask.png", "is no mask"),
    "class numbers of 16 bits": (
        lambda: Image.fromarray(np.array([0, 1001, 40001], np.uint16)[NUMBERS]),
        "mask.png",
        r"16-bit values \(0, 1001, 40001\)",
    ),
    "numbers below 0": (
        lambda: Image.fromarray(np.array([0, -1, -1], np.int32)[NUMBERS]),
        "mask.tif",
        r"pixels below 0 \(-1\)",
    ),
    "a class in black": (
        lambda: palette(NUMBERS, [0, 0, 0, 255, 0, 0, 0, 0, 0]),
        "mask.png",
        "shows the numbers 0, 2 of its palette in black alike",
    ),
    "a photograph in colour": (
        lambda: Image.fromarray(np.random.default_rng(0).normal(120, 30, (64, 96, 3)).clip(0, 255).astype(np.uint8)),
        "mask.png",
        "is no mask, as 100% of its pixels",
    ),
    "a photograph with transparent corners": (
        lambda: with_alpha(PHOTO_IN_COLOUR, 255 * ~DEFECTIVE),
        "mask.png",
        "one mask in its colours and another in its alpha channel",
    ),
    "a photograph that is black where it is transparent": (
        lambda: with_alpha(np.where(DEFECTIVE[..., None], 0, PHOTO_IN_COLOUR), 255 * ~DEFECTIVE),
        "mask.png",
        "is no mask",
    ),
    "a mask in colours and another in alpha": (
        lambda: with_alpha(np.array([[0] * 3, [255, 0, 0], [0, 0, 255]])[NUMBERS], 255 * (NUMBERS != 2)),
        "mask.png",
        "one mask in its colours and another in its alpha channel",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_masks_that_may_mean_several_things_are_refused(kind: str, tmp_path: Path) -> None:
    make, name, message = REFUSED[kind]
    with pytest.raises(UserError, match=rf"mask\.\w+ .*{message}"):
        read_mask(saved(tmp_path, make(), name))


@pytest.mark.parametrize(
    ("make", "values", "expected"),
    [
        (lambda: painted(0, 85, 255), "85-255", DEFECTIVE),
        (lambda: painted(0, 85, 255), "85", NUMBERS == 1),
        (lambda: painted(0, 1, 255), "1", NUMBERS == 1),
        (lambda: painted(0, 1, 2), "1, 2", DEFECTIVE),
        (lambda: painted(255, 0, 0), "0", DEFECTIVE),
        (lambda: palette(np.where(NUMBERS == 2, 255, NUMBERS), VOC), "1-20", NUMBERS == 1),
        (lambda: painted((0, 215, 255), (252, 0, 42), (1, 2, 3)), "#fc002a,#010203", DEFECTIVE),
        (lambda: Image.fromarray(np.array([0, 300, 4000], np.uint16)[NUMBERS]), "300-4000", DEFECTIVE),
        (lambda: Image.fromarray(DEFECTIVE), "255", DEFECTIVE),
        (lambda: Image.fromarray(DEFECTIVE), "1", DEFECTIVE),
        (lambda: Image.fromarray(DEFECTIVE), "1-255", DEFECTIVE),
        (lambda: Image.fromarray(DEFECTIVE), "0,ignore:255", ~DEFECTIVE),
        (lambda: Image.fromarray(DEFECTIVE), "0", ~DEFECTIVE),
        (lambda: painted((0, 0, 0), (7, 7, 7), (9, 9, 9)), "7", NUMBERS == 1),
        # Without a defect, there are no colours.
        (lambda: painted((0, 0, 0), (0, 0, 0), (0, 0, 0)), "#ff0000", NUMBERS > 9),
        (lambda: painted((255, 255, 255), (255, 255, 255), (255, 255, 255)), "#ff0000", NUMBERS > 9),
        # Greys are colours, where one of them is declared as such.
        (lambda: painted((0, 0, 0), (255, 255, 255), (9, 9, 9)), "#ffffff", NUMBERS == 1),
        (lambda: painted((0, 0, 0), (255, 255, 255), (255, 255, 255)), "#000000", ~DEFECTIVE),
        (lambda: painted((0, 0, 0), (128, 128, 128), (255, 255, 255)), "#ff0000,#808080,ignore:#ffffff", NUMBERS == 1),
        (lambda: painted((0, 0, 0), (0, 0, 0), (255, 255, 255)), "#ff0000,ignore:#ffffff", NUMBERS > 9),
    ],
)
def test_declared_values(make: Callable[[], Image.Image], values: str, expected: np.ndarray, tmp_path: Path) -> None:
    np.testing.assert_array_equal(found(saved(tmp_path, make()), values), expected)


def test_declared_values_that_are_ignored(tmp_path: Path) -> None:
    border = saved(tmp_path, palette(np.where(NUMBERS == 2, 255, NUMBERS), VOC))
    mask = np.asarray(read_mask(border, MaskValues.parse("1-20, ignore:255")))
    np.testing.assert_array_equal(mask, np.array([0, 255, IGNORED])[NUMBERS])
    other = saved(tmp_path, palette(np.where(NUMBERS == 2, 3, 0), VOC), "other.png")
    united = np.asarray(read_united_mask(border, [other], MaskValues.parse("1-20,ignore:255")))
    np.testing.assert_array_equal(united, 255 * DEFECTIVE)


def test_declared_values_of_the_wrong_kind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.png is in colour: give mask_values as colours"):
        found(saved(tmp_path, painted((0, 0, 0), (9, 0, 0), (0, 9, 0)), "a.png"), "1")
    for greys in ((0, 1, 2), ((0, 0, 0), (1, 1, 1), (2, 2, 2))):
        with pytest.raises(UserError, match=r"b\.png has numbers and no colours"):
            found(saved(tmp_path, painted(*greys), "b.png"), "#ff0000")


@pytest.mark.parametrize(
    "text", ["a", "1-", "3-1", "#ff", "1;2", "-1", "#gg0000", "ignore:255", "1,ignore:x", "1,ignore:"]
)
def test_values_that_are_not_understood(text: str) -> None:
    with pytest.raises(UsageError, match=r"mask_values .* (is not understood|names what is ignored alone)"):
        MaskValues.parse(text)


def test_no_values() -> None:
    assert MaskValues.parse(" ") is None


@pytest.mark.parametrize("radius", [0.5, 1, 2, 4, 8])
def test_soft_edges_are_kept(radius: float, tmp_path: Path) -> None:
    soft = painted(0, 255, 255).filter(ImageFilter.GaussianBlur(radius))
    np.testing.assert_array_equal(np.asarray(read_mask(saved(tmp_path, soft))), np.asarray(soft))


def test_smooth_edges_of_a_resized_mask_are_kept(tmp_path: Path) -> None:
    smooth = painted(0, 255, 255).resize((41, 27), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(np.asarray(read_mask(saved(tmp_path, smooth))), np.asarray(smooth))


def test_several_masks_are_united(tmp_path: Path) -> None:
    first, second = saved(tmp_path, painted(0, 255, 0), "1.png"), saved(tmp_path, painted(0, 0, 255), "2.png")
    np.testing.assert_array_equal(np.asarray(read_united_mask(first, [second])) > 127, DEFECTIVE)
    with pytest.raises(UserError, match=r"1\.png is 96 x 64 .*3\.png, another mask of its image, is 64 x 96"):
        read_united_mask(first, [saved(tmp_path, painted(0, 255, 0).transpose(Image.Transpose.ROTATE_90), "3.png")])


def test_a_mask_that_is_a_copy_of_its_image(tmp_path: Path) -> None:
    image = saved(tmp_path, painted(0, 255, 255), "image.png")
    with pytest.raises(UserError, match=r"mask\.png is a copy of its image .*image\.png"):
        read_pair(image, saved(tmp_path, painted(0, 255, 255)))
    black = saved(tmp_path, painted(0, 0, 0), "black.png")
    assert not np.asarray(read_pair(black, black)[1]).any()


def test_a_turned_image_is_named_as_the_reason(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = saved(tmp_path, painted(0, 255, 255), "image.jpg", exif=exif)
    with pytest.raises(UserError, match="the image is turned by its EXIF data: turn the mask likewise"):
        read_pair(image, saved(tmp_path, painted(0, 200, 200)))


@pytest.mark.parametrize("name", ["mask.tif", "mask.gif", "mask.png"])
def test_several_images_in_one_file_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    painted(0, 0, 0).save(path, save_all=True, append_images=[painted(0, 255, 255)])
    with pytest.raises(UserError, match="holds 2 images: save the one that is the mask alone"):
        read_mask(path)


@pytest.mark.parametrize("name", LOSSY)
def test_values_of_a_mask_that_was_compressed_with_loss_are_not_exact(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="compressed with loss"):
        read_mask(saved(tmp_path, painted(0, 85, 255), name, **LOSSY[name]), MaskValues.parse("85"))


def test_a_soft_mask_of_an_image_of_one_grey(tmp_path: Path) -> None:
    """There is no correlation between them, of which numpy would warn."""
    image = saved(tmp_path, painted(110, 110, 110), "image.png")
    soft = painted(0, 255, 255).filter(ImageFilter.GaussianBlur(2))
    np.testing.assert_array_equal(np.asarray(read_pair(image, saved(tmp_path, soft))[1]), np.asarray(soft))
