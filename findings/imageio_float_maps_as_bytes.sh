#!/usr/bin/env bash
# imageio, scikit-image, OpenCV and Pillow: a height map in um as a PFM file, the float32 sibling of PGM that 3-D cameras
# and stereo programs write.
#
# One would guess: what imageio.v3.imwrite has written as float32 is what imread gives, as with TIFF, or one of them
# refuses; the number in the file's head, whose sign tells the order of bytes, is a factor of the values, or is ignored.
# Seen: imageio 2.38.1 hands .pfm to OpenCV where that is installed. It writes float32 and reads uint8: heights are
# rounded to whole um, dents below 0 are 0, all above 255 is 255, and what was not measured (NaN) is 0, as the dents are.
# scikit-image 0.26.0 reads by imageio, and does the same. Nothing warns; improps says uint8, too. The documentation of
# imageio's OpenCV plugin has IMREAD_COLOR as the default of `flags`, and does not say that floats become bytes by it, nor
# that it is what reads PFM. flags=cv2.IMREAD_UNCHANGED or plugin="pillow" gives the heights.
# As for the number in the head, OpenCV divides by it (5.0.0 and 4.14.0), and Pillow 13.0.0 leaves the values as they are:
# with 0.003922 there (1/255), 10 um are 2550. No issue was found about any of it.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/read.py" <<'PROGRAM'
import sys

import cv2
import imageio.v3 as iio
import numpy as np
import skimage.io
from PIL import Image

FOLDER = sys.argv[1]
HEIGHTS = np.array([[-3, 0.25, 0.75, 1.25, 300, np.nan]], np.float32)  # a dent, sound surface, a burr, a gap
path = f"{FOLDER}/heights.pfm"
iio.imwrite(path, HEIGHTS)
read = {
    "the file": np.frombuffer(open(path, "rb").read()[-HEIGHTS.nbytes :], "<f4"),
    "imageio": iio.imread(path),
    "scikit-image": skimage.io.imread(path),
    "imageio, unchanged": iio.imread(path, flags=cv2.IMREAD_UNCHANGED),
    "imageio, by Pillow": iio.imread(path, plugin="pillow"),
    "OpenCV": cv2.imread(path, cv2.IMREAD_UNCHANGED),
    "Pillow": np.asarray(Image.open(path)),
}
for name, heights in read.items():
    print(f"{name}: {heights.dtype} {heights.ravel().tolist()}")
print("imageio's improps:", iio.improps(path).dtype)

path = f"{FOLDER}/factor.pfm"
for factor in ("-1", "-2", "-0.003922"):
    with open(path, "wb") as file:
        file.write(f"Pf\n2 1\n{factor}\n".encode() + np.array([10, 20], "<f4").tobytes())
    by_opencv, by_pillow = cv2.imread(path, cv2.IMREAD_UNCHANGED), np.asarray(Image.open(path))
    print(f"10 and 20 with {factor}: OpenCV {by_opencv.round().ravel().tolist()}, Pillow {by_pillow.ravel().tolist()}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    imageio==2.38.1 scikit-image==0.26.0 opencv-python-headless==5.0.0.93 pillow==13.0.0 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/read.py" "$scratch" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
the file: float32 [-3.0, 0.25, 0.75, 1.25, 300.0, nan]
imageio: uint8 [0, 0, 1, 1, 255, 0]
scikit-image: uint8 [0, 0, 1, 1, 255, 0]
imageio, unchanged: float32 [-3.0, 0.25, 0.75, 1.25, 300.0, nan]
imageio, by Pillow: float32 [-3.0, 0.25, 0.75, 1.25, 300.0, nan]
OpenCV: float32 [-3.0, 0.25, 0.75, 1.25, 300.0, nan]
Pillow: float32 [-3.0, 0.25, 0.75, 1.25, 300.0, nan]
imageio's improps: uint8
10 and 20 with -1: OpenCV [10.0, 20.0], Pillow [10.0, 20.0]
10 and 20 with -2: OpenCV [5.0, 10.0], Pillow [10.0, 20.0]
10 and 20 with -0.003922: OpenCV [2550.0, 5099.0], Pillow [10.0, 20.0]
SEEN
