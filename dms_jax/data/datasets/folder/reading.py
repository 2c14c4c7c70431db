"""What a user declares of the values in a folder's files."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from PIL import Image

from dms_jax.data.image_files import read_image
from dms_jax.data.mask_files import read_mask, read_united_mask
from dms_jax.data.mask_values import MaskValues
from dms_jax.errors import UsageError

_NUMBER = r"[+-]?\d+(?:\.\d*)?(?:e[+-]?\d+)?"
_RANGE = re.compile(rf"\s*({_NUMBER})\s*,\s*({_NUMBER})\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Reading:
    """How images and masks are read.

    Attributes:
      mask_values: which values of masks are defective; None to go by what they look like.
      value_range: the camera's values that become 0 and 255; None for those of the files' type.
      declared: the texts that say so; none where nothing is declared.
    """

    mask_values: MaskValues | None = None
    value_range: tuple[float, float] | None = None
    declared: tuple[str, ...] = ()

    @classmethod
    def parse(cls, mask_values: str, value_range: str) -> Self:
        """What two texts declare, such as `1-4,255` and `0,4095`; either may be empty.

        Raises:
          UsageError: one is not understood.
        """
        limits = None
        if value_range:
            match = _RANGE.fullmatch(value_range)
            if match is None or not -math.inf < float(match[1]) < float(match[2]) < math.inf:
                raise UsageError(
                    f"value_range {value_range!r} is not understood: name the values that are black and white, such as "
                    "0,4095."
                )
            limits = float(match[1]), float(match[2])
        declared = (mask_values, value_range) if mask_values or value_range else ()
        return cls(MaskValues.parse(mask_values), limits, declared)

    def image_reader(self) -> Callable[[Path], Image.Image]:
        """Reads an image, see `dms_jax.data.image_files.read_image`."""
        return partial(read_image, value_range=self.value_range) if self.value_range else read_image

    def mask_reader(self, reader: Callable[[Path], Image.Image]) -> Callable[[Path], Image.Image]:
        """Reads a mask as `reader` does, by the declared values if it is of a file that has such."""
        return partial(reader, values=self.mask_values) if self.mask_values and takes_values(reader) else reader


def takes_values(reader: Callable[[Path], Image.Image]) -> bool:
    """Whether a reader is of the files of masks, whose values can be declared, and not of annotations."""
    return reader is read_mask or getattr(reader, "func", None) is read_united_mask
