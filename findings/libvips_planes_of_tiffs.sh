#!/usr/bin/env bash
# libvips (pyvips): TIFF files with several planes, each stored by itself (PLANARCONFIG_SEPARATE), such as one map per
# class of defects or the bands of a multispectral camera, as rasterio writes them with interleave="band" and tifffile
# with planarconfig="separate".
#
# One would guess: libvips reads separate planes in strips, as it does with RGB, or refuses them, as it does with
# tiles; how many rows a strip has makes no difference.
# Seen: with pyvips-binary 8.18.7 (8.16.1 alike) such files are scrambled if their photometric interpretation is "min
# is black" and a strip has more than one row, whatever the type (uint8 to float32) and the compression. libvips puts
# the planes of a strip together pixel by pixel, and then takes rows out of it that are as long as one plane's. Of
# four planes only the first quarter of each strip is used, the next row beginning a quarter of the width later, and
# where the width is no multiple of the number of planes, every other row has its planes exchanged. A spot of 80
# pixels at the foot of the only strip is gone; with strips of 8 rows half of it is in another class's map. RGB is
# right, but not in half precision. Size, number of bands, type and range of values are as expected, and nothing
# warns. rasterio and tifffile read the files of both, and libvips is right with strips of one row and with
# interleaved planes. No issue was found about it.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/read.py" <<'PROGRAM'
import sys
import warnings

import numpy as np
import pyvips
import rasterio
import tifffile

warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)

PATH = f"{sys.argv[1]}/maps.tif"
PLANES, HEIGHT, WIDTH = 4, 48, 66
maps = np.zeros((PLANES, HEIGHT, WIDTH))
for plane in range(PLANES):
    maps[plane] = 40 * plane + np.arange(HEIGHT)[:, None]
maps[2, 36:44, 20:30] = 200  # a spot of 80 pixels in one class


def by_rasterio(pixels, interleave, rows):
    shape = {"count": len(pixels), "height": HEIGHT, "width": WIDTH}
    layout = {"interleave": interleave, "blockysize": rows, "photometric": "MINISBLACK"}
    with rasterio.open(PATH, "w", driver="GTiff", dtype=pixels.dtype, **shape, **layout) as file:
        file.write(pixels)


def by_tifffile(pixels, photometric, rows, compression=None):
    tifffile.imwrite(
        PATH, pixels, photometric=photometric, planarconfig="separate", rowsperstrip=rows, compression=compression
    )


def rows_of_one_plane(pixels, rows):
    """Take rows as long as one plane's out of strips whose pixels are whole."""
    image = []
    for top in range(0, HEIGHT, rows):
        strip = np.moveaxis(pixels[:, top : top + rows], 0, -1).ravel()
        strip = np.append(strip, np.zeros(WIDTH * len(pixels), strip.dtype))
        for row in range(min(rows, HEIGHT - top)):
            image.append(strip[row * WIDTH :][: WIDTH * len(pixels)].reshape(WIDTH, len(pixels)))
    return np.array(image)


def tell(name, pixels, rows):
    read = pyvips.Image.new_from_file(PATH, revalidate=True).numpy()
    with rasterio.open(PATH) as file:
        others = [file.read(), tifffile.imread(PATH)]
    if others[1].shape != pixels.shape:  # interleaved
        others[1] = np.moveaxis(others[1], -1, 0)
    assert all(np.array_equal(other, pixels) for other in others)
    written = np.moveaxis(pixels, 0, -1)
    shares = f"{(read == written).mean():.0%} of the samples as written"
    explained = np.array_equal(read, rows_of_one_plane(pixels, rows))
    spots = (read == 200).sum(axis=(0, 1)).tolist()
    print(f"{name}: {shares}, spot {spots}, rows of one plane: {explained}")


print("spot as written:", (maps == 200).sum(axis=(1, 2)).tolist())
bytes_, single = maps.astype(np.uint8), maps.astype(np.float32)
for pixels in bytes_, maps.astype(np.uint16), single:
    by_rasterio(pixels, "band", HEIGHT)
    tell(f"rasterio, bands, {pixels.dtype}, one strip", pixels, HEIGHT)
for rows in 8, 1:
    by_rasterio(single, "band", rows)
    tell(f"rasterio, bands, float32, strips of {rows}", single, rows)
by_rasterio(single, "pixel", HEIGHT)
tell("rasterio, pixels, float32, one strip", single, HEIGHT)
by_tifffile(single, "minisblack", HEIGHT)
tell("tifffile, float32, one strip", single, HEIGHT)
by_tifffile(single, "minisblack", 8, "deflate")
tell("tifffile, float32, deflate, strips of 8", single, 8)
for pixels in bytes_[:3], single[:3], single[:3].astype(np.float16):
    by_tifffile(pixels, "rgb", 8)
    tell(f"tifffile, RGB, {pixels.dtype}, strips of 8", pixels, 8)
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" pyvips==3.2.0 pyvips-binary==8.18.7 \
    rasterio==1.4.4 tifffile==2026.3.3 imagecodecs==2026.3.6 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/read.py" "$scratch" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
spot as written: [0, 0, 80, 0]
rasterio, bands, uint8, one strip: 2% of the samples as written, spot [0, 0, 0, 0], rows of one plane: True
rasterio, bands, uint16, one strip: 2% of the samples as written, spot [0, 0, 0, 0], rows of one plane: True
rasterio, bands, float32, one strip: 2% of the samples as written, spot [0, 0, 0, 0], rows of one plane: True
rasterio, bands, float32, strips of 8: 12% of the samples as written, spot [40, 0, 40, 0], rows of one plane: True
rasterio, bands, float32, strips of 1: 100% of the samples as written, spot [0, 0, 80, 0], rows of one plane: True
rasterio, pixels, float32, one strip: 100% of the samples as written, spot [0, 0, 80, 0], rows of one plane: False
tifffile, float32, one strip: 2% of the samples as written, spot [0, 0, 0, 0], rows of one plane: True
tifffile, float32, deflate, strips of 8: 12% of the samples as written, spot [40, 0, 40, 0], rows of one plane: True
tifffile, RGB, uint8, strips of 8: 100% of the samples as written, spot [0, 0, 80], rows of one plane: False
tifffile, RGB, float32, strips of 8: 100% of the samples as written, spot [0, 0, 80], rows of one plane: False
tifffile, RGB, float16, strips of 8: 17% of the samples as written, spot [0, 0, 80], rows of one plane: True
SEEN
