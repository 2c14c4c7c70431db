#!/usr/bin/env bash
# Pillow, OpenCV and SimpleITK: grey TIFFs of a camera or scanner that stores its rows turned by 90 degrees and says so
# (tag Orientation, 5 to 8).
#
# One would guess: a reader gives the pixels as they are stored or turned upright, and the same ones whatever it reads
# them from.
# Seen: Pillow 13.0.0 turns such TIFFs upright, but scrambles grey ones of 8 or 16 bits that are not compressed and in
# one piece, as cameras write them, when it opens them by their path: it maps the file's bytes as rows of the turned
# width, so that a scratch is torn into pieces, and gives them the size that is stored. From a file object, compressed,
# in strips or in colour, the same image is right. OpenCV 4.14.0 and 5.0.0 turn them too, with IMREAD_UNCHANGED as well,
# but by imdecode alone: imread finds that the size has changed while it was reading, logs that and returns None, as for
# a file that does not exist. SimpleITK 2.5.7 gives four channels of 8 bits that are neither stored so nor upright, but
# mirrored (of 16 bits it tells the loss, on stderr). tifffile 2026.3.3 gives the pixels as stored. Nothing raises.
# Opening the file, and then the image from it, or imdecode of its bytes, helps.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/read.py" <<'PROGRAM'
import sys

import cv2
import numpy as np
import SimpleITK
import tifffile
from PIL import Image

path = sys.argv[1]
grey = np.full((40, 60), 30, np.uint8)
grey[:, 20] = 200  # a scratch from the first row to the last
grey[2:5, 40:50] = 90
ORIENTATION = 274
FILES = {
    "8 bits": (grey, {}),
    "16 bits": (grey.astype(np.uint16) * 257, {}),
    "8 bits, deflate": (grey, {"compression": "deflate"}),
    "8 bits, in strips": (grey, {"rowsperstrip": 8}),
    "colour": (np.repeat(grey[..., None], 3, axis=2), {"photometric": "rgb"}),
}


def from_a_file_object():
    with open(path, "rb") as file:
        return np.asarray(Image.open(file))


READERS = {
    "Pillow": lambda: np.asarray(Image.open(path)),
    "Pillow, file object": from_a_file_object,
    "imread": lambda: cv2.imread(path, cv2.IMREAD_UNCHANGED),
    "imdecode": lambda: cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED),
    "SimpleITK": lambda: SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(path)),
    "tifffile": lambda: tifffile.imread(path),
}

print(f"OpenCV {cv2.__version__}")
for kind, (pixels, options) in FILES.items():
    tifffile.imwrite(path, pixels, extratags=[(ORIENTATION, "H", 1, 6, True)], **options)
    upright = np.rot90(pixels, -1)
    said = []
    for name, read in READERS.items():
        found = read()
        if found is None:
            said.append(f"{name} None")
        elif np.array_equal(found, upright):
            said.append(f"{name} upright")
        elif np.array_equal(found, pixels):
            said.append(f"{name} as stored")
        elif found.shape == (*grey.shape, 4):
            mirrored = np.array_equal(found[..., :3], np.repeat(grey[:, ::-1, None], 3, axis=2))
            said.append(f"{name} MIRRORED, 4 channels of {found.dtype}" if mirrored else f"{name} 4 channels")
        else:
            rows, columns = np.nonzero(found == pixels.max())
            said.append(f"{name} SCRAMBLED, the scratch is in {len(set(rows))} rows and {len(set(columns))} columns")
    print(f"{kind}: {'; '.join(said[:2])};\n  {'; '.join(said[2:])}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    pillow==13.0.0 tifffile==2026.3.3 simpleitk==2.5.7 numpy==2.3.4
for version in 4.14.0.94 5.0.0.93; do
    "${PYTHON:-python3}" -m pip install --quiet --target "$scratch/opencv-$version" --no-deps \
        "opencv-python-headless==$version"
    PYTHONPATH="$scratch/site:$scratch/opencv-$version" "${PYTHON:-python3}" "$scratch/read.py" "$scratch/camera.tif" \
        2>/dev/null
done | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
OpenCV 4.14.0
8 bits: Pillow SCRAMBLED, the scratch is in 2 rows and 40 columns; Pillow, file object upright;
  imread None; imdecode upright; SimpleITK MIRRORED, 4 channels of uint8; tifffile as stored
16 bits: Pillow SCRAMBLED, the scratch is in 2 rows and 40 columns; Pillow, file object upright;
  imread None; imdecode upright; SimpleITK MIRRORED, 4 channels of uint8; tifffile as stored
8 bits, deflate: Pillow upright; Pillow, file object upright;
  imread None; imdecode upright; SimpleITK MIRRORED, 4 channels of uint8; tifffile as stored
8 bits, in strips: Pillow upright; Pillow, file object upright;
  imread None; imdecode upright; SimpleITK MIRRORED, 4 channels of uint8; tifffile as stored
colour: Pillow upright; Pillow, file object upright;
  imread None; imdecode upright; SimpleITK MIRRORED, 4 channels of uint8; tifffile as stored
OpenCV 5.0.0
8 bits: Pillow SCRAMBLED, the scratch is in 2 rows and 40 columns; Pillow, file object upright;
  imread None; imdecode upright; SimpleITK MIRRORED, 4 channels of uint8; tifffile as stored
16 bits: Pillow SCRAMBLED, the scratch is in 2 rows and 40 columns; Pillow, file object upright;
  imread None; imdecode upright; SimpleITK MIRRORED, 4 channels of uint8; tifffile as stored
8 bits, deflate: Pillow upright; Pillow, file object upright;
  imread None; imdecode upright; SimpleITK MIRRORED, 4 channels of uint8; tifffile as stored
8 bits, in strips: Pillow upright; Pillow, file object upright;
  imread None; imdecode upright; SimpleITK MIRRORED, 4 channels of uint8; tifffile as stored
colour: Pillow upright; Pillow, file object upright;
  imread None; imdecode upright; SimpleITK MIRRORED, 4 channels of uint8; tifffile as stored
SEEN
