"""Images on their way through a network: what those who read, predict and finish them hand to each other."""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from dms_jax.data.framing import Crop

Item = TypeVar("Item")


@dataclass(eq=False)
class Loaded(Generic[Item]):
    """An image that has been read, on its way through the network.

    Attributes:
      item: what was asked for.
      size: (H, W) of the image.
      crops: its places.
      inputs: its crops, uint8 [n, S, S, 3]; none where it could not be read.
      error: why it could not be read; a sentence.
      answers: maps uint8 [m, S, S] and probabilities float32 [m, K] of the last output, and whether both are numbers,
        bool [m], of its crops so far.
    """

    item: Item
    size: tuple[int, int] = (0, 0)
    crops: list[Crop] = field(default_factory=list)
    inputs: NDArray[np.uint8] | None = None
    error: str | None = None
    answers: list[tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many crops it has."""
        return 0 if self.inputs is None else len(self.inputs)


@dataclass(frozen=True, eq=False)
class Answered(Generic[Item]):
    """An image with the network's answers to all of its crops; see `Loaded`."""

    item: Item
    size: tuple[int, int]
    crops: list[Crop]
    maps: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    finite: NDArray[np.bool_]
    error: str | None
