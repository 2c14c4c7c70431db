"""A network that needs no compilation, for the tests of what is done before and after it."""

import sys
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dms_jax.data.framing import Framing
from dms_jax.inference.interpretation import Interpretation

# As `dms_jax.inference.batching.Answers`, which needs JAX; processes that read and write have none.
Answers = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]

CLASSES = ("free", "crack", "stain")


class FakeNetwork:
    """Its map is the crop's red, its probability of a crack the crop's largest red; stains it never sees.

    Attributes:
      rows: see `dms_jax.inference.batching.BatchPredictor`.
      calls_at_once: likewise.
      sizes: of the batches that it was given.
    """

    def __init__(self, rows: int = 4, calls_at_once: int = 1, classes: int = len(CLASSES)) -> None:
        self.rows, self.calls_at_once = rows, calls_at_once
        self.sizes: list[int] = []
        self._classes = classes
        self._lock = Lock()

    def __call__(self, images: NDArray[np.uint8]) -> Answers:
        assert images.dtype == np.uint8
        assert images.shape[1] == images.shape[2]
        assert images.shape[3] == 3
        with self._lock:
            self.sizes.append(len(images))
        red, finite = images[:, None, :, :, 0].copy(), np.ones(len(images), bool)
        if not self._classes:
            return red, np.zeros((len(images), 0, len(CLASSES)), np.float32), finite
        probabilities = np.zeros((len(images), 1, self._classes), np.float32)
        probabilities[..., 1] = red.max(axis=(2, 3)) / np.float32(255)
        probabilities[..., 0] = 1 - probabilities[..., 1]
        return red, probabilities, finite


class WithoutNumbers(FakeNetwork):
    """It divides by something that is 0 in black images, as a network of somebody's own may."""

    def __call__(self, images: NDArray[np.uint8]) -> Answers:
        red, probabilities, _ = super().__call__(images)
        return red, probabilities, red.any(axis=(1, 2, 3))


def reading(**changes: Any) -> Interpretation:
    """Crops of 32 pixels in which what is above 100 is defective, but for what is changed."""
    fields = {
        "class_names": CLASSES,
        "free_class": 0,
        "framing": Framing("squash", 32),
        "gates": False,
        "threshold": 100,
        "note": "given by the test",
    }
    return Interpretation(**{**fields, **changes})


def are_imported(names: list[str]) -> list[bool]:
    """Whether modules are imported in the process that this is called in."""
    return [name in sys.modules for name in names]
