#!/usr/bin/env bash
# SimpleITK (ITK): telling scratches from pores by the elongation of a defect, in a mask or a thresholded defect map.
#
# One would guess: GetElongation, the root of the ratio of the principal moments, grows with the length over the width:
# 1 for a disc, about 60 for a scratch of 60 pixels by 1, or infinite or NaN because its second moment is 0.
# Seen: SimpleITK 2.5.7 gives a scratch of one pixel's width that is straight, along the rows, the columns or a
# diagonal, the elongation 0 (and the flatness 0, and an ellipsoid with diameters of 0 by 0), the least that there is
# and less than a disc's 1, as it does a single pixel. The same scratch has 87 at another angle, and 35 where it is two
# pixels wide. A rule that calls defects above 3 or so scratches finds those that are not quite straight alone, and a
# list that is sorted by it begins with the most elongated ones. Nothing warns. GetOrientedBoundingBoxSize has them
# right, and scikit-image's eccentricity, which is 1 there.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import numpy as np
import SimpleITK
from skimage.draw import disk, line
from skimage.measure import regionprops

DEFECTS = {
    "pore": disk((30, 40), 12),
    "scratch along a row": line(30, 10, 30, 69),
    "scratch along a column": line(2, 40, 57, 40),
    "diagonal scratch": line(2, 10, 57, 65),
    "scratch at another angle": line(5, 10, 35, 69),
    "scratch of two rows": np.nonzero(np.pad(np.ones((2, 60)), ((30, 28), (10, 10)))),
    "one pixel": ([30], [40]),
}
for name, pixels in DEFECTS.items():
    mask = np.zeros((60, 80), np.uint8)
    mask[pixels] = 1
    shapes = SimpleITK.LabelShapeStatisticsImageFilter()
    shapes.ComputeOrientedBoundingBoxOn()
    shapes.Execute(SimpleITK.GetImageFromArray(mask))
    box = " x ".join(f"{side:.1f}" for side in sorted(shapes.GetOrientedBoundingBoxSize(1)))
    eccentricity = regionprops(mask)[0].eccentricity
    print(f"{name}: elongation {shapes.GetElongation(1):.1f}, turned box {box}, eccentricity {eccentricity:.3f}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    simpleitk==2.5.7 scikit-image==0.25.2 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" 2>/dev/null | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
pore: elongation 1.0, turned box 23.0 x 23.0, eccentricity 0.000
scratch along a row: elongation 0.0, turned box 1.0 x 60.0, eccentricity 1.000
scratch along a column: elongation 0.0, turned box 1.0 x 56.0, eccentricity 1.000
diagonal scratch: elongation 0.0, turned box 1.4 x 79.2, eccentricity 1.000
scratch at another angle: elongation 86.7, turned box 1.8 x 67.5, eccentricity 1.000
scratch of two rows: elongation 34.6, turned box 2.0 x 60.0, eccentricity 1.000
one pixel: elongation 0.0, turned box 1.0 x 1.0, eccentricity 0.000
SEEN
