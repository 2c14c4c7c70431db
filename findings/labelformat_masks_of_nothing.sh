#!/usr/bin/env bash
# labelformat: pairs of images and defect masks (its format "maskpair") converted to polygons of COCO or of YOLO.
#
# One would guess: the polygon of a mask, drawn by pycocotools or OpenCV, is the mask but for its edge, half a pixel
# narrower all around if its corners are pixels' centres, and without holes, as labelformat says.
# Seen: with labelformat 0.1.17 pycocotools 2.0.11 draws nothing: a spot of 305 pixels, a thick scratch of 210 and a
# ring have 0 each. OpenCV, Pillow and scikit-image draw the outline and leave the inside empty, 56 pixels of the spot's
# 305. The tracer goes round the defect twice before it stops, so that each corner is in the polygon twice, in the same
# order, and all inside is crossed an even number of times, which is outside by the rule that these go by. Perfect
# predictions have an average precision of 0. A picture of the outlines looks right, and the boxes are, but for a pixel.
# shapely calls the polygons invalid and gives the area twice over. The file for YOLO has the same corners. Nothing
# warns, and no issue was found that says so. The first half of the corners is the polygon that one would guess (of the
# ring, with its hole filled); segmentation_type="rle" has the pixels, though as a crowd (see
# coco_masks_exported_as_crowd.sh).
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/convert.py" <<'PROGRAM'
import contextlib
import io
import json
import pathlib
import sys

import cv2
import numpy as np
import shapely
import skimage.draw
from labelformat.formats import (
    COCOInstanceSegmentationOutput,
    MaskPairInstanceSegmentationInput,
    YOLOv8InstanceSegmentationOutput,
)
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

FOLDER = pathlib.Path(sys.argv[1])
SHAPE = HEIGHT, WIDTH = 96, 128
rows, columns = np.mgrid[:HEIGHT, :WIDTH]
DEFECTS = {
    "spot": np.hypot(rows - 30, columns - 30) < 10,
    "ring": abs(np.hypot(rows - 30, columns - 90) - 12) < 3,
    "scratch": (rows >= 70) & (rows < 73) & (columns >= 20) & (columns < 90),
}


def by_pycocotools(corners):
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects([corners.ravel().tolist()], *SHAPE)))


def by_opencv(corners):
    return cv2.fillPoly(np.zeros(SHAPE, np.uint8), [corners.astype(np.int32)], 1)


def by_pillow(corners):
    image = Image.new("L", (WIDTH, HEIGHT))
    ImageDraw.Draw(image).polygon([tuple(corner) for corner in corners], fill=1, outline=1)
    return np.asarray(image)


def by_skimage(corners):
    return skimage.draw.polygon2mask(SHAPE, corners[:, ::-1])


DRAWN = {"pycocotools": by_pycocotools, "OpenCV": by_opencv, "Pillow": by_pillow, "scikit-image": by_skimage}


def tell(name, corners):
    pixels = ", ".join(f"{reader} {int(draw(corners).sum())}" for reader, draw in DRAWN.items())
    shape = shapely.Polygon(corners)
    valid = "valid" if shape.is_valid else "not valid"
    print(f"{name}: {len(corners)} corners; {pixels}; area {shape.area:.0f} by shapely, {valid}")


for part in "images", "masks":
    (FOLDER / part).mkdir()
    for name, mask in DEFECTS.items():
        Image.fromarray(mask.astype(np.uint8) * 255).save(FOLDER / part / f"{name}.png")


def pairs(**settings):
    return MaskPairInstanceSegmentationInput(
        "images/*.png", "masks/*.png", FOLDER, category_names="defect", **settings
    )


def convert(**settings):
    COCOInstanceSegmentationOutput(FOLDER / "coco.json").save(pairs(**settings))
    return json.loads((FOLDER / "coco.json").read_text())


coco = convert()
names = {image["id"]: pathlib.Path(image["file_name"]).stem for image in coco["images"]}
for annotation in coco["annotations"]:
    name = names[annotation["image_id"]]
    corners = np.reshape(annotation["segmentation"][0], (-1, 2))
    half = len(corners) // 2
    print(f"{name}: {DEFECTS[name].sum()} pixels, second half as the first: {(corners[:half] == corners[half:]).all()}")
    tell("    as converted", corners)
    tell("    its first half", corners[:half])
for image in convert(segmentation_type="rle")["annotations"]:
    runs = coco_mask.frPyObjects(image["segmentation"], *SHAPE)
    same = np.array_equal(coco_mask.decode(runs), DEFECTS[names[image["image_id"]]])
    print(f"as run lengths, the {names[image['image_id']]} is the mask: {same}")

YOLOv8InstanceSegmentationOutput(FOLDER / "yolo.yaml", "train").save(pairs())
for label in sorted((FOLDER / "labels").glob("*.txt")):
    numbers = [float(word) for word in label.read_text().split()[1:]]
    corners = np.rint(np.reshape(numbers, (-1, 2)) * [WIDTH, HEIGHT])
    print(f"YOLO, {label.stem}: OpenCV draws {int(by_opencv(corners).sum())} pixels")

for number, annotation in enumerate(coco["annotations"], 1):
    annotation.update(id=number, area=float(DEFECTS[names[annotation["image_id"]]].sum()))
results = []
for image, name in names.items():
    runs = coco_mask.encode(np.asfortranarray(DEFECTS[name].astype(np.uint8)))
    results.append({"image_id": image, "category_id": 0, "segmentation": runs, "score": 1.0})
with contextlib.redirect_stdout(io.StringIO()):
    truth = COCO()
    truth.dataset = coco
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(results), "segm")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
precision, coarse = evaluation.stats[:2]
print(f"average precision of the masks themselves: {precision:.2f}, at an IoU of 0.5: {coarse:.2f}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" labelformat==0.1.17 pycocotools==2.0.11 \
    opencv-python-headless==4.14.0.94 pillow==12.3.0 scikit-image==0.26.0 shapely==2.1.2 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/convert.py" "$scratch" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
ring: 444 pixels, second half as the first: True
    as converted: 168 corners; pycocotools 0, OpenCV 84, Pillow 84, scikit-image 84; area 1308 by shapely, not valid
    its first half: 84 corners; pycocotools 654, OpenCV 697, Pillow 697, scikit-image 697; area 654 by shapely, valid
scratch: 210 pixels, second half as the first: True
    as converted: 284 corners; pycocotools 0, OpenCV 142, Pillow 142, scikit-image 142; area 276 by shapely, not valid
    its first half: 142 corners; pycocotools 138, OpenCV 210, Pillow 210, scikit-image 210; area 138 by shapely, valid
spot: 305 pixels, second half as the first: True
    as converted: 112 corners; pycocotools 0, OpenCV 56, Pillow 56, scikit-image 56; area 552 by shapely, not valid
    its first half: 56 corners; pycocotools 276, OpenCV 305, Pillow 305, scikit-image 305; area 276 by shapely, valid
as run lengths, the ring is the mask: True
as run lengths, the scratch is the mask: True
as run lengths, the spot is the mask: True
YOLO, ring: OpenCV draws 84 pixels
YOLO, scratch: OpenCV draws 142 pixels
YOLO, spot: OpenCV draws 56 pixels
average precision of the masks themselves: 0.00, at an IoU of 0.5: 0.00
SEEN
