#!/usr/bin/env bash
# PyLabel: annotations of an inspection line, where most parts are sound, converted to COCO (ExportToCoco).
#
# One would guess: the images without defects stay in the file as images, and "annotations" has each defect once, as the
# file that was read has it, and as dataset.analyze counts them.
# Seen: with pylabel 0.1.55 each sound image adds the defect before it once more, with the same id and the number of the
# image that it is in. Of 4 defective parts and 96 sound ones behind them, as sorted names put "bad" before "good", the
# file has 100 annotations for 4, 97 of them the last defect. By its source the annotation of the last row is only made
# anew where a row has a class, and is appended in any case, since the class that is asked for then is the last row's
# too. COCOeval counts each repetition as a defect of its own, so that perfect predictions have an average precision of
# 0.51 instead of 1, 0.03 in the class of the last defect; class weights from such a file are off as much. Exports as
# YOLO have each defect once. Nothing warns; with a sound image in the first row the export is an error instead. Issue
# 56 and pull request 44 of pylabel-project/pylabel speak of such images, and not of repetitions. Dropping annotations
# of the same id mends the file.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/convert.py" <<'PROGRAM'
import collections
import contextlib
import io
import json
import os
import pathlib
import sys
import warnings

import numpy as np
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from pylabel import importer

warnings.simplefilter("ignore")
FOLDER = pathlib.Path(sys.argv[1]) / "parts"
WIDTH, HEIGHT = 80, 60
NAMES = {1: "crack", 2: "pore"}
BAD = {
    "bad0": (1, [10, 5, 40, 2]),
    "bad1": (2, [30, 30, 8, 8]),
    "bad2": (1, [4, 20, 50, 4]),
    "bad3": (2, [60, 40, 12, 10]),
}
GOOD = [f"good{number:02}" for number in range(96)]

images = [*BAD, *GOOD]
(FOLDER / "images").mkdir(parents=True)
for name in images:
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(FOLDER / "images" / f"{name}.png")
truth = {
    "images": [
        {"id": number, "file_name": f"{name}.png", "width": WIDTH, "height": HEIGHT}
        for number, name in enumerate(images, 1)
    ],
    "categories": [{"id": label, "name": name, "supercategory": ""} for label, name in NAMES.items()],
    "annotations": [
        {"id": number, "image_id": number, "category_id": label, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        | {"segmentation": []}
        for number, (label, box) in enumerate(BAD.values(), 1)
    ],
}
(FOLDER / "truth.json").write_text(json.dumps(truth))


def export(dataset):
    path = FOLDER / "exported.json"
    with contextlib.redirect_stderr(io.StringIO()):
        dataset.export.ExportToCoco(output_path=str(path))
    return json.loads(path.read_text())


def numbered(coco):
    annotations = [dict(annotation, id=number) for number, annotation in enumerate(coco["annotations"], 1)]
    return dict(coco, annotations=annotations)


def precisions(coco):
    with contextlib.redirect_stdout(io.StringIO()):
        data = COCO()
        data.dataset = numbered(coco)
        data.createIndex()
        keys = "image_id", "category_id", "bbox"
        perfect = [{key: defect[key] for key in keys} | {"score": 1.0} for defect in truth["annotations"]]
        evaluation = COCOeval(data, data.loadRes(perfect), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    by_class = evaluation.eval["precision"][:, :, :, 0, -1].mean((0, 1))
    return f"{evaluation.stats[0]:.2f}, by class " + ", ".join(f"{precision:.2f}" for precision in by_class)


def tell(name, coco):
    annotations = coco["annotations"]
    per_image = collections.Counter(annotation["image_id"] for annotation in annotations)
    classes = collections.Counter(annotation["category_id"] for annotation in annotations)
    most = ", ".join(f"{count} in image {image}" for image, count in per_image.most_common(1))
    print(f"{name}: {len(coco['images'])} images, {len(annotations)} annotations, at most {most};", end=" ")
    print(f"{len({annotation['id'] for annotation in annotations})} ids; classes {sorted(classes.values())}")


os.chdir(FOLDER)
tell("truth", truth)
dataset = importer.ImportCoco("truth.json", path_to_images="images")
print("PyLabel's own counts:", sorted(int(count) for name, count in dataset.analyze.class_counts.items() if name))
exported = export(dataset)
tell("exported by PyLabel", exported)
repeated = exported["annotations"]
same = all(annotation == repeated[3] for annotation in repeated[3:])
print("all but the first three are the last defect:", same)
once = dict(exported, annotations=list({annotation["id"]: annotation for annotation in repeated}.values()))
print("average precision of perfect predictions, by the truth:", precisions(truth))
print("    by the exported file:", precisions(exported))
print("    by the exported file, each id once:", precisions(once))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --no-compile --target "$scratch/site" \
    pylabel==0.1.55 pandas==2.3.3 pycocotools==2.0.11 pillow==12.3.0 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/convert.py" "$scratch" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
truth: 100 images, 4 annotations, at most 1 in image 1; 4 ids; classes [2, 2]
PyLabel's own counts: [2, 2]
exported by PyLabel: 100 images, 100 annotations, at most 97 in image 4; 4 ids; classes [2, 98]
all but the first three are the last defect: True
average precision of perfect predictions, by the truth: 1.00, by class 1.00, 1.00
    by the exported file: 0.51, by class 1.00, 0.03
    by the exported file, each id once: 1.00, by class 1.00, 1.00
SEEN
