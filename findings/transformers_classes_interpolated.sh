#!/usr/bin/env bash
# transformers: class maps of defects that an image processor brings to a network's size, as for fine-tuning BEiT or
# DPT.
#
# One would guess: a processor takes the nearest pixel of segmentation_maps, whatever it does to the images, as
# SegFormer's does: the labels are those of the map, and 255 stays apart.
# Seen: the processors of BEiT and DPT (Sapiens2's, too) of transformers 5.24.0 resize the map as they do the image,
# bicubically, and cut off the fractions. Along borders there are classes that nobody drew: 2 and 3 between sound
# surface and class 4, 171 or 247 beside pixels of 255, and with do_reduce_labels (0 becomes 255, 1 becomes 0) dozens of
# them, in maps without 255 as well. A loss with ignore_index=255 fails on the large numbers, and learns the small ones
# as they are. So does the backend that uses torchvision; the one that uses Pillow (below) writes, with
# do_reduce_labels, 255 over each 0 of the array that it is given, too, SegFormer's included. Nothing warns. Resizing
# image and map beforehand, and do_resize=False, helps.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/resize.py" <<'PROGRAM'
import numpy as np
from transformers.models.beit.image_processing_pil_beit import BeitImageProcessorPil
from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil
from transformers.models.segformer.image_processing_pil_segformer import SegformerImageProcessorPil

image = np.full((480, 640, 3), 90, np.uint8)
labels = np.zeros((480, 640), np.uint8)
labels[100:300, 150:400] = 1  # a dent
labels[200:400, 450:600] = 4  # a crack
without = labels.copy()
labels[440:] = 255  # not labelled

maps = {"0, 1, 4": without, "0, 1, 4, 255": labels}
for name, classes in maps.items():
    for kind in SegformerImageProcessorPil, BeitImageProcessorPil, DPTImageProcessorPil:
        for reduce in False, True:
            given = classes.copy()
            answer = kind(do_reduce_labels=reduce)(image, segmentation_maps=given, return_tensors="np")["labels"][0]
            found = np.unique(answer)
            said = f"{' '.join(map(str, found))}" if len(found) < 12 else f"{len(found)} classes"
            kept = "" if np.array_equal(given, classes) else f"; the map is now {' '.join(map(str, np.unique(given)))}"
            print(f"{name}: {kind.__name__}{', reduced' * reduce}: {said}{kept}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" transformers==5.24.0 pillow==13.0.0 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/resize.py" 2>/dev/null | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
0, 1, 4: SegformerImageProcessorPil: 0 1 4
0, 1, 4: SegformerImageProcessorPil, reduced: 0 3 255; the map is now 1 4 255
0, 1, 4: BeitImageProcessorPil: 0 1 2 3 4
0, 1, 4: BeitImageProcessorPil, reduced: 32 classes; the map is now 1 4 255
0, 1, 4: DPTImageProcessorPil: 0 1 4
0, 1, 4: DPTImageProcessorPil, reduced: 17 classes; the map is now 1 4 255
0, 1, 4, 255: SegformerImageProcessorPil: 0 1 4 255
0, 1, 4, 255: SegformerImageProcessorPil, reduced: 0 3 255; the map is now 1 4 255
0, 1, 4, 255: BeitImageProcessorPil: 0 1 2 3 4 171 255
0, 1, 4, 255: BeitImageProcessorPil, reduced: 32 classes; the map is now 1 4 255
0, 1, 4, 255: DPTImageProcessorPil: 0 1 4 8 247 255
0, 1, 4, 255: DPTImageProcessorPil, reduced: 17 classes; the map is now 1 4 255
SEEN
