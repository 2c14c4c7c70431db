#!/usr/bin/env bash
# tifffile: masks of bool that are written as TIFF and read by another package.
#
# One would guess: True is written as white, as Pillow and scikit-image do it, and whatever reads the file finds the
# defect where it was.
# Seen: tifffile 2026.3.3, asked for nothing else, writes a bool array with 0 as white (PhotometricInterpretation
# WhiteIsZero), although it writes grey arrays of other types with 0 as black, and its documentation of `photometric`
# does not say so; so does imageio 2.38.1 (its v3 API), which hands TIFFs to it. Pillow 13.0.0, OpenCV 4.14.0, libvips
# 8.18 and SimpleITK 2.5.7 do as the file says: everything but the defect is defective. tifffile itself, and with it
# imageio, and rasterio (GDAL), do not look at it and read the mask as it was, so that a test with the package that
# wrote the file finds nothing. Nothing warns. photometric="minisblack", or writing mask.astype("uint8"), makes all
# agree.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/write.py" <<'PROGRAM'
import pathlib
import sys

import cv2
import imageio.v3
import numpy as np
import pyvips
import rasterio
import SimpleITK
import skimage.io
import tifffile
from PIL import Image

folder = pathlib.Path(sys.argv[1])
mask = np.zeros((40, 60), bool)
mask[10:14, 20:50] = True


def by_rasterio(path):
    with rasterio.open(path) as file:
        return file.read(1)


def by_simpleitk(path):
    pixels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path))
    return pixels[..., 0] if pixels.ndim == 3 else pixels


WRITERS = {
    "tifffile": lambda path: tifffile.imwrite(path, mask),
    "imageio": lambda path: imageio.v3.imwrite(path, mask),
    "tifffile, minisblack": lambda path: tifffile.imwrite(path, mask, photometric="minisblack"),
    "tifffile, of uint8": lambda path: tifffile.imwrite(path, mask.astype(np.uint8)),
    "scikit-image": lambda path: skimage.io.imsave(path, mask, check_contrast=False),
    "Pillow": lambda path: Image.fromarray(mask).save(path),
}
READERS = {
    "tifffile": tifffile.imread,
    "imageio": imageio.v3.imread,
    "rasterio": by_rasterio,
    "Pillow": lambda path: np.asarray(Image.open(path)),
    "OpenCV": lambda path: cv2.imread(path, cv2.IMREAD_UNCHANGED),
    "libvips": lambda path: pyvips.Image.new_from_file(path).numpy(),
    "SimpleITK": by_simpleitk,
}

print(f"defective pixels of {mask.size}, {mask.sum()} of them in the array that is written")
for number, (writer, write) in enumerate(WRITERS.items()):
    path = str(folder / f"{number}.tif")
    write(path)
    counts = ", ".join(f"{reader} {np.count_nonzero(read(path))}" for reader, read in READERS.items())
    print(f"{writer + ':':22}{counts}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    tifffile==2026.3.3 imageio==2.38.1 scikit-image==0.25.2 pillow==13.0.0 opencv-python-headless==4.14.0.94 \
    pyvips==3.2.0 pyvips-binary==8.18.7 rasterio==1.4.4 simpleitk==2.5.7 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/write.py" "$scratch" 2>/dev/null | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
defective pixels of 2400, 120 of them in the array that is written
tifffile:             tifffile 120, imageio 120, rasterio 120, Pillow 2280, OpenCV 2280, libvips 2280, SimpleITK 2280
imageio:              tifffile 120, imageio 120, rasterio 120, Pillow 2280, OpenCV 2280, libvips 2280, SimpleITK 2280
tifffile, minisblack: tifffile 120, imageio 120, rasterio 120, Pillow 120, OpenCV 120, libvips 120, SimpleITK 120
tifffile, of uint8:   tifffile 120, imageio 120, rasterio 120, Pillow 120, OpenCV 120, libvips 120, SimpleITK 120
scikit-image:         tifffile 120, imageio 120, rasterio 120, Pillow 120, OpenCV 120, libvips 120, SimpleITK 120
Pillow:               tifffile 120, imageio 120, rasterio 120, Pillow 120, OpenCV 120, libvips 120, SimpleITK 120
SEEN
