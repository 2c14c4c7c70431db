"""Label Studio's run lengths of brush strokes.

The format is that of the npm package @thi.ng/rle-pack, which Label Studio's editor packs the canvas's RGBA pixels with
(github.com/thi-ng/umbrella, `packages/rle-pack/src/index.ts`; label-studio-sdk 2.1.2 reads it in `converter/brush.py`).
Bits, most significant first: 32 for the number of values, 5 for the bits of a value less 1, four times 4 for the bits
of a length less 1. Then blocks: 1 bit, whether one value is repeated; 2 bits, which of the four lengths of a length;
the length less 1; and the value, or as many values as the length says.
"""

from collections.abc import Sequence

import numpy as np


def decode_brush(runs: Sequence[int], height: int, width: int) -> np.ndarray:
    """The opacity of a brush stroke.

    Args:
      runs: the bytes, 0..255.
      height: of the image.
      width: of the image.

    Returns:
      uint8 [H, W], 255 where the brush has painted in full.

    Raises:
      ValueError: the bytes are damaged, or are of an image of another size; the message says so.
    """
    try:
        data = bytes(runs)
    except (TypeError, ValueError) as error:
        raise ValueError("has run lengths that are no bytes") from error
    # A leading one keeps zeros in front.
    bits = bin(int.from_bytes(b"\1" + data))[3:]
    at = 0

    def read(count: int) -> int:
        nonlocal at
        at += count
        if at > len(bits):
            raise ValueError("has run lengths that end too early")
        return int(bits[at - count : at], 2)

    count, value_bits = read(32), read(5) + 1
    length_bits = [read(4) + 1 for _ in range(4)]
    if count != 4 * height * width:
        raise ValueError(
            f"has run lengths of {count} values, where {width} x {height} pixels have {4 * height * width}"
        )
    values = np.zeros(count, np.uint8)
    done = 0
    while done < count:
        repeated = read(1)
        length = read(length_bits[read(2)]) + 1
        if done + length > count:
            raise ValueError("has run lengths that are too long")
        if repeated:
            values[done : done + length] = read(value_bits) & 255
        else:
            values[done : done + length] = [read(value_bits) & 255 for _ in range(length)]
        done += length
    return values.reshape(height, width, 4)[..., 3]
