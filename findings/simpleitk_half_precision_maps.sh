#!/usr/bin/env bash
# SimpleITK (ITK): defect maps in half precision, as a network in float16 gives them, kept as TIFF by tifffile or imageio.
#
# One would guess: a reader gives the map as floats, as tifffile, rasterio (GDAL) and, with its API of version 3, imageio
# do, or refuses it, as Pillow and OpenCV do.
# Seen: SimpleITK 2.5.7 takes the 16 bits for unsigned whole numbers, though the file says that they are floating-point
# (SampleFormat): 0.5 is 14336, 1 is 15360, and logits below 0 are above all others, those surest of a sound surface
# highest. It does so asked for sitkFloat32, too, where the array has the type that one expects. As the bits of positive
# numbers grow with their value, a map of 0 to 1 still looks like one, somewhat brighter, when it is shown by its own
# range, and its ranks (AUROC, the place of the largest) are right; but a threshold of 0.5 finds all that is not 0
# defective, and means are off. float32 is right. itk 5.4.7 does as SimpleITK. Nothing warns, and no issue was found
# that says so.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/read.py" <<'PROGRAM'
import sys

import imageio.v3 as iio
import numpy as np
import SimpleITK as sitk
import tifffile

PATH = f"{sys.argv[1]}/map.tif"
distance = np.hypot(*(np.mgrid[:64, :64] - 20))
LOGITS = np.clip(4 - distance / 4, -6, 6)  # a spot of a radius of 16 pixels
MAPS = {"probabilities": np.where(distance < 40, 1 / (1 + np.exp(-LOGITS)), 0), "logits": LOGITS}
THRESHOLDS = {"probabilities": 0.5, "logits": 0}


def tell(name, reader, read):
    place = tuple(int(index) for index in np.unravel_index(read.argmax(), read.shape))
    defective = np.mean(read > THRESHOLDS[name])
    shown = f"{read[20, 20]:.5g} in the middle, {read[63, 63]:.5g} in the corner"
    print(f"{name}, {reader}: {read.dtype}, {shown}, {defective:.1%} defective, largest at {place}")


for name, values in MAPS.items():
    for type_ in (np.float32, np.float16):
        tifffile.imwrite(PATH, values.astype(type_))
        tell(name, f"{np.dtype(type_)} by tifffile", tifffile.imread(PATH))
        tell(name, f"{np.dtype(type_)} by SimpleITK", sitk.GetArrayFromImage(sitk.ReadImage(PATH)))
    read = sitk.GetArrayFromImage(sitk.ReadImage(PATH, sitk.sitkFloat32))
    tell(name, "float16 by SimpleITK as sitkFloat32", read)
    bits = values.astype(np.float16).view(np.uint16)
    iio.imwrite(PATH, values.astype(np.float16))
    same = np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(PATH)), bits)
    print(f"{name}: written by imageio, SimpleITK gives the bits: {same}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    simpleitk==2.5.7 tifffile==2026.3.3 imageio==2.38.1 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/read.py" "$scratch" 2>&1 | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
probabilities, float32 by tifffile: float32, 0.98201 in the middle, 0 in the corner, 19.4% defective, largest at (20, 20)
probabilities, float32 by SimpleITK: float32, 0.98201 in the middle, 0 in the corner, 19.4% defective, largest at (20, 20)
probabilities, float16 by tifffile: float16, 0.98193 in the middle, 0 in the corner, 19.4% defective, largest at (20, 20)
probabilities, float16 by SimpleITK: uint16, 15323 in the middle, 0 in the corner, 79.0% defective, largest at (20, 20)
probabilities, float16 by SimpleITK as sitkFloat32: float32, 15323 in the middle, 0 in the corner, 79.0% defective, largest at (20, 20)
probabilities: written by imageio, SimpleITK gives the bits: True
logits, float32 by tifffile: float32, 4 in the middle, -6 in the corner, 19.4% defective, largest at (20, 20)
logits, float32 by SimpleITK: float32, 4 in the middle, -6 in the corner, 19.4% defective, largest at (20, 20)
logits, float16 by tifffile: float16, 4 in the middle, -6 in the corner, 19.4% defective, largest at (20, 20)
logits, float16 by SimpleITK: uint16, 17408 in the middle, 50688 in the corner, 99.9% defective, largest at (0, 55)
logits, float16 by SimpleITK as sitkFloat32: float32, 17408 in the middle, 50688 in the corner, 99.9% defective, largest at (0, 55)
logits: written by imageio, SimpleITK gives the bits: True
SEEN
