import io
import zlib

import numpy as np
import pytest
from PIL import Image

from dms_jax.data.png import decode_png, encode_png, png_size

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (7, 5), np.uint8)
COLOUR = RNG.integers(0, 256, (7, 5, 3), np.uint8)


def test_colour_round_trip():
    np.testing.assert_array_equal(decode_png(encode_png(Image.fromarray(COLOUR)), channels=3), COLOUR)


def test_equal_channels_are_kept_as_one():
    image = Image.fromarray(np.stack([GREY] * 3, -1))
    data = encode_png(image)
    assert Image.open(io.BytesIO(data)).mode == "L"
    decoded = decode_png(data, channels=3)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, np.asarray(image))


def test_mask_round_trip():
    decoded = decode_png(encode_png(Image.fromarray(GREY)), channels=1)
    np.testing.assert_array_equal(decoded, GREY[..., None])


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (6, 1), (300, 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_other_decoders_agree_at_any_size(shape, channels):
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, channels), np.uint8)
    data = encode_png(Image.fromarray(pixels[..., 0] if channels == 1 else pixels))
    with Image.open(io.BytesIO(data)) as image:
        image.verify()  # also the checksums
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), np.broadcast_to(pixels, (*shape, 3)))
    np.testing.assert_array_equal(decode_png(data, channels), pixels)
    assert png_size(data) == shape


def test_compresses():
    flat = np.zeros((100, 100), np.uint8)
    assert len(encode_png(Image.fromarray(flat))) < 4 * len(zlib.compress(flat.tobytes())) + 100


def test_other_modes_are_refused():
    with pytest.raises(ValueError, match="not RGBA"):
        encode_png(Image.new("RGBA", (2, 2)))
