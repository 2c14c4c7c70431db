#!/usr/bin/env bash
# torchmetrics: the Hausdorff distance of two masks, in images that are not square.
#
# One would guess: hausdorff_distance is 0 for a prediction that is the mask itself, and 10 for one that is 10 pixels
# off, whatever the shape of the image; at worst an edge is counted half a pixel differently than elsewhere.
# Seen: with torchmetrics 1.9.0 that holds in square images alone. In an image of 300 x 400 a perfect prediction has
# 241, more than one that is a pixel off, and in one of 400 x 300 there is an IndexError; one column more than rows is
# enough (25 instead of 0). Its distance transform writes the distances row by row, but takes the height for the length
# of a row: in a wider image they land in other pixels than their own. Nothing warns of it, and the issue about the
# IndexError (3300 of Lightning-AI/torchmetrics, open) says that wider images work. Masks that are padded with
# background to a square have the right distances.
#
# Needs Python 3.11 or later; installs PyTorch: 1 GB, or several with the packages for CUDA that pip may choose.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import torch
from torchmetrics.functional.segmentation import hausdorff_distance


def distance(height, width, rows_off, side=None):
    masks = torch.zeros(2, 1, side or height, side or width, dtype=torch.long)
    masks[0, :, 20:25, 10:60] = 1  # the scratch
    masks[1, :, 20 + rows_off : 25 + rows_off, 10:60] = 1
    try:
        distances = hausdorff_distance(*masks, num_classes=2, include_background=False, input_format="index")
        return f"{distances.item():.2f}"
    except IndexError:
        return "IndexError"


for height, width in (128, 128), (128, 129), (300, 400), (400, 300):
    found = ", ".join(f"{rows} rows off {distance(height, width, rows)}" for rows in (0, 1, 10))
    print(f"{height} x {width}: {found}")
print("300 x 400 padded to a square:", ", ".join(distance(300, 400, rows, 400) for rows in (0, 1, 10)))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" torchmetrics==1.9.0 torch==2.13.0 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" | tee "$scratch/seen"

# Output seen on 2026-11-29.
diff - "$scratch/seen" <<'SEEN'
128 x 128: 0 rows off 0.00, 1 rows off 1.00, 10 rows off 10.00
128 x 129: 0 rows off 25.00, 1 rows off 26.02, 10 rows off 36.40
300 x 400: 0 rows off 241.01, 1 rows off 241.00, 10 rows off 241.03
400 x 300: 0 rows off IndexError, 1 rows off IndexError, 10 rows off IndexError
300 x 400 padded to a square: 0.00, 1.00, 10.00
SEEN
