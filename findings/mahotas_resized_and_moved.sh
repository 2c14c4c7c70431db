#!/usr/bin/env bash
# mahotas: images and defect maps that it resizes or shifts (imresize, interpolate.zoom, interpolate.shift).
#
# One would guess: splines of the order asked for (3 if none is), as those of scipy.ndimage, from which the code comes
# and whose documentation it repeats; at most its edges differ. A shift by nothing, or a zoom by 1, changes nothing.
# Seen: mahotas 1.4.19 with NumPy 2.3.4 interpolates nothing, whatever the order: each value is one of the image's, as
# with order 0. And all lies a pixel further up and left than it should: what is shifted by (0, 0) or zoomed by 1 has
# lost its first row and column, and its last ones are 0, while a shift by 0.25 or 0.5 gives the image as it was. A
# scratch in the first column is gone from the resized image, and one that is elsewhere is two pixels off where it is
# twice as large. Nothing warns. By its source, the place is rounded to a whole number, half a pixel further up, before
# the splines are evaluated at it, and has been for years; the documentation does not say so, and no issue was found.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import mahotas
import mahotas.interpolate
import numpy as np
import scipy.ndimage

ROW = np.array([3.0, 5.0, 8.0, 12.0, 17.0, 23.0])
ramp = np.tile(ROW, (6, 1))


def told(image):
    return " ".join(f"{value:.3g}" for value in image[len(image) // 2])


for name, by in (("as it is", None), ("by 0", 0), ("by 0.25", 0.25), ("by 0.5", 0.5), ("by 1", 1)):
    if by is None:
        print(f"a row, {name}: {told(ramp)}")
        continue
    for order in 0, 1, 3:
        mine, its = (package.shift(ramp, (by, by), order=order) for package in (mahotas.interpolate, scipy.ndimage))
        print(f"shifted {name}, order {order}: mahotas {told(mine)}; SciPy {told(its)}")
for zoom in 1, 1.5, 0.5:
    for order in 1, 3:
        mine, its = (package.zoom(ramp, zoom, order=order) for package in (mahotas.interpolate, scipy.ndimage))
        print(f"zoomed by {zoom}, order {order}: mahotas {told(mine)}; SciPy {told(its)}")
        assert np.array_equal(mahotas.imresize(ramp, zoom, order=order), mine)

for column in 0, 20, 39:
    image = np.zeros((30, 40))
    image[:, column] = 1
    places = []
    for size in (30, 40), (60, 80):
        rows = {"mahotas": mahotas.imresize(image, size), "SciPy": scipy.ndimage.zoom(image, size[0] / 30)}
        found = {name: row[15].argmax() if row[15].max() > 0.5 else "gone" for name, row in rows.items()}
        places.append(", ".join(f"{name} {place}" for name, place in found.items()))
    print(f"a scratch in column {column} of 40: of 40 in {places[0]}; of 80 in {places[1]}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" mahotas==1.4.19 scipy==1.17.1 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" 2>/dev/null | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
a row, as it is: 3 5 8 12 17 23
shifted by 0, order 0: mahotas 5 8 12 17 23 0; SciPy 3 5 8 12 17 23
shifted by 0, order 1: mahotas 5 8 12 17 23 0; SciPy 3 5 8 12 17 23
shifted by 0, order 3: mahotas 5 8 12 17 23 0; SciPy 3 5 8 12 17 23
shifted by 0.25, order 0: mahotas 3 5 8 12 17 23; SciPy 0 5 8 12 17 23
shifted by 0.25, order 1: mahotas 3 5 8 12 17 23; SciPy 0 4.5 7.25 11 15.8 21.5
shifted by 0.25, order 3: mahotas 3 5 8 12 17 23; SciPy 0 4.28 7.17 11 15.4 22.4
shifted by 0.5, order 0: mahotas 3 5 8 12 17 23; SciPy 0 5 8 12 17 23
shifted by 0.5, order 1: mahotas 3 5 8 12 17 23; SciPy 0 4 6.5 10 14.5 20
shifted by 0.5, order 3: mahotas 3 5 8 12 17 23; SciPy 0 3.64 6.42 9.93 14.1 20.9
shifted by 1, order 0: mahotas 0 5 8 12 17 23; SciPy 0 3 5 8 12 17
shifted by 1, order 1: mahotas 0 5 8 12 17 23; SciPy 0 3 5 8 12 17
shifted by 1, order 3: mahotas 0 5 8 12 17 23; SciPy 0 3 5 8 12 17
zoomed by 1, order 1: mahotas 5 8 12 17 23 0; SciPy 3 5 8 12 17 23
zoomed by 1, order 3: mahotas 5 8 12 17 23 0; SciPy 3 5 8 12 17 23
zoomed by 1.5, order 1: mahotas 5 5 8 8 12 17 17 23 0; SciPy 3 4.25 5.75 7.62 10 12.6 15.8 19.2 23
zoomed by 1.5, order 3: mahotas 5 5 8 8 12 17 17 23 0; SciPy 3 3.95 5.71 7.57 9.93 12.5 15.4 20 23
zoomed by 0.5, order 1: mahotas 5 12 0; SciPy 3 10 23
zoomed by 0.5, order 3: mahotas 5 12 0; SciPy 3 9.93 23
a scratch in column 0 of 40: of 40 in mahotas gone, SciPy 0; of 80 in mahotas gone, SciPy 0
a scratch in column 20 of 40: of 40 in mahotas 19, SciPy 20; of 80 in mahotas 39, SciPy 41
a scratch in column 39 of 40: of 40 in mahotas 38, SciPy 39; of 80 in mahotas 77, SciPy 79
SEEN
