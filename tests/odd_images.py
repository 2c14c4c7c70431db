"""Folders of drawn images for the trials of `tests/survival`, and a configuration of a tiny network."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from tiny_network import SIZE

ROOT = Path(__file__).parents[1]

_CONFIG = f'''"""A tiny network on a folder of images."""

from dms_jax.runs.config.defaults import default_config


def get_config(argument=None):
    config = default_config()
    config.model.size = "small"
    config.model.options = {SIZE!r}
    config.data.dataset = "folder"
    config.data.image_size = 32
    config.data.threads = 2
    config.batch_size = 4
    config.steps = 2
    config.log_every = config.evaluate_every = config.checkpoint_every = 1
    return config
'''


def write_tiny_config(folder: Path) -> Path:
    """A configuration of two steps of a tiny network, for `dataset=folder`."""
    path = folder / "tiny.py"
    path.write_text(_CONFIG)
    return path


def write_image(folder: Path, split: str, label: str, name: str, size: tuple[int, int] = (40, 48)) -> None:
    """An image of (H, W) pixels, with a dark square and its mask where the label is not `free`."""
    rng = np.random.default_rng([len(name), *name.encode("utf-8", "surrogateescape")])
    pixels = rng.integers(90, 140, size, np.uint8)
    mask = np.zeros(size, np.uint8)
    if label != "free":
        top, left = (int(rng.integers(0, max(side - 10, 1))) for side in size)
        where = np.s_[top : top + 8, left : left + 8]
        pixels[where], mask[where] = 10, 255
        _save(folder / "masks" / split / label / f"{name}.png", mask)
    _save(folder / split / label / f"{name}.png", pixels)


def write_images(folder: Path, train: Mapping[str, int], test: Mapping[str, int] | None = None) -> None:
    """So many images of each class, and of those of `test` (two of each class where it is None)."""
    for split, counts in (("train", train), ("test", dict.fromkeys(train, 2) if test is None else test)):
        for label, count in counts.items():
            for index in range(count):
                write_image(folder, split, label, f"{split}-{label}-{index}")


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
