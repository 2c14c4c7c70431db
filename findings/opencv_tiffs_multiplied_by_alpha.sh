#!/usr/bin/env bash
# OpenCV: images whose mask lies in their alpha channel (RGBA, alpha 255 on a defect and 0 beside it), as TIFF and PNG.
#
# One would guess: cv2.imread gives the colours that are in the file, with the alpha (IMREAD_UNCHANGED) or without it
# (IMREAD_COLOR, IMREAD_GRAYSCALE), alike for both formats, 8 and 16 bits, and whoever wrote the file.
# Seen: with opencv-python-headless 4.14.0.94 and 5.0.0.93 that is so of PNGs. Colours of a TIFF of 8 bits whose alpha
# is "unassociated", as Pillow 13.0.0 and tifffile 2026.3.3 write RGBA unasked, are multiplied by it, whatever the flag:
# the sound surface is 0, black, and a network or a threshold sees the mask in the image. With IMREAD_UNCHANGED those of
# 16 bits are as they are, with the two other flags they are multiplied. OpenCV's own TIFFs do not say what their fourth
# channel is, so that a test which writes and reads with OpenCV finds nothing, and TIFFs whose alpha is "associated",
# that is multiplied already, are left. What was multiplied by 0 cannot be had back. Nothing warns. Neither the
# documentation of imread nor an issue was found to say so.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/read.py" <<'PROGRAM'
import pathlib
import sys

import cv2
import numpy as np
import tifffile
from PIL import Image

folder = pathlib.Path(sys.argv[1])
image = np.full((40, 60, 4), [180, 120, 90, 0], np.uint8)
image[10:14, 20:50, :] = 60, 50, 40, 255
WRITERS = {
    "PNG of Pillow": (".png", lambda path: Image.fromarray(image).save(path)),
    "TIFF of Pillow": (".tif", lambda path: Image.fromarray(image).save(path)),
    "TIFF of tifffile": (".tif", lambda path: tifffile.imwrite(path, image)),
    "TIFF of tifffile, associated": (
        ".tif",
        lambda path: tifffile.imwrite(path, image, photometric="rgb", extrasamples=["assocalpha"]),
    ),
    "TIFF of OpenCV": (".tif", lambda path: cv2.imwrite(path, cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA))),
    "PNG of OpenCV, 16 bits": (
        ".png",
        lambda path: cv2.imwrite(path, cv2.cvtColor(257 * image.astype(np.uint16), cv2.COLOR_RGBA2BGRA)),
    ),
    "TIFF of tifffile, 16 bits": (".tif", lambda path: tifffile.imwrite(path, 257 * image.astype(np.uint16))),
}
print(f"OpenCV {cv2.__version__[0]}: red, green, blue (and alpha) or grey of a sound and of a defective pixel")
for name, (suffix, write) in WRITERS.items():
    path = str(folder / ("image" + suffix))
    write(path)
    seen = []
    for flag in "IMREAD_UNCHANGED", "IMREAD_COLOR", "IMREAD_GRAYSCALE":
        pixels = cv2.imread(path, getattr(cv2, flag))
        if pixels.ndim == 3:
            pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
        seen.append(f"{pixels[0, 0].tolist()} {pixels[11, 30].tolist()}")
    print(f"    {name}: " + "; ".join(seen))
if cv2.__version__[0] == "4":
    tifffile.imwrite(folder / "image.tif", image)
    pixels = np.asarray(Image.open(folder / "image.tif"))
    print(f"the TIFF of tifffile, read by Pillow: {pixels[0, 0].tolist()} {pixels[11, 30].tolist()}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" tifffile==2026.3.3 pillow==13.0.0 numpy==2.3.4
for version in 4.14.0.94 5.0.0.93; do
    "${PYTHON:-python3}" -m pip install --quiet --no-deps --target "$scratch/$version" \
        "opencv-python-headless==$version"
    PYTHONPATH="$scratch/$version:$scratch/site" "${PYTHON:-python3}" "$scratch/read.py" "$scratch" 2>/dev/null
done | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
OpenCV 4: red, green, blue (and alpha) or grey of a sound and of a defective pixel
    PNG of Pillow: [180, 120, 90, 0] [60, 50, 40, 255]; [180, 120, 90] [60, 50, 40]; 134 51
    TIFF of Pillow: [0, 0, 0, 0] [60, 50, 40, 255]; [0, 0, 0] [60, 50, 40]; 0 52
    TIFF of tifffile: [0, 0, 0, 0] [60, 50, 40, 255]; [0, 0, 0] [60, 50, 40]; 0 52
    TIFF of tifffile, associated: [180, 120, 90, 0] [60, 50, 40, 255]; [180, 120, 90] [60, 50, 40]; 135 52
    TIFF of OpenCV: [180, 120, 90, 0] [60, 50, 40, 255]; [180, 120, 90] [60, 50, 40]; 135 52
    PNG of OpenCV, 16 bits: [46260, 30840, 23130, 0] [15420, 12850, 10280, 65535]; [180, 120, 90] [60, 50, 40]; 135 52
    TIFF of tifffile, 16 bits: [46260, 30840, 23130, 0] [15420, 12850, 10280, 65535]; [0, 0, 0] [60, 50, 40]; 0 52
the TIFF of tifffile, read by Pillow: [180, 120, 90, 0] [60, 50, 40, 255]
OpenCV 5: red, green, blue (and alpha) or grey of a sound and of a defective pixel
    PNG of Pillow: [180, 120, 90, 0] [60, 50, 40, 255]; [180, 120, 90] [60, 50, 40]; 134 51
    TIFF of Pillow: [0, 0, 0, 0] [60, 50, 40, 255]; [0, 0, 0] [60, 50, 40]; 0 52
    TIFF of tifffile: [0, 0, 0, 0] [60, 50, 40, 255]; [0, 0, 0] [60, 50, 40]; 0 52
    TIFF of tifffile, associated: [180, 120, 90, 0] [60, 50, 40, 255]; [180, 120, 90] [60, 50, 40]; 135 52
    TIFF of OpenCV: [180, 120, 90, 0] [60, 50, 40, 255]; [180, 120, 90] [60, 50, 40]; 135 52
    PNG of OpenCV, 16 bits: [46260, 30840, 23130, 0] [15420, 12850, 10280, 65535]; [180, 120, 90] [60, 50, 40]; 135 52
    TIFF of tifffile, 16 bits: [46260, 30840, 23130, 0] [15420, 12850, 10280, 65535]; [0, 0, 0] [60, 50, 40]; 0 52
SEEN
