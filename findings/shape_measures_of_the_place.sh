#!/usr/bin/env bash
# imea, nyxus: shape measures of defects from their masks: a round pore, 31 pixels across, lies at several places of an
# image of 640 x 480 pixels.
#
# One would guess: the size and form of a pore are the same wherever it lies, and one measure does not change with the
# others that are asked for.
# Seen: with imea 0.3.5, whose shape_measurements_2d are said to be those that do not change when an object is moved or
# turned, the diameters of the circumscribing and the inscribing circle grow by twice the distance from the upper left
# corner of the image: 1532 and 1472 pixels for 30 and 28 at the lower right, since the contour is that of the cropped
# mask and the centroid that of the whole one. The smallest circle around the pore, the areas and Feret's diameters are
# right.
# With nyxus 0.11.0 the area of the convex hull grows with the place (705 to 4175 pixels, of 709), so that the solidity
# of the same pore, which has no dent, falls from 1.01 to 0.17. And its axes, eccentricity and orientation are right
# only where a measure such as the area is asked for with them: alone, the same pore has axes of 90 to 3088 pixels and
# an eccentricity of 0.94 to 1, a crack's.
# Nothing warns or raises. Who sorts pores from scratches by these sorts them by place; a mask that is cropped to its
# defect beforehand has the right circles.
#
# Needs Python 3.11 or 3.12.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/pores.py" <<'PROGRAM'
import warnings

import imea
import numpy as np
from nyxus import Nyxus

warnings.simplefilter("ignore", FutureWarning)
rows, columns = np.mgrid[:480, :640]


def nyxus(mask, *names):
    return Nyxus(list(names)).featurize(mask.astype(np.uint32), mask.astype(np.uint32)).iloc[0]


for row, column in (15, 15), (15, 620), (240, 320), (460, 620):
    pore = (rows - row) ** 2 + (columns - column) ** 2 <= 15**2
    circles = imea.shape_measurements_2d(pore, 1.0).iloc[0]
    hull = nyxus(pore, "CONVEX_HULL_AREA", "SOLIDITY")
    alone = nyxus(pore, "MAJOR_AXIS_LENGTH", "ECCENTRICITY")
    with_area = nyxus(pore, "MAJOR_AXIS_LENGTH", "ECCENTRICITY", "AREA_PIXELS_COUNT")
    print(f"{pore.sum()} pixels around row {row}, column {column}")
    print(f"  imea: circumscribing circle {circles['diameter_circumscribing_circle']:.0f}", end=", ")
    print(f"inscribing {circles['diameter_inscribing_circle']:.0f}", end=", ")
    print(f"smallest around {circles['diameter_min_enclosing_circle']:.0f}")
    print(f"  nyxus: hull {hull['CONVEX_HULL_AREA']:.0f}, solidity {hull['SOLIDITY']:.2f}")
    for name, axes in ("alone", alone), ("with the area", with_area):
        print(f"  {name}: axis {axes['MAJOR_AXIS_LENGTH']:.0f}, eccentricity {axes['ECCENTRICITY']:.2f}")

cropped = imea.shape_measurements_2d(pore[445:476, 605:636], 1.0).iloc[0]
print(f"cropped, imea: circumscribing circle {cropped['diameter_circumscribing_circle']:.0f}", end=", ")
print(f"inscribing {cropped['diameter_inscribing_circle']:.0f}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" nyxus==0.11.0 scikit-image==0.26.0 \
    opencv-python-headless==5.0.0.93 scipy==1.17.1 pandas==3.1.1 numpy==2.3.4
# Its dependencies would bring OpenCV's build for desktops.
"${PYTHON:-python3}" -m pip install --quiet --no-deps --target "$scratch/site" imea==0.3.5
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/pores.py" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
709 pixels around row 15, column 15
  imea: circumscribing circle 30, inscribing 28, smallest around 30
  nyxus: hull 705, solidity 1.01
  alone: axis 90, eccentricity 0.94
  with the area: axis 30, eccentricity 0.00
709 pixels around row 15, column 620
  imea: circumscribing circle 1240, inscribing 1180, smallest around 30
  nyxus: hull 3730, solidity 0.19
  alone: axis 2481, eccentricity 1.00
  with the area: axis 30, eccentricity 0.00
709 pixels around row 240, column 320
  imea: circumscribing circle 788, inscribing 728, smallest around 30
  nyxus: hull 2455, solidity 0.29
  alone: axis 1600, eccentricity 1.00
  with the area: axis 30, eccentricity 0.00
709 pixels around row 460, column 620
  imea: circumscribing circle 1532, inscribing 1472, smallest around 30
  nyxus: hull 4175, solidity 0.17
  alone: axis 3088, eccentricity 1.00
  with the area: axis 30, eccentricity 0.00
cropped, imea: circumscribing circle 30, inscribing 28
SEEN
