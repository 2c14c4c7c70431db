#!/usr/bin/env bash
# tinybrain: images, height maps and defect maps made smaller by the mean of 2 x 2 pixels, for the pyramid of a
# Neuroglancer or CloudVolume data set (arrays of x, y), with an odd number of columns.
#
# One would guess: the last column is averaged with itself, as the source's comments say ("to avoid darkening during
# render"), or left out; and the first level is the same whether further ones are asked for or not.
# Seen: with tinybrain 1.7.0 it is so where two levels or more are asked for. Where it is one, the default
# (num_mips=1), the column that should be the last is written over the one before it, which is lost, and the last one
# is 0. So it is for all types of numbers, arrays of either order, and with sparse=True; with 2 x 2 x 2 pixels it is
# right. Of a surface of 301 columns, a groove in the columns 298 and 299 is gone, one in the last lies two columns
# off, and there is one in the last that the surface does not have. Level by level, the second one has two columns of
# 0. Nothing warns. By the source in the package, the function for one level takes "ox - 1" for the last column, where
# ox has not gone past it, and that for 2 x 2 x 2 has "osx - 1". It came with pull request 12 of seung-lab/tinybrain, to
# save memory; no issue was found.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import numpy as np
import tinybrain

ROWS = 400


def averaged(image, levels, sparse=False):
    return tinybrain.downsample_with_averaging(image, (2, 2, 1), num_mips=levels, sparse=sparse)[0]


def by_numpy(image):
    padded = np.pad(image.astype(np.float64), [(0, len(image) % 2), (0, 0)], mode="edge")
    return (padded[::2, ::2] + padded[1::2, ::2] + padded[::2, 1::2] + padded[1::2, 1::2]) / 4


generator = np.random.default_rng(0)
for columns in 300, 301:
    for kind in np.uint8, np.uint16, np.int16, np.float32, np.float64:
        wrong = set()
        for order in "C", "F":
            image = np.array(generator.integers(10, 120, (columns, ROWS)).astype(kind), order=order)
            right = by_numpy(image)
            assert np.abs(averaged(image, 2) - right).max() < 1
            found = averaged(image, 1)
            wrong |= set(np.flatnonzero(np.abs(found - right).max(1) >= 1).tolist())
            if wrong:
                assert np.abs(found[-2] - right[-1]).max() < 1
                assert not found[-1].any()
            if kind == np.uint8:
                assert np.array_equal(found, averaged(image, 1, sparse=True))
        name = f"{columns} columns of {np.dtype(kind).name}"
        print(f"{name}: with one level, {sorted(wrong)} of 0 to {len(right) - 1} are wrong; with two, none")

volume = generator.integers(10, 120, (301, ROWS, 2)).astype(np.float32)
found = tinybrain.downsample_with_averaging(volume, (2, 2, 2))[0][..., 0]
right = (by_numpy(volume[..., 0]) + by_numpy(volume[..., 1])) / 2
print("2 x 2 x 2: largest difference", round(float(np.abs(found - right).max())))

for first, last in (100, 101), (298, 299), (300, 300):
    surface = np.full((301, ROWS), 50, np.float32)
    surface[first : last + 1] = 20
    places = []
    for levels in 1, 2:
        found = averaged(surface, levels)[:, 0]
        places.append({column: float(found[column]) for column in np.flatnonzero(found != 50).tolist()})
    print(f"a groove of 20 in {first} to {last}: one level {places[0]}, two levels {places[1]}")

levels = [np.full((301, ROWS), 50, np.float32)]
for _ in range(4):
    levels.append(averaged(levels[-1], 1))
print("level by level, columns of 0:", [f"{int((level[:, 0] == 0).sum())} of {len(level)}" for level in levels])
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" tinybrain==1.7.0 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" | tee "$scratch/seen"

# Output seen on 2026-12-01.
diff - "$scratch/seen" <<'SEEN'
300 columns of uint8: with one level, [] of 0 to 149 are wrong; with two, none
300 columns of uint16: with one level, [] of 0 to 149 are wrong; with two, none
300 columns of int16: with one level, [] of 0 to 149 are wrong; with two, none
300 columns of float32: with one level, [] of 0 to 149 are wrong; with two, none
300 columns of float64: with one level, [] of 0 to 149 are wrong; with two, none
301 columns of uint8: with one level, [149, 150] of 0 to 150 are wrong; with two, none
301 columns of uint16: with one level, [149, 150] of 0 to 150 are wrong; with two, none
301 columns of int16: with one level, [149, 150] of 0 to 150 are wrong; with two, none
301 columns of float32: with one level, [149, 150] of 0 to 150 are wrong; with two, none
301 columns of float64: with one level, [149, 150] of 0 to 150 are wrong; with two, none
2 x 2 x 2: largest difference 0
a groove of 20 in 100 to 101: one level {50: 20.0, 150: 0.0}, two levels {50: 20.0}
a groove of 20 in 298 to 299: one level {150: 0.0}, two levels {149: 20.0}
a groove of 20 in 300 to 300: one level {149: 20.0, 150: 0.0}, two levels {150: 20.0}
level by level, columns of 0: ['0 of 301', '1 of 151', '2 of 76', '1 of 38', '0 of 19']
SEEN
