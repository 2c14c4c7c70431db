#!/usr/bin/env bash
# Datumaro: defects that CVAT holds as ellipses or turned boxes (a pore, an oblique scratch), converted to COCO, VOC...
#
# One would guess: an ellipse of CVAT becomes Datumaro's Ellipse, and a turned box becomes a polygon, or at least the
# upright box around it, where the other format has no turned ones; what cannot be kept is told.
# Seen: with datumaro 1.13.12, ellipses are left out when CVAT's XML is read, though Datumaro has them and its COCO
# export writes them; turned boxes are read, and left out by all exporters tried but CVAT's. From CVAT to COCO an image
# whose defects are an ellipse and a turned box becomes one without annotations, that is a sound one, while a box that
# is turned by 0 degrees stays. CVAT to CVAT loses the ellipses. Nothing is logged, not even for debugging, and no error
# is raised. The documentation lists the kinds of annotation that a format has and does not say what becomes of others.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/cvat/images"
cat >"$scratch/cvat/annotations.xml" <<'XML'
<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><size>2</size><mode>annotation</mode><labels>
    <label><name>defect</name><attributes></attributes></label>
  </labels></task></meta>
  <image id="0" name="upright.png" width="200" height="200">
    <polygon label="defect" occluded="0" points="40.0,90.0;160.0,90.0;160.0,110.0;40.0,110.0" z_order="0"></polygon>
    <box label="defect" occluded="0" xtl="40.0" ytl="20.0" xbr="160.0" ybr="40.0" z_order="0"></box>
  </image>
  <image id="1" name="oblique.png" width="200" height="200">
    <ellipse label="defect" occluded="0" cx="100.0" cy="30.0" rx="12.0" ry="9.0" z_order="0"></ellipse>
    <box label="defect" occluded="0" xtl="40.0" ytl="90.0" xbr="160.0" ybr="110.0" rotation="45.0" z_order="0"></box>
  </image>
</annotations>
XML
cat >"$scratch/measure.py" <<'PROGRAM'
import logging
import sys

import numpy as np
from datumaro import Dataset, DatasetItem, Ellipse
from datumaro.components.media import Image
from PIL import Image as Pillow

FOLDER, FORMATS = sys.argv[1], ("cvat", "coco_instances", "voc_detection", "yolo", "label_me", "open_images")
WORDS = "ellipse", "rotat", "skip", "unsupported", "not supported"
said = []


class Log(logging.Handler):
    def emit(self, record):
        if any(word in record.getMessage().lower() for word in WORDS):
            said.append(record.getMessage())


def kinds(dataset):
    found = {item.id: sorted(type(each).__name__ for each in item.annotations) for item in dataset}
    return "; ".join(f"{name}: {', '.join(found[name]) or 'nothing'}" for name in sorted(found, reverse=True))


def through(dataset, name, folder):
    dataset.export(folder, name, save_media=True)
    return kinds(Dataset.import_from(folder, name))


logging.basicConfig(level=logging.DEBUG, handlers=[Log()])
for name in "upright", "oblique":
    Pillow.new("L", (200, 200)).save(f"{FOLDER}/cvat/images/{name}.png")
dataset = Dataset.import_from(f"{FOLDER}/cvat", "cvat").transform("map_subsets", mapping={"annotations": "train"})
print("read from CVAT:", kinds(dataset))
for name in FORMATS:
    print(f"by {name}:", through(dataset, name, f"{FOLDER}/by_{name}"))
ellipse = DatasetItem(
    "ellipse",
    subset="train",
    media=Image.from_numpy(np.zeros((200, 200, 3), np.uint8)),
    annotations=[Ellipse(88, 21, 112, 39, label=0)],
)
made = Dataset.from_iterable([ellipse], categories=["defect"])
for name in "coco_instances", "cvat":
    print(f"an Ellipse of Datumaro's own, by {name}:", through(made, name, f"{FOLDER}/ellipse_{name}"))
print("said in the log:", said or "nothing")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" datumaro==1.13.12 numpy==2.3.4 pillow==12.3.0
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" "$scratch" 2>"$scratch/log" |
    tee "$scratch/seen" || tail "$scratch/log"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
read from CVAT: upright: Bbox, Polygon; oblique: RotatedBbox
by cvat: upright: Bbox, Polygon; oblique: RotatedBbox
by coco_instances: upright: Bbox, Bbox, Polygon; oblique: nothing
by voc_detection: upright: Bbox; oblique: nothing
by yolo: upright: Bbox; oblique: nothing
by label_me: upright: Bbox, Polygon; oblique: nothing
by open_images: upright: Bbox; oblique: nothing
an Ellipse of Datumaro's own, by coco_instances: ellipse: Bbox, Polygon
an Ellipse of Datumaro's own, by cvat: ellipse: nothing
said in the log: nothing
SEEN
