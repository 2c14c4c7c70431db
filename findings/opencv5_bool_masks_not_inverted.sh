#!/usr/bin/env bash
# OpenCV 5: masks of bool, which it takes since 5.0 (4.14 refuses them), and what is sound: cv2.bitwise_not(mask).
#
# One would guess: bitwise_not of a bool array is NumPy's ~mask, True where the mask is False, as bitwise_and, _or and
# _xor are NumPy's &, | and ^; or it is refused, as most functions of OpenCV 5 refuse bool.
# Seen: opencv-python-headless 5.0.0.93 returns an array of bool whose bytes are 254 and 255. For NumPy 2.3.4 that is
# True everywhere: the sound part of an image is the whole image, image[sound] holds the defect too, a metric over "all
# but the defect" is one over everything, and as OpenCV's own mask= it leaves nothing out. Printed it is True everywhere
# as well, and yet the bitwise_and of it and the mask is empty, so that a test of the two being apart passes. Inverting
# it a second time by NumPy gives nothing, by OpenCV the mask. cv2.bitwise_xor(mask, all_true) and ~mask are right, and
# so is bitwise_not of a mask of uint8 with 255. Nothing warns, and no issue was found that says so.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/invert.py" <<'PROGRAM'
import cv2
import numpy as np

image, mask = np.full((40, 60), 100, np.uint8), np.zeros((40, 60), bool)
image[10:14, 20:50], mask[10:14, 20:50] = 30, True
everything = np.ones_like(mask)


def told(name, sound):
    kept = cv2.bitwise_and(image, image, mask=sound)
    both = cv2.bitwise_and(sound, mask.astype(sound.dtype))
    print(
        f"{name}: bytes {np.unique(sound.view(np.uint8)).tolist()}, {np.count_nonzero(sound)} of {sound.size} True;",
        f"darkest in it {image[sound.astype(bool)].min()}; as mask= {np.count_nonzero(kept)};",
        f"and the mask {np.count_nonzero(both)}",
    )


print(f"defective: {mask.sum()} of {mask.size}")
told("~mask", ~mask)
told("cv2.bitwise_not(mask)", cv2.bitwise_not(mask))
told("cv2.bitwise_xor(mask, all)", cv2.bitwise_xor(mask, everything))
told("cv2.bitwise_not(255 * mask)", cv2.bitwise_not(255 * mask.astype(np.uint8)))
twice = ~cv2.bitwise_not(mask), cv2.bitwise_not(cv2.bitwise_not(mask))
print("inverted twice, by NumPy and by OpenCV:", *(np.count_nonzero(again) for again in twice))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" opencv-python-headless==5.0.0.93 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/invert.py" 2>/dev/null | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
defective: 120 of 2400
~mask: bytes [0, 1], 2280 of 2400 True; darkest in it 100; as mask= 2280; and the mask 0
cv2.bitwise_not(mask): bytes [254, 255], 2400 of 2400 True; darkest in it 30; as mask= 2400; and the mask 0
cv2.bitwise_xor(mask, all): bytes [0, 1], 2280 of 2400 True; darkest in it 100; as mask= 2280; and the mask 0
cv2.bitwise_not(255 * mask): bytes [0, 255], 2280 of 2400 True; darkest in it 100; as mask= 2280; and the mask 0
inverted twice, by NumPy and by OpenCV: 0 120
SEEN
