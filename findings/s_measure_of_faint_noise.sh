#!/usr/bin/env bash
# pysodmetrics: the S-measure of maps that are right but for a background of almost 0, as a sigmoid leaves it.
#
# One would guess: a background of a millionth instead of 0 costs about a millionth; a map has the same S-measure before
# and after it is written as an 8-bit image, but for the rounding; and a map that shows each defect is far above one
# that is black.
# Seen: with pysodmetrics 1.6.2 a map that shows two spots at 0.9 has 0.997 with a background of 0, and 0.747 with
# uniform noise below 0.000001 there; a black one has 0.747 as well. A scratch of one pixel's width has 0.998 and 0.695,
# less than the 0.802 of a black map. With three spots it is 0.996 and 0.827; with one, nothing changes. Written as
# 8-bit images, the maps with noise have the higher values. Half of S-measure is a similarity of four parts, cut where
# the centre of all defects is: a part without defect has 1 if the map is constant there, and 0 if it is not, with
# nothing in between. Two spots leave two of the four parts empty, a thin level scratch the lower two, and one round
# spot none. It is so in the formula that the package follows, and NumPy gives the same; neither its documentation nor
# its issues were found to say so. E-measure and weighted F-measure make no such step.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import numpy as np
from py_sod_metrics import Emeasure, Smeasure, WeightedFmeasure

HEIGHT, WIDTH = 256, 320
rows, columns = np.mgrid[:HEIGHT, :WIDTH]


def spot(row, column):
    return np.hypot(rows - row, columns - column) < 9


DEFECTS = {
    "one spot": spot(100, 150),
    "two spots": spot(60, 80) | spot(200, 240),
    "three spots": spot(60, 80) | spot(200, 240) | spot(60, 240),
    "scratch": (rows == 100) & (columns > 50) & (columns < 200),
}


def library(measure, map_, mask):
    measure.step(map_, mask, normalize=False)
    return measure.get_results()


def s_measure(map_, mask):
    """By the formula, in float64: similarity of the objects, and of four parts."""
    map_, truth = map_.astype(float), mask.astype(float)

    def of_object(values):
        return 2 * values.mean() / (values.mean() ** 2 + 1 + values.std(ddof=1))

    objects = truth.mean() * of_object(map_[mask]) + (1 - truth.mean()) * of_object(1 - map_[~mask])
    row, column = np.argwhere(mask).mean(axis=0).round().astype(int) + 1
    regions, parts = 0, []
    for here in np.s_[:row, :column], np.s_[:row, column:], np.s_[row:, :column], np.s_[row:, column:]:
        a, b = map_[here], truth[here]
        covariance = ((a - a.mean()) * (b - b.mean())).sum() / (a.size - 1)
        above = 4 * a.mean() * b.mean() * covariance
        below = (a.mean() ** 2 + b.mean() ** 2) * (a.var(ddof=1) + b.var(ddof=1))
        part = above / below if above else float(below == 0)
        regions += part * a.size / mask.size
        parts.append(f"{part:.2f}")
    return (objects + regions) / 2, " ".join(parts)


noise = np.random.default_rng(0).random((HEIGHT, WIDTH)) * 1e-6
for name, mask in DEFECTS.items():
    shown = mask * 0.9
    maps = {
        "black": mask * 0.0,
        "shown, background 0": shown,
        "shown, noise below 1e-6": np.where(mask, shown, noise),
    }
    print(name)
    for told, map_ in maps.items():
        map_ = map_.astype(np.float32)
        in_8_bits = np.rint(map_ * 255).astype(np.uint8).astype(np.float32) / 255
        found, rounded = (library(Smeasure(), each, mask)["sm"] for each in (map_, in_8_bits))
        by_formula, parts = s_measure(map_, mask)
        e = library(Emeasure(), map_, mask)["em"]["curve"].max()
        weighted = library(WeightedFmeasure(), map_, mask)["wfm"]
        print(f"    {told}: S {found:.3f}, in 8 bits {rounded:.3f}; NumPy {by_formula:.3f},", end=" ")
        print(f"parts {parts}; E {e:.2f}, wF {weighted:.2f}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" pysodmetrics==1.6.2 numpy==2.3.4 scipy==1.17.1 \
    scikit-image==0.25.2 scikit-learn==1.9.1 opencv-python-headless==4.14.0.94
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
one spot
    black: S 0.498, in 8 bits 0.498; NumPy 0.498, parts 0.00 0.00 0.00 0.00; E 0.25, wF 0.00
    shown, background 0: S 0.994, in 8 bits 0.995; NumPy 0.994, parts 0.99 0.99 0.99 0.99; E 1.00, wF 0.95
    shown, noise below 1e-6: S 0.994, in 8 bits 0.995; NumPy 0.994, parts 0.99 0.99 0.99 0.99; E 1.00, wF 0.95
two spots
    black: S 0.747, in 8 bits 0.747; NumPy 0.747, parts 0.00 1.00 1.00 0.00; E 0.25, wF 0.00
    shown, background 0: S 0.997, in 8 bits 0.997; NumPy 0.997, parts 0.99 1.00 1.00 0.99; E 1.00, wF 0.95
    shown, noise below 1e-6: S 0.747, in 8 bits 0.997; NumPy 0.747, parts 0.99 0.00 0.00 0.99; E 1.00, wF 0.95
three spots
    black: S 0.665, in 8 bits 0.665; NumPy 0.665, parts 0.00 0.00 1.00 0.00; E 0.25, wF 0.00
    shown, background 0: S 0.996, in 8 bits 0.996; NumPy 0.996, parts 0.99 0.99 1.00 0.99; E 1.00, wF 0.95
    shown, noise below 1e-6: S 0.827, in 8 bits 0.996; NumPy 0.827, parts 0.99 0.99 0.00 0.99; E 1.00, wF 0.95
scratch
    black: S 0.802, in 8 bits 0.802; NumPy 0.802, parts 0.00 0.00 1.00 1.00; E 0.25, wF 0.00
    shown, background 0: S 0.998, in 8 bits 0.998; NumPy 0.998, parts 0.99 0.99 1.00 1.00; E 1.00, wF 0.95
    shown, noise below 1e-6: S 0.695, in 8 bits 0.998; NumPy 0.695, parts 0.99 0.99 0.00 0.00; E 1.00, wF 0.95
SEEN
