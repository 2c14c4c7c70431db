#!/usr/bin/env bash
# nyxus: grey statistics of defects (mean, median, greatest value, deviation) in a network's defect map, from 0 to 1,
# and in a height map of a few micrometres, given as NumPy arrays.
#
# One would guess: a float32 array is taken as it is, or scaled by the ranges that Nyxus() has for float images
# (min_intensity, max_intensity: 0 and 1; dynamic_range: 10000), or refused.
# Seen: with nyxus 0.11.0 featurize() cuts each value off to a whole number without a word, so that a map below 1 is
# black: mean, median, maximum and deviation of every defect are 0, and heights with a mean of 2.44 have 1.98.
# The ranges, which its documentation has for TIFF files, change nothing for arrays. Maps times 65535, as uint16, are
# right. (That an image with negative values is raised by its least one is said in its documentation.)
#
# Needs Python 3.11 or 3.12.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/maps.py" <<'PROGRAM'
import numpy as np
from nyxus import Nyxus

NAMES = ["MEAN", "MEDIAN", "MAX", "STANDARD_DEVIATION"]
rng = np.random.default_rng(0)
mask = np.zeros((60, 80), np.uint32)
mask[20:24, 10:70] = 1


def compare(name, image, scale=1, **ranges):
    seen = Nyxus(NAMES, **ranges).featurize(image.copy(), mask)[NAMES].iloc[0] / scale
    values = image[mask > 0] / scale
    print(name)
    print("  nyxus:", *(f"{value:.2f}" for value in seen))
    print("  numpy:", *(f"{f(values):.2f}" for f in (np.mean, np.median, np.max, np.std)))


defects = rng.uniform(0.05, 0.95, mask.shape).astype(np.float32)
compare("defect map", defects)
compare("with ranges", defects, min_intensity=0.0, max_intensity=1.0, dynamic_range=65535)
compare("as uint16", (defects * 65535).astype(np.uint16), scale=65535)
compare("heights", rng.uniform(1, 4, mask.shape).astype(np.float32))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" nyxus==0.11.0 pandas==3.1.1 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/maps.py" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
defect map
  nyxus: 0.00 0.00 0.00 0.00
  numpy: 0.47 0.44 0.95 0.26
with ranges
  nyxus: 0.00 0.00 0.00 0.00
  numpy: 0.47 0.44 0.95 0.26
as uint16
  nyxus: 0.47 0.44 0.95 0.26
  numpy: 0.47 0.44 0.95 0.26
heights
  nyxus: 1.98 2.00 3.00 0.81
  numpy: 2.44 2.37 4.00 0.88
SEEN
