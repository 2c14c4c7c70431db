"""What an image's file says of its values, and Pillow does not heed: how many bits they have, whether white is 0."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# TIFF's tags and PNG's chunk.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
_SIGNIFICANT_BITS = b"sBIT"
# Pillow's names of what it unpacks without turning it round; of 8 bits and 1 it does that itself. And of images that it
# has made of these, which do not say any more what they were.
_NOT_INVERTED = frozenset({"I;16", "I;16N", "I;16B", "F;32F", "F;32BF"})
_NOT_INVERTED_MODES = frozenset({"I;16", "I;16B", "I;16L", "F"})
# What libtiff has already put in the machine's order, and Pillow then takes for big-endian.
_SWAPPED_TWICE = frozenset({"F;32BF", "I;16BS", "I;32BS"})


@dataclass(frozen=True)
class DeclaredValues:
    """What a file says of its values.

    Attributes:
      bits: how many bits of 16 its values have; None where nothing is said, or all.
      is_padded: whether the file has 16 bits all the same, as PNG, where values should be scaled to them, but often are
        not.
      white_is_zero: whether 0 is white and the largest value black, and Pillow gives them as they are.
    """

    bits: int | None = None
    is_padded: bool = False
    white_is_zero: bool = False

    def value_range(self, pixels: NDArray[np.integer]) -> tuple[int, int] | None:
        """The values that are black and white, or white and black where white is 0; None where nothing is declared.

        Args:
          pixels: the values as they are in the file, 0..65535.
        """
        if self.bits is None:
            return None
        largest = 2**self.bits - 1
        if not self.is_padded:
            return 0, largest
        if _is_scaled(pixels, largest):
            return 0, 65535
        return (0, largest) if pixels.max() <= largest else None


def read_declaration(image: Image.Image, path: str | Path) -> DeclaredValues:
    """What a file says of its values.

    Args:
      image: the file, opened by Pillow; loaded or not.
      path: of it; empty where that is not known, nor then what only the file itself says.
    """
    if image.format == "TIFF":
        tags: Any = image.tag_v2  # type: ignore[attr-defined]
        bits = tags.get(_BITS_PER_SAMPLE, (1,))[0]
        is_deep = image.mode.startswith(("I", "F"))
        as_is = _raw_mode(image) in _NOT_INVERTED if image.tile else image.mode in _NOT_INVERTED_MODES
        inverted = as_is and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
        return DeclaredValues(bits if is_deep and 8 < bits < 16 else None, white_is_zero=inverted)
    if image.format == "PNG" and image.mode.startswith("I"):
        bits = _significant_bits(path) if path else None
        return DeclaredValues(bits if bits and bits < 16 else None, is_padded=True)
    return DeclaredValues()


def is_misread(image: Image.Image) -> bool:
    """Whether Pillow garbles an image that it has opened: a compressed TIFF of big-endian floats or signed numbers."""
    return bool(image.tile) and image.tile[0][0] == "libtiff" and _raw_mode(image) in _SWAPPED_TWICE


def is_of_sixteen_bits(image: Image.Image) -> bool:
    """Whether the channels of an opened image that has several have 16 bits in its file, and it says of no fewer."""
    # By the name of the raw mode alone: beside it is where the pixels begin, which may have a 16 in it, too. BGR;16 of
    # a BMP is 16 bits for all channels. Of PNM there is no such name, but the largest value.
    raw, arguments = _raw_mode(image), image.tile[0][3] if image.tile else ""
    return (raw.startswith(("RGB", "LA")) and "16" in raw) or (
        isinstance(arguments, tuple) and arguments[1:] == (65535,)
    )


def _raw_mode(image: Image.Image) -> str:
    arguments = image.tile[0][3] if image.tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _significant_bits(path: str | Path) -> int | None:
    """The number in a grey PNG's sBIT; None without one. Pillow drops it."""
    with open(path, "rb") as file:
        file.seek(8)
        while len(header := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", header)
            if kind == _SIGNIFICANT_BITS:
                return (file.read(1) or b"\0")[0]
            if kind == b"IDAT":
                break
            file.seek(length + 4, 1)
    return None


def _is_scaled(pixels: NDArray[np.integer], largest: int) -> bool:
    """Whether values of 16 bits are those of fewer, shifted or stretched, and so never between two of these."""
    values = np.unique(pixels).astype(np.int64)
    step = 65536 // (largest + 1)
    if not (values % step).any():
        return True
    stretched = np.round(values * (largest / 65535)) * (65535 / largest)
    return step > 2 and bool((np.abs(stretched - values) <= 1).all())
