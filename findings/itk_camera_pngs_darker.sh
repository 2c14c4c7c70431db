#!/usr/bin/env bash
# ITK and SimpleITK: PNGs that say how many of their bits are significant (sBIT), as those of a camera of 12 bits.
#
# One would guess: all readers give the pixels that are in the file, 0 to 65535 for a PNG of 16 bits, since sBIT only
# tells which of the bits a writer made up; or those which look at it say so.
# Seen: SimpleITK 2.5.7 and ITK 5.4.7 (itk.imread) shift the pixels right by the bits that are not significant, and keep
# the type: white is 4095 in uint16 for 12 bits, and 31 in uint8 for 5. OpenCV 5.0.0, Pillow 13.0.0, scikit-image
# 0.26.0 (imageio), libvips 8.18, imagecodecs 2026.3.6 and pypng 0.20220715.0 give 65535 and 255. So images are 16 or 8
# times darker than those which a network was trained with, with nothing in the array that shows it, beside others
# without sBIT, which come as they are. pypng writes the chunk unasked when it is given bitdepth=12; the other packages
# here do not write it. What SimpleITK writes back has lost the chunk, and is dark for all. Nothing warns, and neither
# the documentation nor an issue was found to say so.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/read.py" <<'PROGRAM'
import pathlib
import sys

import cv2
import imagecodecs
import itk
import numpy as np
import png
import pyvips
import SimpleITK
import skimage.io
from PIL import Image

folder = pathlib.Path(sys.argv[1])


def by_pypng(path):
    width, height, rows, information = png.Reader(path).read()
    return np.array(list(rows), np.uint8 if information["bitdepth"] == 8 else np.uint16)


READERS = {
    "pypng": by_pypng,
    "OpenCV": lambda path: cv2.imread(path, cv2.IMREAD_UNCHANGED),
    "Pillow": lambda path: np.asarray(Image.open(path)),
    "scikit-image": skimage.io.imread,
    "libvips": lambda path: pyvips.Image.new_from_file(path).numpy(),
    "imagecodecs": lambda path: imagecodecs.png_decode(pathlib.Path(path).read_bytes()),
    "SimpleITK": lambda path: SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path)),
    "ITK": lambda path: itk.array_from_image(itk.imread(path)),
}


def told(name, path):
    print(name)
    for reader, read in READERS.items():
        pixels = read(path)
        print(f"    {reader + ':':14}{pixels.dtype} {pixels[0].tolist()}")


for bits in 16, 12, 8, 5:
    white = 2**bits - 1
    path = str(folder / f"{bits}.png")
    rows = [[0, white // 2, white - 1, white]] * 4
    with open(path, "wb") as file:
        png.Writer(width=4, height=4, greyscale=True, bitdepth=bits).write(file, rows)
    told(f"{bits} bits, written by pypng" + (", with sBIT" if b"sBIT" in pathlib.Path(path).read_bytes() else ""), path)
SimpleITK.WriteImage(SimpleITK.ReadImage(str(folder / "12.png")), str(folder / "again.png"))
told("12 bits, read and written again by SimpleITK", str(folder / "again.png"))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    simpleitk==2.5.7 itk==5.4.7 pypng==0.20220715.0 opencv-python-headless==5.0.0.93 pillow==13.0.0 \
    scikit-image==0.26.0 pyvips==3.2.0 pyvips-binary==8.18.7 imagecodecs==2026.3.6 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/read.py" "$scratch" 2>/dev/null | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
16 bits, written by pypng
    pypng:        uint16 [0, 32767, 65534, 65535]
    OpenCV:       uint16 [0, 32767, 65534, 65535]
    Pillow:       uint16 [0, 32767, 65534, 65535]
    scikit-image: uint16 [0, 32767, 65534, 65535]
    libvips:      uint16 [0, 32767, 65534, 65535]
    imagecodecs:  uint16 [0, 32767, 65534, 65535]
    SimpleITK:    uint16 [0, 32767, 65534, 65535]
    ITK:          uint16 [0, 32767, 65534, 65535]
12 bits, written by pypng, with sBIT
    pypng:        uint16 [0, 32759, 65519, 65535]
    OpenCV:       uint16 [0, 32759, 65519, 65535]
    Pillow:       uint16 [0, 32759, 65519, 65535]
    scikit-image: uint16 [0, 32759, 65519, 65535]
    libvips:      uint16 [0, 32759, 65519, 65535]
    imagecodecs:  uint16 [0, 32759, 65519, 65535]
    SimpleITK:    uint16 [0, 2047, 4094, 4095]
    ITK:          uint16 [0, 2047, 4094, 4095]
8 bits, written by pypng
    pypng:        uint8 [0, 127, 254, 255]
    OpenCV:       uint8 [0, 127, 254, 255]
    Pillow:       uint8 [0, 127, 254, 255]
    scikit-image: uint8 [0, 127, 254, 255]
    libvips:      uint8 [0, 127, 254, 255]
    imagecodecs:  uint8 [0, 127, 254, 255]
    SimpleITK:    uint8 [0, 127, 254, 255]
    ITK:          uint8 [0, 127, 254, 255]
5 bits, written by pypng, with sBIT
    pypng:        uint8 [0, 123, 247, 255]
    OpenCV:       uint8 [0, 123, 247, 255]
    Pillow:       uint8 [0, 123, 247, 255]
    scikit-image: uint8 [0, 123, 247, 255]
    libvips:      uint8 [0, 123, 247, 255]
    imagecodecs:  uint8 [0, 123, 247, 255]
    SimpleITK:    uint8 [0, 15, 30, 31]
    ITK:          uint8 [0, 15, 30, 31]
12 bits, read and written again by SimpleITK
    pypng:        uint16 [0, 2047, 4094, 4095]
    OpenCV:       uint16 [0, 2047, 4094, 4095]
    Pillow:       uint16 [0, 2047, 4094, 4095]
    scikit-image: uint16 [0, 2047, 4094, 4095]
    libvips:      uint16 [0, 2047, 4094, 4095]
    imagecodecs:  uint16 [0, 2047, 4094, 4095]
    SimpleITK:    uint16 [0, 2047, 4094, 4095]
    ITK:          uint16 [0, 2047, 4094, 4095]
SEEN
