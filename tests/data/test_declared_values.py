"""Images and masks of more than 8 bits whose files say what their values mean, written byte by byte."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dms_jax.data.framing import Framing
from dms_jax.data.image_files import as_rgb, load_image, read_image, upright
from dms_jax.data.mask_files import read_mask
from dms_jax.data.mask_values import MaskValues
from dms_jax.errors import UserError
from dms_jax.inference.image_predictor import load_image_like

WHITE_IS_ZERO, BLACK_IS_ZERO = 0, 1
# Values of 12 bits, from black to white.
TWELVE = np.array([[0, 1, 128, 1000], [2048, 3001, 4000, 4095]])
EXPECTED = np.round(TWELVE * (255 / 4095))
DEFECTIVE = np.zeros((8, 12), bool)
DEFECTIVE[2:5, 3:7] = True


def tiff(path: Path, values: np.ndarray, bits: int = 16, photometric: int = BLACK_IS_ZERO) -> Path:
    """An uncompressed TIFF of one strip, little-endian; rows of 12 bits begin at a byte."""
    height, width = values.shape
    if bits == 16:
        data = values.astype("<u2").tobytes()
    else:
        rows = ["".join(f"{value:0{bits}b}" for value in row) for row in values]
        data = b"".join(int(row, 2).to_bytes(len(row) // 8, "big") for row in rows)
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 0, 277: 1, 278: height, 279: len(data)}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data)
    return path


def png(path: Path, values: np.ndarray, significant: int | None) -> Path:
    """A grey PNG of 16 bits, with an sBIT chunk."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)) + chunk(
        b"gAMA", bytes([0, 0, 177, 143])
    )
    said = b"" if significant is None else chunk(b"sBIT", bytes([significant]))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + said + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return path


def grey(path: Path, value_range: tuple[float, float] | None = None) -> np.ndarray:
    return np.asarray(read_image(path, value_range))[..., 0]


def opened(path: Path, *, is_loaded: bool) -> list[np.ndarray]:
    """As a user's opened image is read for prediction; twice, as the second time its pixels are there."""
    with Image.open(path) as image:
        if is_loaded:
            image.load()
        framing = Framing("tiles", size=max(image.size), overlap=0)
        read = [load_image_like(image, framing=framing, value_range=None) for _ in range(2)]
    assert all(each.inputs is not None for each in read)
    (top, left, height, width) = read[0].crops[0].content
    return [each.inputs[0, top : top + height, left : left + width, 0] for each in read if each.inputs is not None]


@pytest.mark.parametrize("is_loaded", [False, True])
class TestOpenedImages:
    """They are read as their files are."""

    def test_white_is_zero(self, tmp_path: Path, is_loaded: bool) -> None:
        path = tiff(tmp_path / "a.tif", np.array([[0, 257, 65535], [128, 129, 32896]]), photometric=WHITE_IS_ZERO)
        for found in opened(path, is_loaded=is_loaded):
            np.testing.assert_array_equal(found, [[255, 254, 0], [255, 254, 127]])

    def test_twelve_bits(self, tmp_path: Path, is_loaded: bool) -> None:
        for path in (tiff(tmp_path / "a.tif", TWELVE, bits=12), png(tmp_path / "a.png", TWELVE, 12)):
            for found in opened(path, is_loaded=is_loaded):
                np.testing.assert_array_equal(found, EXPECTED)


@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 7, 8])
def test_an_opened_tiff_that_is_stored_turned_is_not_scrambled(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(np.arange(24, dtype=np.uint8).reshape(6, 4)).save(path, tiffinfo={0x0112: orientation})
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(upright(image, "the image")), np.asarray(load_image(path)))
        assert image.filename == str(path)


def test_an_opened_image_is_not_changed(tmp_path: Path) -> None:
    with Image.open(png(tmp_path / "a.png", TWELVE, 12)) as image:
        before = dict(image.info)
        turned = upright(image, "the image")
        assert image.info == before
        np.testing.assert_array_equal(np.asarray(image), TWELVE)
    np.testing.assert_array_equal(np.asarray(as_rgb(turned, "the image"))[..., 0], EXPECTED)
    # Of what was in memory alone, no file says anything.
    with Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())) as image, pytest.raises(UserError, match="16-bit"):
        as_rgb(upright(image, "the image"), "the image")


class TestImages:
    def test_white_is_zero(self, tmp_path: Path) -> None:
        values = np.array([[0, 257, 65535], [128, 129, 32896]])
        path = tiff(tmp_path / "a.tif", values, photometric=WHITE_IS_ZERO)
        np.testing.assert_array_equal(grey(path), [[255, 254, 0], [255, 254, 127]])
        assert grey(tiff(tmp_path / "b.tif", values)).tolist() == [[0, 1, 255], [0, 1, 128]]

    def test_white_is_zero_in_the_range_of_a_camera(self, tmp_path: Path) -> None:
        path = tiff(tmp_path / "a.tif", TWELVE, photometric=WHITE_IS_ZERO)
        np.testing.assert_array_equal(grey(path, (0, 4095)), 255 - EXPECTED)
        with pytest.raises(UserError, match=r"a\.tif has 16-bit pixels, the darkest of which is 4095 .*nearly white"):
            read_image(path)

    def test_twelve_bits_of_a_tiff(self, tmp_path: Path) -> None:
        path = tiff(tmp_path / "a.tif", TWELVE, bits=12)
        np.testing.assert_array_equal(grey(path), EXPECTED)
        np.testing.assert_array_equal(grey(path, (0, 8190)), np.round(TWELVE * (255 / 8190)))

    @pytest.mark.parametrize("dark", [0, 3, 200])
    def test_dark_image_of_twelve_bits_is_dark(self, tmp_path: Path, dark: int) -> None:
        assert grey(tiff(tmp_path / "a.tif", np.full((2, 4), dark), bits=12)).max() == round(dark * 255 / 4095)

    def test_significant_bits_of_a_png(self, tmp_path: Path) -> None:
        np.testing.assert_array_equal(grey(png(tmp_path / "a.png", TWELVE, 12)), EXPECTED)
        with pytest.raises(
            UserError, match=r"b\.png has 16-bit pixels, the brightest of which is 4095 .*, or save it with 8 bits\.$"
        ):
            read_image(png(tmp_path / "b.png", TWELVE, None))
        with pytest.raises(UserError, match=r"c\.png has 16-bit pixels, the brightest of which is 4095"):
            read_image(png(tmp_path / "c.png", TWELVE, 10))

    @pytest.mark.parametrize("brightest", [4095, 900])
    def test_significant_bits_that_were_scaled_as_the_standard_asks(self, tmp_path: Path, brightest: int) -> None:
        values = TWELVE * brightest // 4095
        for name, scaled in {
            "shifted": values << 4,
            "repeated": values << 4 | values >> 8,
            "stretched": np.round(values * (65535 / 4095)).astype(int),
        }.items():
            found = grey(png(tmp_path / f"{name}.png", scaled, 12))
            assert np.abs(found - values * (255 / 4095)).max() <= 1, name

    def test_all_bits_are_significant(self, tmp_path: Path) -> None:
        values = np.array([[0, 65535, 32896]])
        assert grey(png(tmp_path / "a.png", values, 16)).tolist() == [[0, 255, 128]]


class TestMasks:
    def mask(self, path: Path, values: str = "") -> np.ndarray:
        return np.asarray(read_mask(path, MaskValues.parse(values))) > 127

    @pytest.mark.parametrize("marked", [255, 65535])
    def test_white_is_zero(self, tmp_path: Path, marked: int) -> None:
        stored = np.where(DEFECTIVE, 0, marked)
        np.testing.assert_array_equal(self.mask(tiff(tmp_path / "a.tif", stored, photometric=WHITE_IS_ZERO)), DEFECTIVE)
        np.testing.assert_array_equal(self.mask(tiff(tmp_path / "b.tif", stored)), ~DEFECTIVE)

    def test_declared_values_are_those_that_are_shown(self, tmp_path: Path) -> None:
        path = tiff(tmp_path / "a.tif", np.where(DEFECTIVE, 0, 65535), photometric=WHITE_IS_ZERO)
        np.testing.assert_array_equal(self.mask(path, "65535"), DEFECTIVE)

    def test_class_numbers_where_white_is_zero_are_refused(self, tmp_path: Path) -> None:
        path = tiff(tmp_path / "a.tif", np.where(DEFECTIVE, 1, 0), photometric=WHITE_IS_ZERO)
        with pytest.raises(UserError, match=r"a\.tif has no value above 1, and white is 0"):
            read_mask(path)

    @pytest.mark.parametrize("marked", [255, 3001, 4095])
    def test_twelve_bits(self, tmp_path: Path, marked: int) -> None:
        stored = np.where(DEFECTIVE, marked, 0)
        np.testing.assert_array_equal(self.mask(tiff(tmp_path / "a.tif", stored, bits=12)), DEFECTIVE)
        np.testing.assert_array_equal(self.mask(png(tmp_path / "a.png", stored, 12)), DEFECTIVE)

    def test_marks_that_may_be_scaled_or_not_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"a\.png has 16-bit values \(0, 2048\)"):
            read_mask(png(tmp_path / "a.png", np.where(DEFECTIVE, 2048, 0), 12))


def test_big_endian_values_that_pillow_swaps_are_refused(tmp_path: Path) -> None:
    values = np.array([[0, 1, 300, 4095]])
    data = zlib.compress(values.astype(">i2").tobytes())
    tags = {256: 4, 257: 1, 258: 16, 259: 8, 262: 1, 273: 0, 277: 1, 278: 1, 279: len(data), 339: 2}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags.items())
    path = tmp_path / "a.tif"
    path.write_bytes(b"MM\0*" + struct.pack(">IH", 8, len(tags)) + entries + bytes(4) + data)
    with pytest.raises(UserError, match=r"a\.tif is a compressed TIFF whose values would be read in the wrong order"):
        read_image(path)
    with Image.open(path) as image, pytest.raises(UserError, match="the image is a compressed TIFF whose values would"):
        upright(image, "the image")
