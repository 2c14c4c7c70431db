#!/usr/bin/env bash
# tifffile and imagecodecs: height maps of float32 or float64, NaN where nothing could be measured, compressed by LERC,
# which is without loss by default and has a largest error otherwise.
#
# One would guess: NaN comes back as NaN, as with every other lossless compression of these packages and as GDAL reads
# the same file, or it is refused: LERC supports NaN (pull request 147 of Esri/lerc).
# Seen: with tifffile 2026.3.3 and imagecodecs 2026.3.6 (2026.11.8 and 2026.10.10 alike), what was not measured is 0, a
# height as good as any: the mean of a surface at 5 with gaps on a 20th of it is 4.75, and its Sq 1.09 instead of 0.1.
# So it is for what tifffile has written (compression="lerc", also with zstd after it) and what GDAL has (rasterio
# 1.4.4), for imagecodecs.lerc_decode, and for zarr with imagecodecs' codec. LERC makes a mask of NaN, which is in what
# it writes, and leaves the pixel 0; lerc_decode gives the mask only if asked (masks=True), which tifffile and the codec
# do not, and neither docstring says that NaN is in it. Nothing is lost in the file: GDAL reads NaN from it. Nothing
# warns. No issue was found for either package; xarray-spatial had the same with LERC (pull request 1529).
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")
import imagecodecs
import numpy as np
import rasterio
import tifffile
import zarr
from imagecodecs import numcodecs as codecs

FOLDER = Path(sys.argv[1])

rows, columns = np.mgrid[:100, :120]
surface = 5 + 0.1 * np.sqrt(2) * np.sin(2 * np.pi * columns / 20)
surface[40:60, 60:90] = np.nan


def tell(name, heights):
    gaps = np.isnan(surface)
    in_gaps = np.unique(heights[gaps])
    assert np.nanmax(np.abs(heights - surface)[~gaps]) <= 1e-6 + 0.01 * ("0.01" in name)
    mean = np.nanmean(heights)
    deviation = np.sqrt(np.nanmean((heights - mean) ** 2))
    count = f"{np.isnan(heights).sum()} of {gaps.sum()} gaps, {in_gaps.tolist()} in them"
    print(f"{name}: {count}, mean {mean:.3g}, Sq {deviation:.3g}")


def by_gdal(path):
    with rasterio.open(path) as file:
        return file.read(1)


for kind in np.float32, np.float64:
    heights = surface.astype(kind)
    kind = np.dtype(kind).name
    tell(f"{kind}, as it is", heights)
    path = FOLDER / f"{kind}.tif"
    for compression in "deflate", "zstd", "packbits", "lzma":
        tifffile.imwrite(path, heights, compression=compression)
        assert np.array_equal(tifffile.imread(path), heights, equal_nan=True)
    for name, settings in (
        ("LERC", {}),
        ("LERC to 0.01", {"compressionargs": {"level": 0.01}}),
        ("LERC and zstd", {"compressionargs": {"compression": "zstd"}}),
        ("LERC in tiles", {"tile": (32, 32)}),
    ):
        tifffile.imwrite(path, heights, compression="lerc", **settings)
        tell(f"{kind}, {name}, tifffile", tifffile.imread(path))
        tell(f"{kind}, {name}, GDAL", by_gdal(path))

    profile = {"driver": "GTiff", "width": 120, "height": 100, "count": 1, "dtype": kind, "compress": "LERC"}
    with rasterio.open(path, "w", **profile) as file:
        file.write(heights, 1)
    tell(f"{kind}, LERC of GDAL, tifffile", tifffile.imread(path))
    tell(f"{kind}, LERC of GDAL, GDAL", by_gdal(path))

    encoded = imagecodecs.lerc_encode(heights)
    tell(f"{kind}, lerc_decode", imagecodecs.lerc_decode(encoded))
    decoded, valid = imagecodecs.lerc_decode(encoded, masks=True)
    tell(f"{kind}, lerc_decode with its mask", np.where(valid, decoded, np.nan))

    codecs.register_codecs(verbose=False)
    settings = {"chunks": (50, 60), "dtype": kind, "compressors": codecs.Lerc(), "zarr_format": 2}
    array = zarr.create_array(FOLDER / f"{kind}.zarr", shape=heights.shape, **settings)
    array[:] = heights
    tell(f"{kind}, zarr", array[:])
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    tifffile==2026.3.3 imagecodecs==2026.3.6 rasterio==1.4.4 zarr==3.1.6 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" "$scratch" | tee "$scratch/seen"

# Output seen on 2026-12-01.
diff - "$scratch/seen" <<'SEEN'
float32, as it is: 600 of 600 gaps, [nan] in them, mean 5, Sq 0.1
float32, LERC, tifffile: 0 of 600 gaps, [0.0] in them, mean 4.75, Sq 1.09
float32, LERC, GDAL: 600 of 600 gaps, [nan] in them, mean 5, Sq 0.1
float32, LERC to 0.01, tifffile: 0 of 600 gaps, [0.0] in them, mean 4.75, Sq 1.09
float32, LERC to 0.01, GDAL: 600 of 600 gaps, [nan] in them, mean 5, Sq 0.101
float32, LERC and zstd, tifffile: 0 of 600 gaps, [0.0] in them, mean 4.75, Sq 1.09
float32, LERC and zstd, GDAL: 600 of 600 gaps, [nan] in them, mean 5, Sq 0.1
float32, LERC in tiles, tifffile: 0 of 600 gaps, [0.0] in them, mean 4.75, Sq 1.09
float32, LERC in tiles, GDAL: 600 of 600 gaps, [nan] in them, mean 5, Sq 0.1
float32, LERC of GDAL, tifffile: 0 of 600 gaps, [0.0] in them, mean 4.75, Sq 1.09
float32, LERC of GDAL, GDAL: 600 of 600 gaps, [nan] in them, mean 5, Sq 0.1
float32, lerc_decode: 0 of 600 gaps, [0.0] in them, mean 4.75, Sq 1.09
float32, lerc_decode with its mask: 600 of 600 gaps, [nan] in them, mean 5, Sq 0.1
float32, zarr: 0 of 600 gaps, [0.0] in them, mean 4.75, Sq 1.09
float64, as it is: 600 of 600 gaps, [nan] in them, mean 5, Sq 0.1
float64, LERC, tifffile: 0 of 600 gaps, [0.0] in them, mean 4.75, Sq 1.09
float64, LERC, GDAL: 600 of 600 gaps, [nan] in them, mean 5, Sq 0.1
float64, LERC to 0.01, tifffile: 0 of 600 gaps, [0.0] in them, mean 4.75, Sq 1.09
float64, LERC to 0.01, GDAL: 600 of 600 gaps, [nan] in them, mean 5, Sq 0.101
float64, LERC and zstd, tifffile: 0 of 600 gaps, [0.0] in them, mean 4.75, Sq 1.09
float64, LERC and zstd, GDAL: 600 of 600 gaps, [nan] in them, mean 5, Sq 0.1
float64, LERC in tiles, tifffile: 0 of 600 gaps, [0.0] in them, mean 4.75, Sq 1.09
float64, LERC in tiles, GDAL: 600 of 600 gaps, [nan] in them, mean 5, Sq 0.1
float64, LERC of GDAL, tifffile: 0 of 600 gaps, [0.0] in them, mean 4.75, Sq 1.09
float64, LERC of GDAL, GDAL: 600 of 600 gaps, [nan] in them, mean 5, Sq 0.1
float64, lerc_decode: 0 of 600 gaps, [0.0] in them, mean 4.75, Sq 1.09
float64, lerc_decode with its mask: 600 of 600 gaps, [nan] in them, mean 5, Sq 0.1
float64, zarr: 0 of 600 gaps, [0.0] in them, mean 4.75, Sq 1.09
SEEN
