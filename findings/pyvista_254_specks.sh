#!/usr/bin/env bash
# PyVista: the defects of a part's mask, counted and labelled by ImageData's label_connectivity.
#
# One would guess: every region has a label of its own, in a type that has room for all, as with scipy.ndimage.label and
# skimage.measure.label; the documentation says of extraction_mode="all", the default, that all regions are extracted.
# Seen: PyVista 0.49.2 (VTK 9.7.2) labels 254 regions and no more, in uint8, whatever the type of the mask. The others
# are 0, as what is sound: not in the image, nor in the labels and sizes that are returned. As the largest are kept, it
# is the smallest that go: of 360 defects, all 60 specks of one pixel and 46 pores of four. So it is where no number is
# needed for each (label_mode="constant"), and 1000 as the constant comes out as 255. With seeds that bring numbers of
# their own ("seeds"), 254 regions are kept again, and those with numbers above 255 are all 255: two defects, 300 and
# 1000, become one. Nothing warns. VTK's filter says so of its output, which is unsigned char unless another type is
# set; PyVista sets none and has no argument for it, and its documentation does not mention it. No issue was found.
# connectivity(), which makes an unstructured grid of the mask, finds all 360.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import numpy as np
import pyvista as pv
import scipy.ndimage

HEIGHT, WIDTH = 400, 600
PORES, SPECKS = 300, 60

mask = np.zeros((HEIGHT, WIDTH), bool)
places = [(row, column) for row in range(5, 390, 12) for column in range(5, 590, 12)]
np.random.default_rng(0).shuffle(places)
for number, (row, column) in enumerate(places[: PORES + SPECKS]):
    side = 2 + number % 4 if number < PORES else 1
    mask[row : row + side, column : column + side] = True
numbers, count = scipy.ndimage.label(mask)
areas = scipy.ndimage.sum_labels(mask, numbers, range(1, count + 1)).astype(int)
print(f"SciPy: {count} regions, {mask.sum()} pixels")


def image_of(mask):
    image = pv.ImageData(dimensions=(WIDTH, HEIGHT, 1))
    image.point_data["mask"] = mask.ravel()
    return image


def label(name, mask, **settings):
    image, labels, sizes = image_of(mask).label_connectivity(scalar_range="foreground", **settings)
    found = np.asarray(image["RegionId"]).reshape(mask.shape)
    print(f"{name}: {len(sizes)} regions, {sizes.sum()} pixels, labels up to {labels.max()}, {found.dtype}")
    assert sizes.sum() == (found > 0).sum()
    return found


for kind in bool, np.uint8, np.int32, np.float32:
    found = label(f"all, {np.dtype(kind).name}", mask.astype(kind))
for area in np.unique(areas):
    of_area = np.flatnonzero(areas == area) + 1
    kept = np.unique(numbers[found > 0])
    print(f"    of {area} pixels: {np.isin(of_area, kept).sum()} of {len(of_area)} kept")
few = np.where(numbers <= 254, mask, False)
label("no more than 254 defects", few)
for value in 10, 1000:
    label(f"constant {value}", mask, label_mode="constant", constant_value=value)

first = np.array([np.argwhere(numbers == number)[0] for number in range(1, count + 1)])
seeds = pv.PolyData(np.column_stack([first[:, 1], first[:, 0], np.zeros(count)]).astype(float))
seeds.point_data["number"] = np.arange(1, count + 1)
found = label("by seeds with numbers", mask, label_mode="seeds", extraction_mode="seeded", point_seeds=seeds)
print(f"    {(found[mask] == numbers[mask]).sum()} of {mask.sum()} pixels have their number")
two = pv.PolyData(seeds.points[:2])
two.point_data["number"] = np.array([300, 1000])
found = label("two by seeds, 300 and 1000", mask, label_mode="seeds", extraction_mode="seeded", point_seeds=two)
print("    labels of the two:", [int(found[row, column]) for row, column in first[:2]])

connected = image_of(mask.astype(np.uint8)).threshold(0.5, scalars="mask").connectivity("all")
print("connectivity:", len(np.unique(connected["RegionId"])), "regions")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    pyvista==0.49.2 vtk==9.7.2 scipy==1.17.1 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" | tee "$scratch/seen"

# Output seen on 2026-12-01.
diff - "$scratch/seen" <<'SEEN'
SciPy: 360 regions, 4110 pixels
all, bool: 254 regions, 3866 pixels, labels up to 254, uint8
all, uint8: 254 regions, 3866 pixels, labels up to 254, uint8
all, int32: 254 regions, 3866 pixels, labels up to 254, uint8
all, float32: 254 regions, 3866 pixels, labels up to 254, uint8
    of 1 pixels: 0 of 60 kept
    of 4 pixels: 29 of 75 kept
    of 9 pixels: 75 of 75 kept
    of 16 pixels: 75 of 75 kept
    of 25 pixels: 75 of 75 kept
no more than 254 defects: 254 regions, 2859 pixels, labels up to 254, uint8
constant 10: 254 regions, 3866 pixels, labels up to 10, uint8
constant 1000: 254 regions, 3866 pixels, labels up to 255, uint8
by seeds with numbers: 254 regions, 3866 pixels, labels up to 255, uint8
    2731 of 4110 pixels have their number
two by seeds, 300 and 1000: 2 regions, 18 pixels, labels up to 255, uint8
    labels of the two: [255, 255]
connectivity: 360 regions
SEEN
