#!/usr/bin/env bash
# Astropy: saliency maps and height maps of float32 in compressed FITS images (CompImageHDU), with quantize_level=0 so
# that they are not quantised. (By default they are, to a 16th of their noise, as Astropy says.)
#
# One would guess: 0 turns the quantisation off, as it does in fitsio, which says so; the values come back exactly, or
# a compression that is for integers alone, as fitsio (CFITSIO) does, refuses them.
# Seen: with astropy 8.0.2 (7.1.1 and 6.1.7 alike) the values are cut to whole numbers before the compression, unless
# it is one of the two by GZIP. A map of 0 to 1 is 0 everywhere, its defect gone, and heights of 100.7 um are 100.
# This is what the default, RICE_1, does, HCOMPRESS_1 and PLIO_1 too, and nothing warns. The image has the shape and
# the type of what was written, and its header says neither of integers nor of a loss. The file is not valid either:
# fitsio 1.4.2 reads the whole numbers' bits as floats, 1.4e-43 for 100. Points without a measurement (NaN) become
# -2147483648, here with a warning of NumPy's about a cast. GZIP_1 and GZIP_2 are exact. The documentation says
# nothing of 0, and no issue was found that does, other than on headers of GZIP.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/write.py" <<'PROGRAM'
import sys
import warnings

import fitsio
import numpy as np
from astropy.io import fits

PATH = f"{sys.argv[1]}/map.fits"
rows, columns = np.mgrid[:64, :64]
noise = np.random.default_rng(0).random((64, 64))
defect = np.hypot(rows - 40, columns - 20) < 5
saliency = (0.3 * noise + 0.6 * defect).astype(np.float32)
heights = (100 + 0.5 * np.sin(rows / 9) + noise - 5 * defect).astype(np.float32)


def told(name, pixels, read):
    worst = np.abs(read.astype(float) - pixels).max()
    return f"{name} {read.min():.3g} to {read.max():.3g} in {read.dtype.name}, off by up to {worst:.3g}"


def tell(name, pixels, compression):
    fits.CompImageHDU(pixels, compression_type=compression, quantize_level=0).writeto(PATH, overwrite=True)
    read = fits.getdata(PATH)
    whole = np.array_equal(read, np.trunc(pixels))
    other = fitsio.read(PATH, ext=1)
    bits = np.array_equal(other.view(np.int32), np.trunc(pixels).astype(np.int32))
    print(f"{name}, {compression}: {told('astropy', pixels, read)}, whole numbers: {whole};")
    print(f"    {told('fitsio', pixels, other)}, bits of whole numbers: {bits}")


with warnings.catch_warnings():
    warnings.simplefilter("error")
    print(told("saliency as it is:", saliency, saliency))
    print(told("heights as they are:", heights, heights))
    for compression in "RICE_1", "HCOMPRESS_1", "PLIO_1", "GZIP_1", "GZIP_2":
        tell("saliency", saliency, compression)
    tell("heights", heights, "RICE_1")
    fits.CompImageHDU(saliency, quantize_level=0).writeto(PATH, overwrite=True)
    above = [int((scores > 0.5).sum()) for scores in (saliency, fits.getdata(PATH))]
    print("by default with quantize_level=0: {1} pixels above 0.5 for {0}".format(*above))
gaps = heights.copy()
gaps[3, 5] = np.nan
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    fits.CompImageHDU(gaps, quantize_level=0).writeto(PATH, overwrite=True)
    print("NaN:", fits.getdata(PATH)[3, 5], [str(warning.message) for warning in caught])
try:
    fitsio.write(PATH, saliency, compress="RICE", qlevel=0, clobber=True)
    print("fitsio writes it")
except OSError:
    print("fitsio refuses to write it by RICE")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --no-compile --target "$scratch/site" astropy==8.0.2 fitsio==1.4.2 \
    numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/write.py" "$scratch" | tee "$scratch/seen"

# Output seen on 2026-12-01.
diff - "$scratch/seen" <<'SEEN'
saliency as it is: 5.7e-05 to 0.9 in float32, off by up to 0
heights as they are: 94.5 to 101 in float32, off by up to 0
saliency, RICE_1: astropy 0 to 0 in float32, off by up to 0.9, whole numbers: True;
    fitsio 0 to 0 in float32, off by up to 0.9, bits of whole numbers: True
saliency, HCOMPRESS_1: astropy 0 to 0 in float32, off by up to 0.9, whole numbers: True;
    fitsio 0 to 0 in float32, off by up to 0.9, bits of whole numbers: True
saliency, PLIO_1: astropy 0 to 0 in float32, off by up to 0.9, whole numbers: True;
    fitsio 0 to 0 in float32, off by up to 0.9, bits of whole numbers: True
saliency, GZIP_1: astropy 5.7e-05 to 0.9 in float32, off by up to 0, whole numbers: False;
    fitsio 5.7e-05 to 0.9 in float32, off by up to 0, bits of whole numbers: False
saliency, GZIP_2: astropy 5.7e-05 to 0.9 in float32, off by up to 0, whole numbers: False;
    fitsio 5.7e-05 to 0.9 in float32, off by up to 0, bits of whole numbers: False
heights, RICE_1: astropy 94 to 101 in float32, off by up to 1, whole numbers: True;
    fitsio 1.32e-43 to 1.42e-43 in float32, off by up to 101, bits of whole numbers: True
by default with quantize_level=0: 0 pixels above 0.5 for 69
NaN: -2.1474836e+09 ['invalid value encountered in cast']
fitsio refuses to write it by RICE
SEEN
