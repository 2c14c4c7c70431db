#!/usr/bin/env bash
# Hausdorff distances of defects that a network does not find at all, by packages of segmentation metrics.
#
# One would guess: the distance between a defect and nothing is infinite, NaN, the image's diagonal or an error, as
# there is no such distance; in any case it is not better than that of a defect which is found a few pixels beside.
# Seen: seg-metrics 1.2.8 gives 0, its best value, for the Hausdorff distance, its 95th percentile and the mean surface
# distance, both for a missed defect and for a false alarm, so that their mean over images falls with every miss. It
# logs that precision and recall are taken as 0 then; of the distances it says nothing. MISeval 1.3.0's HD compares the
# rows of the two images as if each were a point: for an upright scratch of one pixel's width it is 1 if it is missed, 1
# if it is found 3 or 30 pixels beside, and 0 if it is found 30 pixels below. What it calls AHD, the average Hausdorff
# distance, is the Hausdorff distance itself, and has a number for missed ones, which is that to a place outside of the
# image. SimpleITK 2.5.7 refuses both. Where both masks hold something, all but MISeval's HD agree.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import contextlib
import io
import logging

import miseval
import numpy as np
import SimpleITK
from seg_metrics import seg_metrics

logging.disable(logging.WARNING)


def mask(rows=None, column=None):
    made = np.zeros((120, 160), np.uint8)
    if rows:
        made[rows[0] : rows[1], column] = 1
    return made


TRUTH = mask((40, 80), 60)
CASES = {
    "found, 3 pixels beside": (TRUTH, mask((40, 80), 63)),
    "30 pixels beside": (TRUTH, mask((40, 80), 90)),
    "30 pixels below": (TRUTH, mask((70, 110), 60)),
    "missed": (TRUTH, mask()),
    "false alarm": (mask(), TRUTH),
}


def by_seg_metrics(name):
    def measure(truth, found):
        with contextlib.redirect_stdout(io.StringIO()):
            measured = seg_metrics.write_metrics(labels=[1], gdth_img=truth, pred_img=found, metrics=[name])
        return float(measured[0][name][0])

    return measure


def by_miseval(name):
    return lambda truth, found: float(miseval.evaluate(truth, found, metric=name))


def by_simpleitk(truth, found):
    measure = SimpleITK.HausdorffDistanceImageFilter()
    measure.Execute(SimpleITK.GetImageFromArray(truth), SimpleITK.GetImageFromArray(found))
    return measure.GetHausdorffDistance()


MEASURES = {
    "SimpleITK": by_simpleitk,
    "seg-metrics hd": by_seg_metrics("hd"),
    "seg-metrics hd95": by_seg_metrics("hd95"),
    "seg-metrics msd": by_seg_metrics("msd"),
    "MISeval HD": by_miseval("HD"),
    "MISeval AHD": by_miseval("AHD"),
}


def measured(measure, truth, found):
    try:
        return f"{measure(truth, found):.2f}"
    except RuntimeError:
        return "refused"


print(" " * 17 + ", ".join(CASES))
for name, measure in MEASURES.items():
    print(f"{name + ':':18}" + ", ".join(measured(measure, *images) for images in CASES.values()))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    seg-metrics==1.2.8 miseval==1.3.0 hausdorff==0.2.6 simpleitk==2.5.7 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" -W ignore "$scratch/measure.py" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
                 found, 3 pixels beside, 30 pixels beside, 30 pixels below, missed, false alarm
SimpleITK:        3.00, 30.00, 30.00, refused, refused
seg-metrics hd:   3.00, 30.00, 30.00, 0.00, 0.00
seg-metrics hd95: 3.00, 30.00, 28.05, 0.00, 0.00
seg-metrics msd:  3.00, 30.00, 11.62, 0.00, 0.00
MISeval HD:       1.00, 1.00, 0.00, 1.00, 1.00
MISeval AHD:      3.00, 30.00, 30.00, 100.00, 100.00
SEEN
