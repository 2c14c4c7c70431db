import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from dms_jax.data.image_files import read_image
from dms_jax.data.mask_files import read_class_numbers, read_mask, read_pair
from dms_jax.data.png import decode_png, encode_png
from dms_jax.errors import UserError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (7, 5), np.uint8)
COLOUR = RNG.integers(0, 256, (7, 5, 3), np.uint8)


def saved(folder, image, name="image.png", **options):
    path = folder / name
    image.save(path, **options)
    return path


def pixels(image):
    return np.asarray(image)


class TestReadImage:
    def test_grey_is_repeated(self, tmp_path):
        image = read_image(saved(tmp_path, Image.fromarray(GREY)))
        assert image.mode == "RGB"
        np.testing.assert_array_equal(pixels(image), np.stack([GREY] * 3, -1))

    def test_colour_is_kept(self, tmp_path):
        np.testing.assert_array_equal(pixels(read_image(saved(tmp_path, Image.fromarray(COLOUR)))), COLOUR)

    def test_one_bit_becomes_black_and_white(self, tmp_path):
        bits = GREY > 127
        image = read_image(saved(tmp_path, Image.fromarray(bits)))
        np.testing.assert_array_equal(pixels(image)[..., 1], np.where(bits, 255, 0))

    @pytest.mark.parametrize("transparency", [None, bytes([0, 255, 128])])
    def test_palette_becomes_its_colours(self, tmp_path, transparency):
        table = np.array([[10, 20, 30], [200, 0, 7], [0, 255, 1]], np.uint8)
        index = RNG.integers(0, 3, (7, 5), np.uint8)
        image = Image.fromarray(index)
        image.putpalette(table.tobytes())
        options = {} if transparency is None else {"transparency": transparency}
        path = saved(tmp_path, image, **options)
        with Image.open(path) as stored:
            assert stored.mode == "P"
        np.testing.assert_array_equal(pixels(read_image(path)), table[index])

    def test_alpha_is_dropped(self, tmp_path):
        alpha = RNG.integers(0, 256, (7, 5, 1), np.uint8)
        rgba = read_image(saved(tmp_path, Image.fromarray(np.concatenate([COLOUR, alpha], -1))))
        np.testing.assert_array_equal(pixels(rgba), COLOUR)
        grey_alpha = np.concatenate([GREY[..., None], alpha], -1)
        la = read_image(saved(tmp_path, Image.fromarray(grey_alpha)))
        np.testing.assert_array_equal(pixels(la)[..., 2], GREY)

    @pytest.mark.parametrize("name", ["image.png", "image.tif", "image.pgm"])
    def test_sixteen_bit_is_scaled(self, tmp_path, name):
        deep = np.array([[0, 257, 65535], [128, 129, 32896]], np.uint16)
        image = read_image(saved(tmp_path, Image.fromarray(deep), name))
        np.testing.assert_array_equal(pixels(image)[..., 0], [[0, 1, 255], [0, 1, 128]])

    def test_exif_orientation_turns_the_image_upright(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6  # shown turned by 90 degrees clockwise
        path = saved(tmp_path, Image.fromarray(COLOUR), exif=exif)
        np.testing.assert_array_equal(pixels(read_image(path)), np.rot90(COLOUR, -1))

    # Pillow scrambles those that are stored in one piece without compression, when it is given their path.
    @pytest.mark.parametrize("compression", [None, "tiff_deflate"])
    @pytest.mark.parametrize("scale", [1, 257], ids=["8 bits", "16 bits"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_tiffs_are_turned_upright(self, tmp_path, orientation, scale, compression):
        flipped = GREY[:, ::-1] if orientation in (2, 4, 5, 7) else GREY
        upright = np.rot90(flipped, {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}[orientation])
        stored = GREY.astype(np.uint16) * 257 if scale == 257 else GREY
        path = saved(
            tmp_path, Image.fromarray(stored), "image.tif", tiffinfo={0x0112: orientation}, compression=compression
        )
        np.testing.assert_array_equal(pixels(read_image(path))[..., 0], upright)

    def test_floating_point_is_refused(self, tmp_path):
        path = saved(tmp_path, Image.fromarray(GREY.astype(np.float32)), "image.tif")
        with pytest.raises(UserError, match=r"image\.tif has floating-point pixels"):
            read_image(path)

    def test_large_integers_are_refused(self, tmp_path):
        path = saved(tmp_path, Image.fromarray(np.array([[0, 70000]], np.int32)), "image.tif")
        with pytest.raises(UserError, match=r"image\.tif has 32-bit pixels"):
            read_image(path)

    @pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")  # of a TIFF cut in its header
    @pytest.mark.parametrize("name", ["image.png", "image.jpg", "image.bmp", "image.tif"])
    def test_truncated_file_is_named(self, tmp_path, name):
        path = saved(tmp_path, Image.fromarray(np.tile(COLOUR, (30, 30, 1))), name)
        whole = path.read_bytes()
        for length in (0, 3, 30, len(whole) // 2):
            path.write_bytes(whole[:length])
            with pytest.raises(UserError, match=name):
                read_image(path)

    def test_damaged_png_is_named(self, tmp_path):
        path = saved(tmp_path, Image.fromarray(COLOUR))
        data = bytearray(path.read_bytes())
        at = data.index(b"IDAT") + 10
        data[at : at + 8] = bytes(8)
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"image\.png cannot be read"):
            read_image(path)

    def test_missing_file_and_folder(self, tmp_path):
        with pytest.raises(UserError, match=r"nothing\.png does not exist"):
            read_image(tmp_path / "nothing.png")
        with pytest.raises(UserError, match="is a folder, not an image: name a file"):
            read_image(tmp_path)

    def test_large_images_are_read_without_a_warning(self, tmp_path, monkeypatch):
        path = saved(tmp_path, Image.fromarray(GREY))
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", GREY.size - 1)
        image = read_image(path)
        np.testing.assert_array_equal(decode_png(encode_png(image), channels=1)[..., 0], GREY)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", GREY.size // 3)
        with pytest.raises(UserError, match=r"image\.png has more than the 178 million pixels that are read: cut it"):
            read_image(path)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"not an image", "its format is unknown, or its beginning is damaged"),
            (b"\x89PNG\r\n\x1a\n" + bytes(50), "its format is unknown, or its beginning is damaged"),
            (b"", "it is empty"),
        ],
    )
    def test_what_is_no_image(self, content, reason, tmp_path):
        path = tmp_path / "notes.jpg"
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"notes\.jpg cannot be read as an image \({reason}\): replace it\.$"):
            read_image(path)


class TestReadMask:
    def test_grey_edges_are_kept(self, tmp_path):
        mask = read_mask(saved(tmp_path, Image.fromarray(GREY)))
        assert mask.mode == "L"
        np.testing.assert_array_equal(pixels(mask), GREY)

    def test_one_bit(self, tmp_path):
        bits = GREY > 127
        np.testing.assert_array_equal(pixels(read_mask(saved(tmp_path, Image.fromarray(bits)))), np.where(bits, 255, 0))

    def test_sixteen_bit(self, tmp_path):
        deep = GREY.astype(np.uint16) * 257
        np.testing.assert_array_equal(pixels(read_mask(saved(tmp_path, Image.fromarray(deep)))), GREY)

    def test_palette_of_greys_becomes_its_greys(self, tmp_path):
        image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
        image.putpalette([0, 0, 0, 90, 90, 90, 255, 255, 255])
        np.testing.assert_array_equal(pixels(read_mask(saved(tmp_path, image))), [[0, 90, 255]])

    def test_palette_of_class_colours_counts_all_but_black(self, tmp_path):
        image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
        image.putpalette([0, 0, 0, 64, 0, 0, 0, 128, 0])
        np.testing.assert_array_equal(pixels(read_mask(saved(tmp_path, image))), [[0, 255, 255]])

    def test_pure_colours_count_in_full(self, tmp_path):
        marks = np.array([[[0, 0, 0], [255, 0, 0], [0, 0, 255], [77, 77, 77]]], np.uint8)
        np.testing.assert_array_equal(pixels(read_mask(saved(tmp_path, Image.fromarray(marks)))), [[0, 255, 255, 77]])

    def test_alpha_is_dropped(self, tmp_path):
        rgba = np.zeros((1, 2, 4), np.uint8)
        rgba[0, 1] = [255, 255, 255, 9]
        np.testing.assert_array_equal(pixels(read_mask(saved(tmp_path, Image.fromarray(rgba)))), [[0, 255]])

    @pytest.mark.parametrize("brightest", [1, 3, 127])
    def test_mask_that_would_count_as_empty_is_refused(self, tmp_path, brightest):
        path = saved(tmp_path, Image.fromarray(np.array([[0, brightest]], np.uint8)), "mask.png")
        with pytest.raises(UserError, match=rf"mask\.png has no pixel above {brightest}"):
            read_mask(path)

    def test_noisy_black_of_a_jpeg_is_empty(self, tmp_path):
        path = saved(tmp_path, Image.fromarray(np.full((8, 8), 2, np.uint8)), "mask.jpg")
        assert 0 < pixels(read_mask(path)).max() <= 127

    def test_empty_mask_is_fine(self, tmp_path):
        assert not pixels(read_mask(saved(tmp_path, Image.fromarray(np.zeros((3, 3), np.uint8))))).any()


class TestReadClassNumbers:
    NUMBERS = RNG.integers(0, 4, (7, 5), np.uint8)

    def test_grey(self, tmp_path):
        path = saved(tmp_path, Image.fromarray(self.NUMBERS))
        np.testing.assert_array_equal(read_class_numbers(path, largest=3), self.NUMBERS)

    def test_indices_of_a_palette(self, tmp_path):
        image = Image.fromarray(self.NUMBERS)
        image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
        np.testing.assert_array_equal(read_class_numbers(saved(tmp_path, image), largest=3), self.NUMBERS)

    def test_larger_number_is_named(self, tmp_path):
        path = saved(tmp_path, Image.fromarray(self.NUMBERS))
        with pytest.raises(UserError, match=r"image\.png has a pixel of value 3: class numbers are 0 to 2\.$"):
            read_class_numbers(path, largest=2)

    @pytest.mark.parametrize("pixels", [COLOUR, GREY > 127, GREY.astype(np.uint16)])
    def test_other_pixels_are_refused(self, tmp_path, pixels):
        path = saved(tmp_path, Image.fromarray(pixels))
        with pytest.raises(UserError, match=r"image\.png has pixels of kind '\S+': save the class numbers"):
            read_class_numbers(path, largest=255)


def test_pair_of_different_sizes_names_files_and_sizes(tmp_path):
    image = saved(tmp_path, Image.fromarray(COLOUR), "a.png")
    mask = saved(tmp_path, Image.fromarray(GREY.T), "b.png")
    with pytest.raises(UserError, match=r"a\.png is 5 x 7 .*b\.png is 7 x 5"):
        read_pair(image, mask)


def test_pair_of_one_size(tmp_path):
    image, mask = read_pair(
        saved(tmp_path, Image.fromarray(COLOUR), "a.png"), saved(tmp_path, Image.fromarray(GREY), "b.png")
    )
    np.testing.assert_array_equal(pixels(image), COLOUR)
    np.testing.assert_array_equal(pixels(mask), GREY)


def test_mask_of_a_pair_may_have_its_own_reader(tmp_path):
    paths = saved(tmp_path, Image.fromarray(COLOUR), "a.png"), saved(tmp_path, Image.fromarray(GREY), "b.png")

    def negative(path):
        assert path == paths[1]
        return Image.fromarray(255 - GREY)

    _, mask = read_pair(*paths, negative)
    np.testing.assert_array_equal(pixels(mask), 255 - GREY)


class TestDepth:
    """Cameras of 10 or 12 bits, and floating point: scaled by a declared range, never nearly black unsaid."""

    GREY = np.linspace(40, 250, 35).reshape(7, 5).astype(np.uint16)

    @pytest.mark.parametrize(("bits", "name"), [(8, "a.tif"), (10, "a.tif"), (12, "a.png"), (14, "a.png")])
    def test_fewer_bits_in_16_are_refused_with_the_range(self, tmp_path, bits, name):
        path = saved(tmp_path, Image.fromarray(self.GREY << (bits - 8)), name)
        with pytest.raises(UserError, match=rf"which is {250 << (bits - 8)} of 65535.*0,{2**bits - 1} for"):
            read_image(path)
        scaled = np.asarray(read_image(path, (0, 2**bits - 1)))
        assert np.abs(scaled[..., 0].astype(int) - self.GREY).max() <= 1

    def test_hot_pixels_do_not_hide_a_camera_of_12_bits(self, tmp_path):
        grey = np.full((40, 50), 2000, np.uint16)
        grey[0, 0] = 65535
        with pytest.raises(UserError, match=r"brightest of which is 2000 of 65535.*0,4095"):
            read_image(saved(tmp_path, Image.fromarray(grey)))
        grey[:2] = 65535
        assert read_image(saved(tmp_path, Image.fromarray(grey))).getextrema()[0][1] == 255

    def test_the_whole_range_needs_no_word(self, tmp_path):
        path = saved(tmp_path, Image.fromarray(self.GREY << 8))
        assert np.abs(np.asarray(read_image(path))[..., 0].astype(int) - self.GREY).max() <= 1

    def test_black_is_black(self, tmp_path):
        assert not np.asarray(read_image(saved(tmp_path, Image.fromarray(0 * self.GREY)))).any()

    @pytest.mark.parametrize("kind", [np.float32, np.int32])
    def test_floats_and_large_integers_need_a_range(self, tmp_path, kind):
        path = saved(tmp_path, Image.fromarray((self.GREY.astype(np.float64) * 1000 - 5000).astype(kind)), "a.tif")
        with pytest.raises(UserError, match="say which values are black and white with value_range"):
            read_image(path)
        scaled = np.asarray(read_image(path, (-5000, 250_000)))[..., 0].astype(int)
        assert np.abs(scaled - self.GREY).max() <= 1

    def test_what_lies_outside_of_the_range_is_black_or_white(self, tmp_path):
        path = saved(tmp_path, Image.fromarray(np.array([[0, 100, 200, 300]], np.uint16)))
        assert np.asarray(read_image(path, (100, 200)))[0, :, 0].tolist() == [0, 0, 255, 255]

    def test_no_number(self, tmp_path):
        path = saved(tmp_path, Image.fromarray(np.array([[0, np.nan]], np.float32)), "a.tif")
        with pytest.raises(UserError, match=r"a\.tif has pixels that are no numbers"):
            read_image(path, (0, 1))

    @pytest.mark.parametrize(("shift", "refused"), [(4, True), (8, False)])
    @pytest.mark.parametrize(("kind", "channels", "alpha"), [(2, 3, []), (6, 3, [65535]), (4, 1, [65535])])
    def test_16_bits_of_colour_or_beside_alpha(self, tmp_path, shift, refused, kind, channels, alpha):
        """Pillow reads these, but cannot write them: of 12 bits it would keep the upper 4."""
        height, width = self.GREY.shape
        rows = [
            b"\0" + np.array([[*[value] * channels, *alpha] for value in row << shift], ">u2").tobytes()
            for row in self.GREY
        ]
        chunks = [
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)),
            (b"IDAT", zlib.compress(b"".join(rows))),
            (b"IEND", b""),
        ]
        data = b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in chunks
        )
        path = tmp_path / "deep.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
        if refused:
            with pytest.raises(UserError, match=r"deep\.png has 16 bits per channel, of which it uses fewer"):
                read_image(path)
            with pytest.raises(UserError, match=r"scaled to the camera's range \(or say value_range 0,65535 if"):
                read_image(path, (0, 4095))
            np.testing.assert_array_equal(np.asarray(read_image(path, (0, 65535)))[..., 1], self.GREY >> 4)
        else:
            np.testing.assert_array_equal(np.asarray(read_image(path))[..., 1], self.GREY)

    def test_16_bits_of_colour_in_a_ppm(self, tmp_path):
        path = tmp_path / "deep.ppm"
        deep = np.repeat(self.GREY[..., None], 3, axis=2).astype(">u2")
        for shift, largest, refused in ((4, 65535, True), (8, 65535, False), (4, 4095, False)):
            size = f"{self.GREY.shape[1]} {self.GREY.shape[0]}"
            path.write_bytes(f"P6 {size} {largest}\n".encode() + (deep << shift).astype(">u2").tobytes())
            if refused:
                with pytest.raises(UserError, match=r"deep\.ppm has 16 bits per channel, of which it uses fewer"):
                    read_image(path)
            else:
                assert np.abs(np.asarray(read_image(path))[..., 0].astype(int) - self.GREY).max() <= 1

    @pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate"])
    def test_dark_tiffs_of_8_bits_are_read_wherever_their_pixels_begin(self, tmp_path, compression):
        """Where that is is a number that may have a 16 in it."""
        for height in range(20, 80):
            dark = np.random.default_rng(height).integers(0, 50, (height, height + 3, 3), np.uint8)
            path = saved(tmp_path, Image.fromarray(dark), "dark.tif", compression=compression)
            np.testing.assert_array_equal(pixels(read_image(path)), dark)


@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_transparent_colour_is_dropped(tmp_path, mode):
    grey = np.array([[10, 110, 200]], np.uint8)
    image = Image.fromarray(grey).convert(mode)
    path = saved(tmp_path, image, transparency=(110, 110, 110) if mode == "RGB" else 110)
    read = read_image(path)
    np.testing.assert_array_equal(decode_png(encode_png(read), 3)[..., 0], grey)
