#!/usr/bin/env bash
# rasterio: defect maps that were predicted for overlapping tiles of a large image, put together by rasterio.merge.
#
# One would guess: the tiles are GeoTIFFs without a value for "no data", and their masks say that all pixels are valid.
# So method="min" keeps what the tiles agree about, "max" what any of them has found, and "first" leaves to the first
# tile what it covers, sound or defective.
# Seen: rasterio 1.4.4 and 1.5.2 take every 0 that is merged so far for a place where nothing is yet, for it is what
# the result is filled with where no file names a value. "min" gives the score of the other tile where the first says
# 0: the 50 or 100 pixels that only one of two tiles has found, for none. Of 0, 100 and 200 in one place the least is
# 0, 100 or, given as 100, 0, 200, even 200. "first" adds what later tiles have found, and "max" makes a height of -20
# um of 0 and -20 um. "last", and "max" of scores, are right. With nodata=255, or NaN for floating-point maps, or 255
# as the files' own value, all is right; where scores use all of 0 to 255, no value is free. Nothing warns; the
# documentation says that the result's value is the first file's, not that it is 0 without one, nor that it decides
# what "min" compares. It has been 0 since pull request 241, older than the methods; of these an issue was found with
# 0 given as the value (2848, open), none with no value at all.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import itertools
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")
import numpy as np
import rasterio
from rasterio.merge import merge
from rasterio.transform import Affine

FOLDER = Path(sys.argv[1])
SIDE, STEP = 64, 32  # each tile covers the second half of the one before it
NUMBERS = itertools.count()
REDUCE = {"min": np.minimum, "max": np.maximum, "first": lambda before, tile: before, "last": lambda before, tile: tile}


def write(tile, left, nodata):
    path = FOLDER / f"{next(NUMBERS)}.tif"
    settings = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 1, "dtype": tile.dtype, "nodata": nodata}
    with rasterio.open(path, "w", transform=Affine(1, 0, left, 0, -1, 0), **settings) as file:
        file.write(tile, 1)
    with rasterio.open(path) as file:
        assert nodata is not None or (file.dataset_mask() == 255).all()
    return path


def by_rasterio(tiles, method, in_files=None, **settings):
    return merge([write(tile, left, in_files) for tile, left in tiles], method=method, **settings)[0][0]


def by_numpy(tiles, method):
    merged = {}
    for tile, left in tiles:
        for column, pixels in enumerate(tile.T, left):
            merged[column] = REDUCE[method](merged[column], pixels) if column in merged else pixels
    return np.stack([merged[column] for column in sorted(merged)], axis=1)


left_tile, right_tile = np.zeros((2, SIDE, SIDE), np.uint8)
left_tile[10:20, 40:50] = 200  # seen in the left tile only, where both lie
right_tile[40:45, 10:20] = 150  # in the right one only
for name, tiles in (
    ("left, right", [(left_tile, 0), (right_tile, STEP)]),
    ("right, left", [(right_tile, STEP), (left_tile, 0)]),
):
    print(f"defective pixels, {name}:")
    for method in REDUCE:
        found, right = by_rasterio(tiles, method), by_numpy(tiles, method)
        set_255 = by_rasterio(tiles, method, nodata=255)
        assert np.array_equal(set_255, right) and np.array_equal(by_rasterio(tiles, method, in_files=255), right)
        print(f"    {method}: {np.count_nonzero(found)}, with 255 for no data {np.count_nonzero(set_255)}", end=", ")
        print(f"NumPy {np.count_nonzero(right)}")

flat = np.zeros((SIDE, SIDE), np.uint8)
print("least of three tiles with scores of 0, 100 and 200 in one place, by their order:")
for scores in itertools.permutations((0, 100, 200)):
    tiles = [(flat + np.uint8(score), 0) for score in scores]
    print(f"    {scores}: {by_rasterio(tiles, 'min').max()}, NumPy {by_numpy(tiles, 'min').max()}")

pit = np.full((SIDE, SIDE), -20, np.int16)
tiles = [(flat.astype(np.int16), 0), (pit, 0)]
measured = merge([write(tile.astype("float32"), left, None) for tile, left in tiles], method="max", nodata=np.nan)[0]
assert (measured == 0).all()
print(f"highest of heights of 0 and -20 um: {by_rasterio(tiles, 'max').max()}, NumPy {by_numpy(tiles, 'max').max()}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --no-compile --target "$scratch/site" rasterio==1.4.4 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" "$scratch" | tee "$scratch/seen"

# Output seen on 2026-12-01.
diff - "$scratch/seen" <<'SEEN'
defective pixels, left, right:
    min: 50, with 255 for no data 0, NumPy 0
    max: 150, with 255 for no data 150, NumPy 150
    first: 150, with 255 for no data 100, NumPy 100
    last: 50, with 255 for no data 50, NumPy 50
defective pixels, right, left:
    min: 100, with 255 for no data 0, NumPy 0
    max: 150, with 255 for no data 150, NumPy 150
    first: 150, with 255 for no data 50, NumPy 50
    last: 100, with 255 for no data 100, NumPy 100
least of three tiles with scores of 0, 100 and 200 in one place, by their order:
    (0, 100, 200): 100, NumPy 0
    (0, 200, 100): 100, NumPy 0
    (100, 0, 200): 200, NumPy 0
    (100, 200, 0): 0, NumPy 0
    (200, 0, 100): 100, NumPy 0
    (200, 100, 0): 0, NumPy 0
highest of heights of 0 and -20 um: -20, NumPy 0
SEEN
