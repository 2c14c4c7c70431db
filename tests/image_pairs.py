"""Small maps and masks: hypothesis strategies for them, and folders of them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from dms_jax.data.image_files import IMAGE_SUFFIXES

_SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 4))
_LEVELS = st.one_of(st.sampled_from([0, 1, 126, 127, 128, 129, 254, 255]), st.integers(0, 255))


def _single_pixels(shape):
    """Black images with one white pixel."""
    whites = np.eye(shape[0] * shape[1], dtype=np.uint8) * 255
    return st.sampled_from(list(whites.reshape(-1, *shape)))


def _images(shape):
    return st.one_of(
        arrays(np.uint8, shape, elements=_LEVELS),
        st.sampled_from([np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)]),
        _single_pixels(shape),
    )


# A map and its mask, uint8 [H, W], of one pixel and more: random, empty, full, and of a single white pixel.
PAIRS = _SHAPES.flatmap(lambda shape: st.tuples(_images(shape), _images(shape)))
PAIR_LISTS = st.lists(PAIRS, min_size=1, max_size=4)


def save_images(folder: Path, images: Mapping[str, object]) -> Path:
    """Save arrays or Pillow's images under their names, which may have folders in them, as PNG unless they say so."""
    for name, image in images.items():
        path = folder / (name if Path(name).suffix.lower() in IMAGE_SUFFIXES else f"{name}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(image, Image.Image):
            image = Image.fromarray(np.asarray(image, np.uint8))
        image.save(path)
    return folder
