#!/usr/bin/env bash
# libvips (pyvips): masks whose label for "not to be counted" is -1 or -100 (as in PyTorch's losses), differences of
# two images, and heights, in signed integers, made smaller.
#
# One would guess: kernel="nearest" takes values as they are, as OpenCV's and SciPy's does; an image that is the same
# everywhere stays so with any kernel, and with a blur; means are off by half a step at most, and to both sides.
# Seen: with pyvips-binary 8.18.7 (8.16.1 alike, and without vector instructions) resize() below 1 and reduce() of
# int8, int16 and int32 make every negative number 2 lower, one for each axis, also by kernel="nearest": -1 is -3, and
# -100 is -102, which no ignore_index matches, while 0 and what is above it is right. shrink(), gaussblur() and conv()
# with precision="integer" (the default of the blur) go the other way, one up for each pass, so that -1 is 0 after
# shrink() or a blur: background, where it was to be ignored. The mean of a difference image is off by 0.9 to 1 grey
# level, down or up. Negative sums are rounded by half a step the wrong way. float32 is right, as are enlarging by a
# whole number with kernel="nearest", subsample(), median(), and conv() with precision="float". Nothing warns, and no
# issue was found; issue 962 of libvips/libvips (closed) is about floats.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/resize.py" <<'PROGRAM'
import cv2
import numpy as np
import pyvips

NEAREST = {"kernel": "nearest"}
BINOMIAL = pyvips.Image.new_from_array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], scale=16)
FUNCTIONS = {
    "resize(0.5), nearest": lambda image: image.resize(0.5, **NEAREST),
    "resize(0.5), linear": lambda image: image.resize(0.5, kernel="linear"),
    "resize(0.75), lanczos3": lambda image: image.resize(0.75),
    "reduceh(2), nearest": lambda image: image.reduceh(2, **NEAREST),
    "resize(2), nearest": lambda image: image.resize(2, **NEAREST),
    "subsample(2, 2)": lambda image: image.subsample(2, 2),
    "shrink(2, 2)": lambda image: image.shrink(2, 2),
    "gaussblur(1.5)": lambda image: image.gaussblur(1.5),
    "conv, integer": lambda image: image.conv(BINOMIAL, precision="integer"),
    "conv, float": lambda image: image.conv(BINOMIAL, precision="float"),
    "median(3)": lambda image: image.median(3),
}


def apply(function, pixels):
    return function(pyvips.Image.new_from_array(pixels)).numpy()


VALUES = 100, 1, -1, -100
print("flat images of", list(VALUES))
for name, function in FUNCTIONS.items():
    results = {}
    for kind in np.int8, np.int16, np.int32, np.float32:
        flat = [np.full((64, 64), value, kind) for value in VALUES]
        results[np.dtype(kind).name] = [int(np.median(apply(function, pixels))) for pixels in flat]
    assert results["int8"] == results["int16"] == results["int32"]
    print(f"by {name}: as integers {results['int16']}, as float32 {results['float32']}")

labels = np.zeros((64, 64), np.int16)
labels[:, 32:] = 1
labels[10:20, 10:30] = 2  # a defect
labels[8:22, 28:34] = -1  # not to be counted
halved = apply(FUNCTIONS["resize(0.5), nearest"], labels)
every_other = labels[1::2, 1::2]
by_opencv = cv2.resize(labels, (32, 32), interpolation=cv2.INTER_NEAREST)
for name, pixels in (("every other", every_other), ("by libvips", halved), ("by OpenCV", by_opencv)):
    print(f"labels, {name}:", np.unique(pixels).tolist(), (pixels == -1).sum(), "pixels of -1")
print("all other labels the same:", np.array_equal(halved[every_other >= 0], every_other[every_other >= 0]))

difference = np.random.default_rng(0).normal(0, 20, (512, 512)).round()
for name in "resize(0.5), nearest", "resize(0.5), linear", "shrink(2, 2)", "gaussblur(1.5)":
    means = [apply(FUNCTIONS[name], difference.astype(kind)).mean() for kind in (np.int16, np.float32)]
    print(f"difference of two images, {name}: mean {means[0]:.2f} as int16, {means[1]:.2f} as float32")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" pyvips==3.2.0 pyvips-binary==8.18.7 \
    opencv-python-headless==5.0.0.93 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/resize.py" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
flat images of [100, 1, -1, -100]
by resize(0.5), nearest: as integers [100, 1, -3, -102], as float32 [100, 1, -1, -100]
by resize(0.5), linear: as integers [100, 1, -3, -102], as float32 [100, 1, -1, -100]
by resize(0.75), lanczos3: as integers [100, 1, -3, -102], as float32 [100, 1, -1, -100]
by reduceh(2), nearest: as integers [100, 1, -2, -101], as float32 [100, 1, -1, -100]
by resize(2), nearest: as integers [100, 1, -1, -100], as float32 [100, 1, -1, -100]
by subsample(2, 2): as integers [100, 1, -1, -100], as float32 [100, 1, -1, -100]
by shrink(2, 2): as integers [100, 1, 0, -98], as float32 [100, 1, -1, -100]
by gaussblur(1.5): as integers [100, 1, 0, -98], as float32 [100, 1, -1, -100]
by conv, integer: as integers [100, 1, 0, -99], as float32 [100, 1, -1, -100]
by conv, float: as integers [100, 1, -1, -100], as float32 [100, 1, -1, -100]
by median(3): as integers [100, 1, -1, -100], as float32 [100, 1, -1, -100]
labels, every other: [-1, 0, 1, 2] 21 pixels of -1
labels, by libvips: [-3, 0, 1, 2] 0 pixels of -1
labels, by OpenCV: [-1, 0, 1, 2] 21 pixels of -1
all other labels the same: True
difference of two images, resize(0.5), nearest: mean -0.99 as int16, -0.01 as float32
difference of two images, resize(0.5), linear: mean -0.89 as int16, 0.01 as float32
difference of two images, shrink(2, 2): mean 0.98 as int16, 0.01 as float32
difference of two images, gaussblur(1.5): mean 0.90 as int16, 0.01 as float32
SEEN
