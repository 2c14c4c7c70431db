#!/usr/bin/env bash
# pysodmetrics: the weighted F-measure of a map that misses the one defect of its image, at several places.
#
# One would guess: what misses every pixel of the defect and finds nothing else has a recall of 0, and so a weighted
# F-measure of 0, wherever the defect is; to find it a pixel beside is never worse than to miss it.
# Seen: with pysodmetrics 1.6.2 a missed scratch has 0.00 in the middle of the image, and 0.59 where it runs along an
# edge. There the same scratch has 0.33 if it is found one pixel beside, and 0.30 if four. A missed chip of 4 x 4 pixels
# has 0.54 in a corner, 0.34 at an edge and 0.00 inside, one of 8 x 8 has 0.33, 0.19 and 0.00; found four pixels beside,
# the 4 x 4 one in the corner has 0.28. The measure smooths the errors over 7 x 7 pixels, so that an error next to a hit
# counts less, and takes it that there are no errors outside of the image; what is within three pixels of its border is
# thus partly forgiven. With errors repeated outward instead (SciPy's mode "nearest") each missed defect has 0.00. The
# package is checked against the MATLAB code that its field uses, so that other tools may well do the same; neither its
# documentation nor its issues were found to name it. Tiles, which cut defects at borders, raise the measure of a
# network that finds nothing. The F-measure, IoU and E-measure of the black map are the same at each place.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import numpy as np
from py_sod_metrics import Emeasure, FmeasureHandler, FmeasureV2, IOUHandler, WeightedFmeasure
from scipy import ndimage

HEIGHT, WIDTH = 256, 320
DEFECTS = {  # top row, left column, height and width
    "scratch in the middle": (128, 80, 1, 160),
    "scratch along the top": (0, 80, 1, 160),
    "chip of 4 x 4 inside": (100, 100, 4, 4),
    "chip of 4 x 4 at the top": (0, 100, 4, 4),
    "chip of 4 x 4 in the corner": (0, 0, 4, 4),
    "chip of 8 x 8 inside": (100, 100, 8, 8),
    "chip of 8 x 8 at the top": (0, 100, 8, 8),
    "chip of 8 x 8 in the corner": (0, 0, 8, 8),
}


def box(top, left, height, width):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top : top + height, left : left + width] = True
    return mask


def library(measure, map_, mask):
    measure.step(map_.astype(float), mask, normalize=False)
    return measure.get_results()


def weighted_f(map_, mask, mode):
    """By the definition, with errors outside of the image as SciPy's mode has them."""
    error = np.abs(map_.astype(float) - mask)
    distance, nearest = ndimage.distance_transform_edt(~mask, return_indices=True)
    kernel = np.exp(-np.square(np.mgrid[-3:4, -3:4]).sum(0) / (2 * 5**2))
    smooth = ndimage.convolve(error[tuple(nearest)], kernel / kernel.sum(), mode=mode)
    error = np.where(mask & (smooth < error), smooth, error)
    error *= np.where(mask, 1, 2 - np.exp(np.log(0.5) / 5 * distance))
    hits, false_alarms = mask.sum() - error[mask].sum(), error[~mask].sum()
    if hits < 1e-9:
        return 0.0
    recall, precision = 1 - error[mask].mean(), hits / (hits + false_alarms)
    return 2 * recall * precision / (recall + precision)


for name, place in DEFECTS.items():
    mask = box(*place)
    black = np.zeros_like(mask)
    beside = [library(WeightedFmeasure(), np.roll(mask, step, axis=0), mask)["wfm"] for step in (1, 4)]
    missed = library(WeightedFmeasure(), black, mask)["wfm"]
    own = [weighted_f(black, mask, mode) for mode in ("constant", "nearest")]
    handlers = {
        "F": FmeasureHandler(with_dynamic=False, with_adaptive=False, with_binary=True),
        "IoU": IOUHandler(with_dynamic=False, with_adaptive=False, with_binary=True),
    }
    others = {measure: found["binary"] for measure, found in library(FmeasureV2(handlers), black, mask).items()}
    others["E"] = library(Emeasure(), black, mask)["em"]["curve"].max()
    told = ", ".join(f"{measure} {value:.2f}" for measure, value in others.items())
    print(f"{name}: missed {missed:.2f}, 1 pixel beside {beside[0]:.2f}, 4 pixels {beside[1]:.2f}")
    print(f"    missed by SciPy {own[0]:.2f}, with mode nearest {own[1]:.2f}; other measures: {told}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" pysodmetrics==1.6.2 numpy==2.3.4 scipy==1.17.1 \
    scikit-image==0.25.2 scikit-learn==1.9.1 opencv-python-headless==4.14.0.94
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
scratch in the middle: missed 0.00, 1 pixel beside 0.00, 4 pixels 0.00
    missed by SciPy 0.00, with mode nearest 0.00; other measures: F 0.00, IoU 0.00, E 0.25
scratch along the top: missed 0.59, 1 pixel beside 0.33, 4 pixels 0.30
    missed by SciPy 0.59, with mode nearest 0.00; other measures: F 0.00, IoU 0.00, E 0.25
chip of 4 x 4 inside: missed 0.00, 1 pixel beside 0.80, 4 pixels 0.00
    missed by SciPy 0.00, with mode nearest 0.00; other measures: F 0.00, IoU 0.00, E 0.25
chip of 4 x 4 at the top: missed 0.34, 1 pixel beside 0.86, 4 pixels 0.17
    missed by SciPy 0.34, with mode nearest 0.00; other measures: F 0.00, IoU 0.00, E 0.25
chip of 4 x 4 in the corner: missed 0.54, 1 pixel beside 0.86, 4 pixels 0.28
    missed by SciPy 0.54, with mode nearest 0.00; other measures: F 0.00, IoU 0.00, E 0.25
chip of 8 x 8 inside: missed 0.00, 1 pixel beside 0.90, 4 pixels 0.54
    missed by SciPy 0.00, with mode nearest 0.00; other measures: F 0.00, IoU 0.00, E 0.25
chip of 8 x 8 at the top: missed 0.19, 1 pixel beside 0.92, 4 pixels 0.60
    missed by SciPy 0.19, with mode nearest 0.00; other measures: F 0.00, IoU 0.00, E 0.25
chip of 8 x 8 in the corner: missed 0.33, 1 pixel beside 0.93, 4 pixels 0.62
    missed by SciPy 0.33, with mode nearest 0.00; other measures: F 0.00, IoU 0.00, E 0.25
SEEN
