#!/usr/bin/env bash
# Pillow's reading of TIFFs whose white is 0 (PhotometricInterpretation WhiteIsZero) or whose values are big-endian.
#
# One would guess: an image is read alike whether it has 8 or 16 bits, and whether it is compressed or not.
# Seen: with Pillow 13.0.0 an image of 8 bits with WhiteIsZero is inverted, so that what is shown white is 255, and one of
# 16 bits is not: what is shown white is 0. Compressed, signed 16-bit and 32-bit floating-point values of a big-endian file
# come with their bytes swapped: 1 is read as 256. Nothing warns of either.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/read.py" <<'PROGRAM'
import io
import struct
import zlib

import numpy as np
from PIL import Image

# Tags: bits of a sample, compression (Adobe's deflate), photometric interpretation, sample format.
DEFLATE, WHITE_IS_ZERO, BLACK_IS_ZERO, UNSIGNED, SIGNED, FLOAT = 8, 0, 1, 1, 2, 3


def tiff(values, photometric, sample_format=UNSIGNED, compressed=False):
    values = np.asarray(values)
    order, bits = (">" if values.dtype.byteorder == ">" else "<"), values.dtype.itemsize * 8
    data = zlib.compress(values.tobytes()) if compressed else values.tobytes()
    height, width = values.shape
    tags = {256: width, 257: height, 258: bits, 259: DEFLATE if compressed else 1, 262: photometric, 273: 0, 277: 1}
    tags |= {278: height, 279: len(data), 339: sample_format}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags.items())
    start = (b"MM" if order == ">" else b"II") + struct.pack(f"{order}HI", 42, 8) + struct.pack(f"{order}H", len(tags))
    return Image.open(io.BytesIO(start + entries + bytes(4) + data))


def read(*arguments, **options):
    return np.asarray(tiff(*arguments, **options)).ravel().tolist()


eight, sixteen = np.array([[0, 1, 255]], np.uint8), np.array([[0, 257, 65535]], "<u2")
found = {
    "8 bits, white is 0": read(eight, WHITE_IS_ZERO),
    "16 bits, white is 0": read(sixteen, WHITE_IS_ZERO),
    "16 bits, black is 0": read(sixteen, BLACK_IS_ZERO),
    "signed, big-endian": read(np.array([[0, 1, 300]], ">i2"), BLACK_IS_ZERO, SIGNED),
    "signed, big-endian, compressed": read(np.array([[0, 1, 300]], ">i2"), BLACK_IS_ZERO, SIGNED, compressed=True),
    "floats, big-endian": read(np.array([[0, 1, 300]], ">f4"), BLACK_IS_ZERO, FLOAT),
    "floats, big-endian, compressed": read(np.array([[0, 1, 300]], ">f4"), BLACK_IS_ZERO, FLOAT, compressed=True),
}
for kind, values in found.items():
    print(f"{kind}: {values}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/packages" pillow==13.0.0 numpy==2.3.4
PYTHONPATH="$scratch/packages" "${PYTHON:-python3}" "$scratch/read.py" | tee "$scratch/seen"

# Output seen on 2026-11-28.
diff - "$scratch/seen" <<'SEEN'
8 bits, white is 0: [255, 254, 0]
16 bits, white is 0: [0, 257, 65535]
16 bits, black is 0: [0, 257, 65535]
signed, big-endian: [0, 1, 300]
signed, big-endian, compressed: [0, 256, 11265]
floats, big-endian: [0.0, 1.0, 300.0]
floats, big-endian, compressed: [0.0, 4.600602988224807e-41, 5.390374802718274e-41]
SEEN
