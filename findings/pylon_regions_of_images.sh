#!/usr/bin/env bash
# pypylon: the part of a camera's image around a defect, by PylonImage.GetAoi, as an array.
#
# One would guess: GetAoi(x, y, width, height).GetArray() is image[y : y + height, x : x + width]; or, since no pixels
# are copied and the rest of each row is padding of the region (PaddingX), as its documentation says, the array has
# strides.
# Seen: with pypylon 26.9 (4.1.0 and 26.1.0 alike) the array is the first width * height pixels in memory from the
# region's corner on, one after the other: rows of the image, the pixels outside of the region among them, are cut
# into rows of the region's width. Of a region half as wide as the image, every other row is from beside it, and the
# lower half is not seen at all: a scratch of 30 pixels there has none. That is so with Mono8, Mono16, BayerRG8 and
# RGB8. Regions of packed pixels (Mono12p) are right, since these are unpacked by pylon first, and so are
# ImageFormatConverter's output and the PNG that Save writes of the same region, and regions as wide as the image.
# Shape and type are as expected, and nothing warns; GetArrayZeroCopy refuses. CopyImage into a new image takes the
# padding out. pypylon 26.1 learnt to skip the padding of grab results; no issue was found about regions.
#
# Needs Python 3.11 or later; no camera.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/crop.py" <<'PROGRAM'
import sys

import cv2
import numpy as np
from pypylon import pylon

FOLDER = sys.argv[1]
HEIGHT, WIDTH = 48, 64
PLACE = np.s_[8:40, 16:48]  # 32 x 32 pixels around the scratch
X, Y, SIDE = 16, 8, 32


def packed(pixels):
    bits = pixels.reshape(-1, 1) >> np.arange(12) & 1
    return np.packbits(bits.astype(np.uint8).ravel(), bitorder="little")


surface = np.full((HEIGHT, WIDTH), 200)
surface[32, 17:47] = 20  # a dark scratch
counts = surface.astype(np.uint16) * 16
CASES = {
    "Mono8": surface.astype(np.uint8),
    "Mono16": counts,
    "BayerRG8": surface.astype(np.uint8),
    "RGB8packed": np.repeat(surface[..., None], 3, axis=2).astype(np.uint8),
    "Mono12p": counts,
}


def attached(name, pixels):
    image = pylon.PylonImage()
    memory = memoryview(packed(pixels) if name == "Mono12p" else pixels.ravel())
    image.AttachMemoryView(memory, getattr(pylon, f"PixelType_{name}"), WIDTH, HEIGHT, 0)
    return image, memory


def dark(pixels):
    return int((pixels.reshape(SIDE, -1) < pixels.max() // 2).sum() // (pixels.size // SIDE**2))


for name, pixels in CASES.items():
    image, memory = attached(name, pixels)
    assert np.array_equal(image.GetArray(), pixels)
    region = image.GetAoi(X, Y, SIDE, SIDE)
    array = region.GetArray()
    same = np.array_equal(array, pixels[PLACE])
    print(f"{name}: {array.shape} {array.dtype}, {region.PaddingX} bytes of padding, as NumPy's crop: {same}", end="; ")
    print(f"dark pixels {dark(array)} of {dark(pixels[PLACE])}", end="; ")
    first = pixels[Y:].reshape(HEIGHT - Y, WIDTH, -1).reshape((HEIGHT - Y) * WIDTH, -1)[X : X + SIDE * SIDE]
    print("rows of the image run on:", np.array_equal(array.ravel(), first.ravel()))

pixels = CASES["Mono8"]
image, memory = attached("Mono8", pixels)
region = image.GetAoi(X, Y, SIDE, SIDE)
converter = pylon.ImageFormatConverter()
converter.OutputPixelFormat = pylon.PixelType_RGB8packed
region.Save(pylon.ImageFileFormat_Png, f"{FOLDER}/region.png")
copy = pylon.PylonImage()
copy.CopyImage(region, 0)
strip = image.GetAoi(0, Y, WIDTH, SIDE).GetArray()
for name, array in (
    ("saved as PNG", cv2.imread(f"{FOLDER}/region.png", cv2.IMREAD_UNCHANGED)),
    ("converted to RGB8", converter.Convert(region).GetArray()[..., 0]),
    ("copied", copy.GetArray()),
):
    print(f"{name}: as NumPy's crop: {np.array_equal(array, pixels[PLACE])}, dark pixels {dark(array)}")
print("as wide as the image:", np.array_equal(strip, pixels[Y : Y + SIDE]))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    pypylon==26.9 opencv-python-headless==5.0.0.93 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/crop.py" "$scratch" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
Mono8: (32, 32) uint8, 32 bytes of padding, as NumPy's crop: False; dark pixels 0 of 30; rows of the image run on: True
Mono16: (32, 32) uint16, 64 bytes of padding, as NumPy's crop: False; dark pixels 0 of 30; rows of the image run on: True
BayerRG8: (32, 32) uint8, 32 bytes of padding, as NumPy's crop: False; dark pixels 0 of 30; rows of the image run on: True
RGB8packed: (32, 32, 3) uint8, 96 bytes of padding, as NumPy's crop: False; dark pixels 0 of 30; rows of the image run on: True
Mono12p: (32, 32) uint16, 48 bytes of padding, as NumPy's crop: True; dark pixels 30 of 30; rows of the image run on: False
saved as PNG: as NumPy's crop: True, dark pixels 30
converted to RGB8: as NumPy's crop: True, dark pixels 30
copied: as NumPy's crop: True, dark pixels 30
as wide as the image: True
SEEN
