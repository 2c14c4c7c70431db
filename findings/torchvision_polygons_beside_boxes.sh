#!/usr/bin/env bash
# torchvision: defects as polygons or points (KeyPoints), as boxes and as masks, flipped, turned and resized with their
# image by transforms.v2.
#
# One would guess: all stay where the defect is, in every transform: a polygon with the corners of a box is flipped as
# the box is; or, if KeyPoints counts from pixels' centres rather than from their corners (its documentation says
# neither), then in every transform too, and two flips are half a turn.
# Seen: with torchvision 0.29.1 and PyTorch 2.14.1, flips take whole numbers for pixels' centres (x becomes W - 1 - x),
# and all that turns, resizes or warps takes them for pixels' corners, as boxes do. So a polygon that lies on its defect
# is a pixel off after a flip, and on it after a turn; and a point given by its pixel's row and column is on it after a
# flip, and a pixel off after a turn, or 3.5 where the image is made 8 times as large. Two flips, one each way, and half
# a turn give the same image, and polygons a pixel apart in x and y: a pipeline that draws one or the other labels its
# images in two ways. elastic() takes whole pixels only: one without displacement moves a point at 20.75 to 20. Boxes
# and masks are right in all of them. Nothing warns; KeyPoints has been called beta since 0.23, and no issue was found
# about it (issue 529 of albumentations-team/AlbumentationsX is about the like there).
#
# Needs Python 3.11 or later; installs PyTorch: 1 GB, or several with the packages for CUDA that pip may choose.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

SIZE = HEIGHT, WIDTH = 60, 80
LEFT, TOP, RIGHT, BOTTOM = 20, 10, 30, 25
CORNERS = torch.tensor([[LEFT, TOP], [RIGHT, TOP], [RIGHT, BOTTOM], [LEFT, BOTTOM]], dtype=torch.float64)
TRANSFORMS = {
    "as it is": lambda inputs: inputs,
    "flipped left to right": F.horizontal_flip,
    "flipped upside down": F.vertical_flip,
    "flipped both ways": lambda inputs: F.vertical_flip(F.horizontal_flip(inputs)),
    "turned by 180 degrees": lambda inputs: F.rotate(inputs, 180),
    "turned by 90 degrees": lambda inputs: F.rotate(inputs, 90, expand=True),
    "turned by an affine map": lambda inputs: F.affine(inputs, 180, [5, 3], 1, [0, 0]),
    "8 times as large": lambda inputs: F.resize(inputs, [8 * HEIGHT, 8 * WIDTH]),
    "cropped": lambda inputs: F.crop(inputs, 5, 15, 40, 50),
}


def points(places):
    return tv_tensors.KeyPoints(places, canvas_size=SIZE)


def extent(places):
    places = np.asarray(places).reshape(-1, 2)
    return (*places.min(0), *places.max(0))


def told(numbers):
    return " ".join(f"{number:g}" for number in numbers)


mask = torch.zeros(1, *SIZE, dtype=torch.uint8)
mask[0, TOP:BOTTOM, LEFT:RIGHT] = 1
mask = tv_tensors.Mask(mask)
box = tv_tensors.BoundingBoxes(torch.tensor([[LEFT, TOP, RIGHT, BOTTOM]]), format="XYXY", canvas_size=SIZE)
pixel = torch.zeros(1, *SIZE, dtype=torch.uint8)
pixel[0, TOP, LEFT] = 1
pixel = tv_tensors.Mask(pixel)

print("left, top, right and bottom of a defect, and a pixel's column and row less those of its point")
for name, transform in TRANSFORMS.items():
    rows, columns = np.nonzero(np.asarray(transform(mask))[0])
    of_mask = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    of_box = extent(transform(box))
    of_polygon = extent(transform(points(CORNERS)))
    rows, columns = np.nonzero(np.asarray(transform(pixel))[0])
    point = np.asarray(transform(points(CORNERS[:1])))[0]
    off = columns.mean() - point[0], rows.mean() - point[1]
    assert np.allclose(of_mask, of_box)
    print(f"{name}: mask and box {told(of_mask)}; polygon {told(of_polygon)}; pixel {told(np.round(off, 6) + 0.0)}")

image = torch.arange(HEIGHT * WIDTH).reshape(1, HEIGHT, WIDTH).to(torch.float32)
flipped, turned = (TRANSFORMS[name](image) for name in ("flipped both ways", "turned by 180 degrees"))
print("an image flipped both ways is the one turned by 180 degrees:", torch.equal(flipped, turned))
still = F.elastic(points(torch.tensor([[20.75, 10.25]])), torch.zeros(1, *SIZE, 2))
print("a point at 20.75, 10.25 after an elastic transform by nothing:", told(np.asarray(still)[0]))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" torchvision==0.29.1 torch==2.14.1 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" | tee "$scratch/seen"

# Output seen on 2026-12-01.
diff - "$scratch/seen" <<'SEEN'
left, top, right and bottom of a defect, and a pixel's column and row less those of its point
as it is: mask and box 20 10 30 25; polygon 20 10 30 25; pixel 0 0
flipped left to right: mask and box 50 10 60 25; polygon 49 10 59 25; pixel 0 0
flipped upside down: mask and box 20 35 30 50; polygon 20 34 30 49; pixel 0 0
flipped both ways: mask and box 50 35 60 50; polygon 49 34 59 49; pixel 0 0
turned by 180 degrees: mask and box 50 35 60 50; polygon 50 35 60 50; pixel -1 -1
turned by 90 degrees: mask and box 10 50 25 60; polygon 10 50 25 60; pixel 0 -1
turned by an affine map: mask and box 55 38 65 53; polygon 55 38 65 53; pixel -1 -1
8 times as large: mask and box 160 80 240 200; polygon 160 80 240 200; pixel 3.5 3.5
cropped: mask and box 5 5 15 20; polygon 5 5 15 20; pixel 0 0
an image flipped both ways is the one turned by 180 degrees: True
a point at 20.75, 10.25 after an elastic transform by nothing: 20 10
SEEN
