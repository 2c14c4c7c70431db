#!/usr/bin/env bash
# OpenCV 5: masks that are turned by 90 degrees in an image with an even and an odd side, as in 200 x 301.
#
# One would guess: warpAffine with INTER_NEAREST turns a scratch of one pixel's width into one of one pixel's width,
# perhaps a pixel further left or right, and does it alike for masks of any integer type and with OpenCV 4 and 5.
# Seen: that is so with opencv-python-headless 4.14.0.94. With 5.0.0.93 the scratch of a uint8 mask is two pixels wide,
# or is gone, depending on whether its column is even or odd, while the image that is turned beside it with INTER_LINEAR
# still shows it; a mask of int16 keeps it. About the centre of such an image every pixel comes from half-way between
# two; it looks as if halves were now rounded to the even one. No warning says so. Rotate of albumentations 2.0.8, which
# turns by a matrix, loses it too; it asks for OpenCV 4.9 or later, which 5 is.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/turn.py" <<'PROGRAM'
import albumentations
import cv2
import numpy as np

HEIGHT, WIDTH = 200, 301


def scratch(column):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[60:140, column] = 1
    return mask


def turned(mask, interpolation):
    matrix = cv2.getRotationMatrix2D(((WIDTH - 1) / 2, (HEIGHT - 1) / 2), 90, 1)
    return cv2.warpAffine(mask, matrix, (WIDTH, HEIGHT), flags=interpolation)


print(f"OpenCV {cv2.__version__}: pixels of a scratch of 80 pixels")
rotate = albumentations.Rotate(limit=(90, 90), p=1)
for column in 150, 151:
    mask = scratch(column)
    image = turned(200 * mask, cv2.INTER_LINEAR)
    found = {
        "uint8": turned(mask, cv2.INTER_NEAREST),
        "int16": turned(mask.astype(np.int16), cv2.INTER_NEAREST),
        "albumentations": rotate(image=200 * mask, mask=mask)["mask"],
    }
    counts = ", ".join(f"{name} {np.count_nonzero(of)}" for name, of in found.items())
    print(f"    column {column}: {counts}; brightest pixel of the image {image.max()} of 200")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    albumentations==2.0.8 opencv-python-headless==4.14.0.94 numpy==2.3.4
"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/five" --no-deps opencv-python-headless==5.0.0.93
export NO_ALBUMENTATIONS_UPDATE=1 # it would ask for a newer release of itself
{
    PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/turn.py"
    PYTHONPATH="$scratch/five:$scratch/site" "${PYTHON:-python3}" "$scratch/turn.py"
} | tee "$scratch/seen"

# Output seen on 2026-11-29.
diff - "$scratch/seen" <<'SEEN'
OpenCV 4.14.0: pixels of a scratch of 80 pixels
    column 150: uint8 80, int16 80, albumentations 80; brightest pixel of the image 100 of 200
    column 151: uint8 80, int16 80, albumentations 80; brightest pixel of the image 100 of 200
OpenCV 5.0.0: pixels of a scratch of 80 pixels
    column 150: uint8 160, int16 80, albumentations 160; brightest pixel of the image 100 of 200
    column 151: uint8 0, int16 80, albumentations 0; brightest pixel of the image 100 of 200
SEEN
