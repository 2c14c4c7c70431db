#!/usr/bin/env bash
# MONAI: removing specks of less than 10 pixels from the predicted masks of several kinds of defects
# (RemoveSmallObjects).
#
# One would guess: with independent_channels=True, the default, each channel of [C, H, W] is cleaned by itself, as
# KeepLargestConnectedComponent does it; with False it is the union of the kinds. A map of classes, [1, H, W], is
# cleaned class by class.
# Seen: MONAI 1.6.1 (scikit-image 0.26.0) takes [C, H, W] for a volume, in which channels next to each other are
# neighbours. Of masks that may overlap, a speck of one pixel stays where the channel before or after it has a larger
# defect at that pixel: a stain's on a spot, but not a stain's on a scratch two channels before. Of one-hot masks, with
# connectivity=2, every speck of class 1 stays, for it touches the background's channel, and every one of class 2 goes.
# With False and one-hot masks, a defect of 12 pixels goes whose halves are of two classes, as they lie in two channels.
# In a map of classes it is the pixels which a class has in the whole image that count: specks stay where these are 10.
# The transform's documentation says that data should be one-hot, and that of the function behind it that and the
# contrary; nothing warns, and no issue was found. One channel after the other, each as [1, H, W], is right.
#
# Needs Python 3.11 or later; installs PyTorch: 1 GB, or several with the packages for CUDA that pip may choose.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import warnings

warnings.simplefilter("ignore")
import numpy as np
import scipy.ndimage
import torch
from monai.transforms import KeepLargestConnectedComponent, RemoveSmallObjects

SIDE, LEAST = 64, 10


def by_scipy(masks, connectivity):
    cleaned = []
    for mask in masks:
        labels, _ = scipy.ndimage.label(mask, scipy.ndimage.generate_binary_structure(2, connectivity))
        cleaned.append(mask & (np.bincount(labels.ravel())[labels] >= LEAST))
    return np.stack(cleaned)


def by_monai(masks, **settings):
    return RemoveSmallObjects(min_size=LEAST, **settings)(torch.from_numpy(masks)).numpy()


def compare(name, masks, classes, connectivity):
    found = by_monai(masks, connectivity=connectivity)
    one_by_one = np.concatenate([by_monai(mask[None], connectivity=connectivity) for mask in masks])
    right = by_scipy(masks, connectivity)
    assert np.array_equal(one_by_one, right)
    print(f"{name}, connectivity {connectivity}:")
    for number, kind in enumerate(classes):
        pixels = [int(m[number].sum()) for m in (masks, found, one_by_one, right)]
        print(f"    {kind}: {pixels[0]} pixels, MONAI leaves {pixels[1]}, one by one {pixels[2]}, SciPy {pixels[3]}")


overlapping = np.zeros((3, SIDE, SIDE), bool)
overlapping[0, 10:13, 5:45] = True  # a scratch
overlapping[1, 40:48, 40:48] = True  # a spot
overlapping[1, [11, 50], [20, 10]] = True  # specks: on the scratch, and alone
overlapping[2, [11, 44], [30, 44]] = True  # specks: on the scratch, and on the spot
for connectivity in 1, 2:
    compare("masks that may overlap", overlapping, ["scratch", "spot", "stain"], connectivity)
largest = KeepLargestConnectedComponent(is_onehot=True)(torch.from_numpy(overlapping))
print("KeepLargestConnectedComponent leaves", largest.sum((1, 2)).tolist())

classes = np.zeros((SIDE, SIDE), np.int64)
classes[10:20, 10:30] = 1
classes[[30, 40, 50], [20, 40, 10]] = 1  # three specks
for row in 30, 40, 50:
    classes[row, 50:54] = 2  # three specks of four pixels
one_hot = np.stack([classes == label for label in range(3)])
for connectivity in 1, 2:
    compare("one-hot masks", one_hot, ["background", "class 1", "class 2"], connectivity)
found = by_monai(classes[None])
print("map of classes:", {label: int((found == label).sum()) for label in (1, 2)}, "pixels left")

halves = np.zeros((SIDE, SIDE), np.int64)
halves[10:12, 10:13] = 1
halves[12:14, 10:13] = 2
one_hot = np.stack([halves == label for label in range(3)])
found = by_monai(one_hot, independent_channels=False)[1:]
print("union of two halves, one-hot:", int(found.sum()), "of 12 pixels left")
found = by_monai(halves[None], independent_channels=False)
print("union of two halves, map of classes:", int((found > 0).sum()), "of 12 pixels left")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    monai==1.6.1 scikit-image==0.26.0 torch==2.13.0 scipy==1.17.1 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
masks that may overlap, connectivity 1:
    scratch: 120 pixels, MONAI leaves 120, one by one 120, SciPy 120
    spot: 66 pixels, MONAI leaves 65, one by one 64, SciPy 64
    stain: 2 pixels, MONAI leaves 1, one by one 0, SciPy 0
masks that may overlap, connectivity 2:
    scratch: 120 pixels, MONAI leaves 120, one by one 120, SciPy 120
    spot: 66 pixels, MONAI leaves 65, one by one 64, SciPy 64
    stain: 2 pixels, MONAI leaves 1, one by one 0, SciPy 0
KeepLargestConnectedComponent leaves [120, 64, 1]
one-hot masks, connectivity 1:
    background: 3881 pixels, MONAI leaves 3881, one by one 3881, SciPy 3881
    class 1: 203 pixels, MONAI leaves 200, one by one 200, SciPy 200
    class 2: 12 pixels, MONAI leaves 0, one by one 0, SciPy 0
one-hot masks, connectivity 2:
    background: 3881 pixels, MONAI leaves 3881, one by one 3881, SciPy 3881
    class 1: 203 pixels, MONAI leaves 203, one by one 200, SciPy 200
    class 2: 12 pixels, MONAI leaves 0, one by one 0, SciPy 0
map of classes: {1: 203, 2: 12} pixels left
union of two halves, one-hot: 0 of 12 pixels left
union of two halves, map of classes: 12 of 12 pixels left
SEEN
