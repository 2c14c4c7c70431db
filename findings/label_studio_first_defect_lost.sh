#!/usr/bin/env bash
# Label Studio's COCO export as the truth of pycocotools' COCOeval.
#
# One would guess: predictions that are the annotations themselves have an average precision of 1 for every class.
# Seen: with label-studio-sdk 2.1.2 and pycocotools 2.0.11 the class of the first annotated defect has 0 where that is
# its only one, and 0.25 where it is one of two; the others have 1. Label Studio numbers annotations from 0. COCOeval
# keeps for each prediction the id of the annotation that it matches, in an array whose zeros mean that there is none,
# so that a match with annotation 0 counts as a false alarm. Nothing warns of it, and COCO's description of its format
# has no lowest id. With 1 added to every id, all classes have 1. The rarer the defect, the more it costs.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/evaluate.py" <<'PROGRAM'
import contextlib
import copy
import io
import json
import sys
from pathlib import Path

from label_studio_sdk.converter import Converter
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

HEIGHT, WIDTH = 100, 200
CONFIG = """<View><Image name="image" value="$image"/><PolygonLabels name="tag" toName="image">
<Label value="crack"/><Label value="spot"/></PolygonLabels></View>"""
POINTS = [[10, 20], [40, 20], [40, 60], [10, 60]]  # percent of width and height


def task(number, label):
    value = {"points": POINTS, "closed": True, "polygonlabels": [label]}
    names = {"id": "a", "type": "polygonlabels", "from_name": "tag", "to_name": "image", "image_rotation": 0}
    result = names | {"original_width": WIDTH, "original_height": HEIGHT, "value": value}
    annotation = {"id": number, "completed_by": 1, "result": [result]}
    return {"id": number, "data": {"image": f"{number}.png"}, "annotations": [annotation]}


def exported(labels, folder):
    folder.mkdir()
    tasks = [task(number, label) for number, label in enumerate(labels, 1)]
    (folder / "tasks.json").write_text(json.dumps(tasks))
    converter = Converter(CONFIG, str(folder), download_resources=False)
    converter.convert(str(folder / "tasks.json"), str(folder / "export"), "COCO", is_dir=False)
    (path,) = (folder / "export").glob("*.json")
    return json.loads(path.read_text())


def average_precision(dataset):
    truth = COCO()
    truth.dataset = copy.deepcopy(dataset)
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        predictions = [
            {name: a[name] for name in ("image_id", "category_id")} | {"segmentation": truth.annToRLE(a), "score": 0.9}
            for a in truth.dataset["annotations"]
        ]
        predicted = truth.loadRes(predictions)
        found = {}
        for category in truth.loadCats(truth.getCatIds()):
            evaluation = COCOeval(truth, predicted, "segm")
            evaluation.params.catIds = [category["id"]]
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            found[category["name"]] = round(float(evaluation.stats[0]), 2)
    return found


for name, labels in {"one crack": "crack spot spot", "two cracks": "crack crack spot"}.items():
    export = exported(labels.split(), Path(sys.argv[1]) / name)
    ids = [annotation["id"] for annotation in export["annotations"]]
    print(f"{name}, ids {ids}: {average_precision(export)}")
    for annotation in export["annotations"]:
        annotation["id"] += 1
    print(f"{name}, from 1 on: {average_precision(export)}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/packages" label-studio-sdk==2.1.2 pycocotools==2.0.11
PYTHONPATH="$scratch/packages" "${PYTHON:-python3}" "$scratch/evaluate.py" "$scratch" | tee "$scratch/seen"

# Output seen on 2026-11-29.
diff - "$scratch/seen" <<'SEEN'
one crack, ids [0, 1, 2]: {'crack': 0.0, 'spot': 1.0}
one crack, from 1 on: {'crack': 1.0, 'spot': 1.0}
two cracks, ids [0, 1, 2]: {'crack': 0.25, 'spot': 1.0}
two cracks, from 1 on: {'crack': 1.0, 'spot': 1.0}
SEEN
