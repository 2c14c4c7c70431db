#!/usr/bin/env bash
# Crowd-Kit: the majority of several labellers' masks of one part.
#
# One would guess: SegmentationMajorityVote takes masks of 0 and 1, as its documentation's example does, and gives the
# pixels which at least half of the labellers have marked; the type of the numbers does not matter.
# Seen: Crowd-Kit 1.4.2 does so for bool, int64 and float32, but with masks of uint8, as they are read from PNGs, or
# uint16, all pixels of the image are defective: even where all labellers have left the part without a mark, and for
# every number of labellers (twice the votes less the number of labellers is taken to be below 0, which these types do
# not have). Skills as whole numbers change nothing; as floats, they make it right. SegmentationEM and SegmentationRASA
# are right for 0 and 1 of uint8; with masks of 0 and 255, the majority is everything, EM's result nothing, and RASA's
# what anyone has marked. The result is an array of bool like a right one, nothing warns, and no issue was found.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/vote.py" <<'PROGRAM'
import numpy as np
import pandas
from crowdkit.aggregation import SegmentationEM, SegmentationMajorityVote, SegmentationRASA

sound = np.zeros((100, 100), np.int64)
scratch, moved = sound.copy(), sound.copy()
scratch[50:60, 20:80] = 1
moved[52:62, 20:80] = 1


def pixels(method, masks, **skills):
    names = [f"labeller {number}" for number in range(len(masks))]
    table = pandas.DataFrame({"task": "part", "worker": names, "segmentation": masks})
    if skills:
        skills = {"skills": pandas.Series(skills["skills"], index=pandas.Index(names, name="worker"))}
    return int(method().fit_predict(table, **skills)["part"].sum())


def as_type(masks, name):
    return [mask.astype(name) for mask in masks]


print("pixels of 10000 that the majority calls defective")
for name in "bool", "int64", "float32", "uint8", "uint16":
    found = [pixels(SegmentationMajorityVote, as_type([scratch, scratch, sound], name))]
    found += [pixels(SegmentationMajorityVote, as_type([sound] * count, name)) for count in (2, 3, 5)]
    print(f"    {name}: {found[0]} where two of three mark 600; {found[1:]} where none of 2, 3 or 5 marks any")
masks = as_type([scratch, scratch, sound], "uint8")
for skills in [2, 2, 1], [1.0, 1.0, 0.5]:
    print(f"    uint8, skills {skills}: {pixels(SegmentationMajorityVote, masks, skills=skills)}")
print("masks of uint8 where two mark the same 600 pixels, and one the same moved by two rows")
for method in SegmentationMajorityVote, SegmentationEM, SegmentationRASA:
    ones = as_type([scratch, scratch, moved], "uint8")
    found = pixels(method, ones), pixels(method, [255 * mask for mask in ones])
    print(f"    {method.__name__}: " + "{} where they are 0 and 1, {} where they are 0 and 255".format(*found))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    crowd-kit==1.4.2 pandas==2.3.3 scikit-learn==1.9.1 scipy==1.17.1 transformers==5.24.0 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" -W ignore "$scratch/vote.py" 2>/dev/null | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
pixels of 10000 that the majority calls defective
    bool: 600 where two of three mark 600; [0, 0, 0] where none of 2, 3 or 5 marks any
    int64: 600 where two of three mark 600; [0, 0, 0] where none of 2, 3 or 5 marks any
    float32: 600 where two of three mark 600; [0, 0, 0] where none of 2, 3 or 5 marks any
    uint8: 10000 where two of three mark 600; [10000, 10000, 10000] where none of 2, 3 or 5 marks any
    uint16: 10000 where two of three mark 600; [10000, 10000, 10000] where none of 2, 3 or 5 marks any
    uint8, skills [2, 2, 1]: 10000
    uint8, skills [1.0, 1.0, 0.5]: 600
masks of uint8 where two mark the same 600 pixels, and one the same moved by two rows
    SegmentationMajorityVote: 10000 where they are 0 and 1, 10000 where they are 0 and 255
    SegmentationEM: 600 where they are 0 and 1, 0 where they are 0 and 255
    SegmentationRASA: 600 where they are 0 and 1, 720 where they are 0 and 255
SEEN
