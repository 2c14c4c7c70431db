"""What an evaluation shows of each image to whoever asks, such as the gallery of a report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dms_jax.evaluation.scoring import ImageRow


@dataclass(frozen=True, eq=False)
class ObservedImage:
    """One image with all that was predicted for it; too large to be kept of many.

    Attributes:
      row: its name, its classes and its scores.
      image: uint8 [H, W, 3]; None where it was not read.
      mask: uint8 [H, W], 0..255; None where it is unknown.
      maps: of each output, coarse to final, uint8 [H, W], 0..255.
      threshold: the operating threshold, 0..255: `map > threshold` is called defective; None where there is none.
      predicted: the class that each output predicts; empty without class heads.
      free_class: number of the defect-free class; None where there is none.
      probabilities: of each class by the final output, float [K], 0..1; None without class heads.
    """

    row: ImageRow
    image: NDArray[np.uint8] | None
    mask: NDArray[np.uint8] | None
    maps: tuple[NDArray[np.uint8], ...]
    threshold: int | None
    free_class: int | None = None
    predicted: tuple[int, ...] = ()
    probabilities: NDArray[np.floating] | None = None


# It is called from several threads at a time, in no particular order.
Observe = Callable[[ObservedImage], None]
