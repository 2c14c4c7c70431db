#!/usr/bin/env bash
# One polygon as labelme draws it and as pycocotools does.
#
# One would guess: a polygon annotated in labelme has as many pixels in labelme's own mask as after a conversion to COCO.
# Seen: with labelme 6.3.1 and pycocotools 2.0.11 a scratch of 1 x 40 pixels has 82 in labelme's mask and 40 in COCO's, a
# spot of 30 x 30 has 961 and 900. pycocotools gives a polygon its area; labelme draws with Pillow, which takes corners for
# pixels' centres and draws the outline as well, half a pixel on each side. Masks of thin defects from the two differ by
# a factor of two, whatever the network.
#
# Needs Python 3.11 or later; installs 700 MB, most of it the toolkit of labelme's window.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/draw.py" <<'PROGRAM'
from labelme.utils import shape_to_mask
from pycocotools import mask as coco

HEIGHT, WIDTH = 40, 60

for name, (left, top, right, bottom) in {
    "scratch, 1 x 40": (10, 20, 50, 21),
    "scratch, 2 x 40": (10, 20, 50, 22),
    "spot, 30 x 30": (10, 5, 40, 35),
}.items():
    points = [[left, top], [right, top], [right, bottom], [left, bottom]]
    drawn = shape_to_mask((HEIGHT, WIDTH), points, shape_type="polygon").sum()
    (packed,) = coco.frPyObjects([[value for point in points for value in point]], HEIGHT, WIDTH)
    print(f"{name}: {drawn} pixels by labelme, {coco.area(packed)} by pycocotools")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/packages" labelme==6.3.1 pycocotools==2.0.11
PYTHONPATH="$scratch/packages" "${PYTHON:-python3}" "$scratch/draw.py" | tee "$scratch/seen"

# Output seen on 2026-11-28.
diff - "$scratch/seen" <<'SEEN'
scratch, 1 x 40: 82 pixels by labelme, 40 by pycocotools
scratch, 2 x 40: 123 pixels by labelme, 80 by pycocotools
spot, 30 x 30: 961 pixels by labelme, 900 by pycocotools
SEEN
