import io

import numpy as np
import pytest
from PIL import Image

from dms_jax.data.datasets import near_duplicates as turned_copies
from dms_jax.data.datasets.near_duplicates import first_copies, thumbnail


def pattern(seed, side=8):
    """An image of 10 x 10 patches of random greys."""
    cells = np.random.default_rng(seed).integers(0, 256, (side, side), np.uint8)
    return np.kron(cells, np.ones((10, 10), np.uint8))


def compressed(pixels):
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "JPEG", quality=90)
    return Image.open(file)


def groups(images):
    return first_copies(np.stack([thumbnail(image) for image in images])).tolist()


class TestThumbnail:
    def test_is_the_mean_of_each_cell(self):
        pixels = np.random.default_rng(0).integers(0, 256, (100, 75), np.uint8)
        found = thumbnail(Image.fromarray(pixels))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, pixels.reshape(25, 4, 25, 3).mean((1, 3)), atol=1)

    def test_colour_becomes_grey(self):
        grey = Image.fromarray(pattern(1))
        np.testing.assert_array_equal(thumbnail(grey.convert("RGB")), thumbnail(grey))


class TestFirstCopies:
    @pytest.mark.parametrize("mirrored", [False, True])
    @pytest.mark.parametrize("quarters", range(4))
    def test_every_symmetry_is_found(self, quarters, mirrored):
        copy = np.rot90(pattern(1)[:, ::-1] if mirrored else pattern(1), quarters)
        assert groups([compressed(pattern(2)), compressed(pattern(1)), compressed(copy)]) == [0, 1, 1]

    def test_other_images_are_none(self):
        similar = pattern(1)
        similar[:10, :10] = 255 - similar[:10, :10]
        shifted = np.roll(pattern(1), 10, axis=0)
        assert groups([compressed(pixels) for pixels in (pattern(1), similar, shifted, pattern(2))]) == [0, 1, 2, 3]

    def test_brightness_does_not_matter(self):
        assert groups([Image.fromarray(pixels) for pixels in (pattern(1), pattern(1) // 2 + 20)]) == [0, 0]

    def test_copies_of_copies_are_one_group(self):
        # Each is like the one before, the first and the last are not alike.
        angles = np.arange(6) * 0.08
        axes = np.random.default_rng(0).normal(size=(2, 5, 5))
        axes -= axes.mean((1, 2), keepdims=True)
        axes[1] -= axes[0] * (axes[0] * axes[1]).sum() / (axes[0] ** 2).sum()
        axes /= np.linalg.norm(axes, axis=(1, 2), keepdims=True)
        chain = np.stack([np.cos(angle) * axes[0] + np.sin(angle) * axes[1] for angle in angles]).astype(np.float32)
        assert np.corrcoef(chain[0].ravel(), chain[-1].ravel())[0, 1] < turned_copies.LEAST_CORRELATION
        assert first_copies(100 * chain).tolist() == [0] * 6
        assert first_copies(100 * chain[[0, 5, 4]]).tolist() == [0, 1, 1]

    def test_flat_images_are_nobodys_copies(self):
        flat = [Image.new("L", (30, 30), level) for level in (0, 77, 77, 255)]
        assert groups([*flat, Image.fromarray(pattern(1))]) == [0, 1, 2, 3, 4]

    def test_parts_make_no_difference(self, monkeypatch):
        images = [Image.fromarray(np.rot90(pattern(i % 5), i)) for i in range(12)]
        monkeypatch.setattr(turned_copies, "_ROWS_AT_ONCE", 4)
        assert groups(images) == [i % 5 for i in range(12)]
