#!/usr/bin/env bash
# Label Studio's export of brush labels as COCO ("Brush labels to COCO").
#
# One would guess: the segmentation of the export, drawn by pycocotools, is what was painted, but for its edge.
# Seen: with label-studio-sdk 2.1.2 and pycocotools 2.0.11 a scratch of one pixel's width is not in the export at all, one
# of two pixels' width has lost half of its area, and the hole of a ring is filled. The export takes the outer contour that
# OpenCV finds, through the pixels' centres: contours of two points are dropped, holes are not looked for, and what is
# drawn from the rest is a pixel narrower and lower. The export as JSON has the painted pixels themselves.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/export.py" <<'PROGRAM'
import json
import sys
from pathlib import Path

import numpy as np
from label_studio_sdk.converter import Converter
from label_studio_sdk.converter.brush import encode_rle
from pycocotools import mask as coco

HEIGHT, WIDTH = 40, 60
CONFIG = """<View><Image name="image" value="$image"/>
<BrushLabels name="tag" toName="image"><Label value="defect"/></BrushLabels></View>"""


def painted(rows, columns):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[rows, columns] = 255
    return mask


def task(number, mask):
    value = {"format": "rle", "rle": encode_rle(np.repeat(mask.ravel(), 4)), "brushlabels": ["defect"]}
    names = {"id": "a", "type": "brushlabels", "from_name": "tag", "to_name": "image", "image_rotation": 0}
    result = names | {"original_width": WIDTH, "original_height": HEIGHT, "value": value}
    annotation = {"id": number, "completed_by": 1, "result": [result]}
    return {"id": number, "data": {"image": f"{number}.png"}, "annotations": [annotation]}


spot = painted(slice(5, 35), slice(10, 40))
ring = spot.copy()
ring[10:30, 15:35] = 0
masks = {
    "scratch, 1 x 40": painted(slice(20, 21), slice(10, 50)),
    "scratch, 2 x 40": painted(slice(20, 22), slice(10, 50)),
    "spot, 30 x 30": spot,
    "ring, the spot without 20 x 20": ring,
}
folder = Path(sys.argv[1])
tasks = [task(number, mask) for number, mask in enumerate(masks.values())]
(folder / "tasks.json").write_text(json.dumps(tasks))
converter = Converter(CONFIG, str(folder), download_resources=False)
converter.convert(str(folder / "tasks.json"), str(folder / "export"), "BRUSH_TO_COCO", is_dir=False)
export = json.loads((folder / "export" / "result_coco.json").read_text())

numbers = {image["id"]: int(Path(image["file_name"]).stem) for image in export["images"]}
areas = [0] * len(masks)
for annotation in export["annotations"]:
    packed = coco.merge(coco.frPyObjects(annotation["segmentation"], HEIGHT, WIDTH))
    areas[numbers[annotation["image_id"]]] += int(coco.area(packed))
for (name, mask), area in zip(masks.items(), areas):
    print(f"{name}: {np.count_nonzero(mask)} pixels painted, {area} exported")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/packages" label-studio-sdk==2.1.2 pycocotools==2.0.11
PYTHONPATH="$scratch/packages" "${PYTHON:-python3}" "$scratch/export.py" "$scratch" | tee "$scratch/seen"

# Output seen on 2026-11-28.
diff - "$scratch/seen" <<'SEEN'
scratch, 1 x 40: 40 pixels painted, 0 exported
scratch, 2 x 40: 80 pixels painted, 39 exported
spot, 30 x 30: 900 pixels painted, 841 exported
ring, the spot without 20 x 20: 500 pixels painted, 841 exported
SEEN
