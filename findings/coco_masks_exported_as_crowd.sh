#!/usr/bin/env bash
# Masks that Datumaro and supervision export as COCO, as the truth of pycocotools' COCOeval.
#
# One would guess: the masks of an MVTec AD folder, or those of detections, are single defects in the file (iscrowd 0),
# be it as polygons or as run lengths, and what a detector misses of them lowers its average precision.
# Seen: with datumaro 1.13.12 every mask has iscrowd 1. With supervision 0.31.2 masks of one part without a hole have 0,
# and the others have 1: a crack with a gap, one with a sound pixel inside, one of two parts that touch at a corner.
# Both, by their sources, take "has to be written as run lengths" for "is a crowd", and COCOeval passes over crowds, as
# COCO describes it.
# So even a perfect prediction has no average precision at all by Datumaro's file (-1), and by supervision's a detector
# that finds the one whole crack of four has 1.0. With iscrowd set to 0 in the files both have 1.0 for all of them and
# 0.26 for that one. Nothing warns of it.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/datumaro_file.py" <<'PROGRAM'
import sys
from pathlib import Path

import datumaro
from evaluate import CRACKS, evaluate
from PIL import Image

folder = Path(sys.argv[1])
for name, crack in CRACKS.items():
    for path, pixels in (f"test/crack/{name}.png", 0 * crack), (f"ground_truth/crack/{name}_mask.png", 255 * crack):
        (folder / "mvtec" / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "mvtec" / path)
dataset = datumaro.Dataset.import_from(f"{folder}/mvtec/", "mvtec_segmentation")
dataset.export(f"{folder}/coco", "coco_instances")
evaluate("Datumaro", folder / "coco/annotations/instances_test.json")
PROGRAM
cat >"$scratch/supervision_file.py" <<'PROGRAM'
import sys
from pathlib import Path

import numpy as np
import supervision
from evaluate import CRACKS, evaluate
from PIL import Image

folder = Path(sys.argv[1])
detections = {}
for name, crack in CRACKS.items():
    Image.fromarray(0 * crack).save(folder / f"{name}.png")
    mask = crack[None] > 0
    box = supervision.mask_to_xyxy(mask).astype(float)
    detections[str(folder / f"{name}.png")] = supervision.Detections(box, mask, class_id=np.array([0]))
dataset = supervision.DetectionDataset(classes=["crack"], images=list(detections), annotations=detections)
dataset.as_coco(annotations_path=str(folder / "supervision.json"))
evaluate("supervision", folder / "supervision.json")
PROGRAM
cat >"$scratch/evaluate.py" <<'PROGRAM'
import contextlib
import copy
import io
import json

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

CRACKS = {name: np.zeros((100, 160), np.uint8) for name in ("whole", "gap", "speck", "diagonal")}
for crack in CRACKS.values():
    crack[20:60, 30:90] = 1
CRACKS["gap"][:, 60:63] = CRACKS["speck"][40, 50] = 0
CRACKS["diagonal"][20:40, 60:] = CRACKS["diagonal"][40:, :60] = 0


def average_precision(dataset, found):
    truth = COCO()
    truth.dataset = copy.deepcopy(dataset)
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        predictions = [
            {name: a[name] for name in ("image_id", "category_id")} | {"segmentation": truth.annToRLE(a), "score": 0.9}
            for a in dataset["annotations"]
            if truth.imgs[a["image_id"]]["file_name"].rsplit("/")[-1].split(".")[0] in found
        ]
        evaluation = COCOeval(truth, truth.loadRes(predictions), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return round(float(evaluation.stats[0]), 2)


def evaluate(writer, path):
    dataset = json.loads(path.read_text())
    names = {image["id"]: image["file_name"].rsplit("/")[-1].split(".")[0] for image in dataset["images"]}
    crowds = {names[a["image_id"]]: a["iscrowd"] for a in dataset["annotations"]}
    print(f"{writer}, iscrowd: {dict(sorted(crowds.items()))}")
    for form in "as exported", "iscrowd 0":
        whole, all_of_them = average_precision(dataset, ["whole"]), average_precision(dataset, CRACKS)
        print(f"    {form}: average precision {all_of_them} if all are found, {whole} if only the whole one is")
        for annotation in dataset["annotations"]:
            annotation["iscrowd"] = 0
PROGRAM

for writer in datumaro==1.13.12 supervision==0.31.2; do
    "${PYTHON:-python3}" -m pip install --quiet --target "$scratch/${writer%%=*}" \
        "$writer" pycocotools==2.0.11 opencv-python-headless==4.14.0.94
    PYTHONPATH="$scratch/${writer%%=*}" "${PYTHON:-python3}" "$scratch/${writer%%=*}_file.py" "$scratch"
done | tee "$scratch/seen"

# Output seen on 2026-11-29.
diff - "$scratch/seen" <<'SEEN'
Datumaro, iscrowd: {'diagonal': 1, 'gap': 1, 'speck': 1, 'whole': 1}
    as exported: average precision -1.0 if all are found, -1.0 if only the whole one is
    iscrowd 0: average precision 1.0 if all are found, 0.26 if only the whole one is
supervision, iscrowd: {'diagonal': 1, 'gap': 1, 'speck': 1, 'whole': 0}
    as exported: average precision 1.0 if all are found, 1.0 if only the whole one is
    iscrowd 0: average precision 1.0 if all are found, 0.26 if only the whole one is
SEEN
