#!/usr/bin/env bash
# transformers: the defects that a network of instances found, asked for as COCO annotations
# (post_process_instance_segmentation with return_coco_annotation=True).
#
# One would guess: a list of runs for every segment, in COCO's uncompressed form, as the docstring says ("COCO
# run-length encoding (RLE) format"): lengths of runs of 0 and 1 in turn, down the columns; {"counts": runs, "size":
# [height, width]} goes into a file of annotations or results. Segments may overlap, for which the docstring says to
# set this.
# Seen: with transformers 5.24.0 none of it holds. The numbers are pairs of a start (from 1) and a length, along the
# rows; the first list is the image without its defects, so that there is one list more than segments_info, each a place
# late; and as the lists are made of one map, one defect (the scratch, here) has cut what it crosses (the spot). A list
# given to pycocotools is at best refused, where its numbers come to more than the image has pixels.
# return_binary_maps=True gives whole masks, which pycocotools encodes. MaskFormer is run below; Mask2Former, OneFormer,
# DETR and Conditional DETR make such lists too.
#
# Needs Python 3.11 or later; installs PyTorch: 1 GB, or several with the packages for CUDA that pip may choose.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/runs.py" <<'PROGRAM'
import importlib

import numpy as np
import torch
from pycocotools import mask as coco
from transformers.models.maskformer.image_processing_pil_maskformer import MaskFormerImageProcessorPil
from transformers.models.maskformer.modeling_maskformer import MaskFormerForInstanceSegmentationOutput

SHAPE = 6, 10
scratch, spot, hole = (np.zeros(SHAPE, np.uint8) for _ in range(3))
scratch[1, 1:9] = 1
spot[0:3, 4:6] = 1
hole[4, 7] = 1
defects = {"scratch": scratch, "spot": spot, "hole": hole}


def coco_runs(mask):
    """Lengths of runs of 0 and 1 in turn, down the columns."""
    pixels = np.concatenate([[0], mask.ravel("F"), [0]])
    turns = np.flatnonzero(np.diff(pixels)).tolist()
    return [end - start for start, end in zip([0, *turns], [*turns, mask.size]) if end > start or start == 0]


def from_pairs(numbers):
    """Starts, from 1, and lengths, along the rows."""
    mask = np.zeros(SHAPE, np.uint8)
    for start, length in zip(numbers[::2], numbers[1::2]):
        mask.reshape(-1)[start - 1 : start - 1 + length] = 1
    return mask


print("COCO's runs")
for name, mask in defects.items():
    runs = coco_runs(mask)
    decoded = coco.decode(coco.frPyObjects({"counts": runs, "size": list(SHAPE)}, *SHAPE))
    print(f"  {name}: {runs}, together {sum(runs)}; pycocotools reads the mask: {np.array_equal(decoded, mask)}")

classes = torch.full((1, 3, len(defects) + 1), -10.0)
classes[0, range(3), range(3)] = torch.tensor([10.0, 9.0, 8.0])
masks = torch.tensor(np.stack(list(defects.values())))[None] * 20.0 - 10
found = MaskFormerForInstanceSegmentationOutput(class_queries_logits=classes, masks_queries_logits=masks)
processor = MaskFormerImageProcessorPil()
asked = {"outputs": found, "target_sizes": [SHAPE], "threshold": 0.5}
whole = processor.post_process_instance_segmentation(return_binary_maps=True, **asked)[0]
print("return_binary_maps, pixels:", sorted(int(mask.sum()) for mask in whole["segmentation"]))
result = processor.post_process_instance_segmentation(return_coco_annotation=True, **asked)[0]
print(f"return_coco_annotation: {len(result['segments_info'])} segments, {len(result['segmentation'])} lists")
names = {index: name for index, name in enumerate(defects)}
segments = [names[segment["label_id"]] for segment in result["segments_info"]]
for position, numbers in enumerate(result["segmentation"]):
    pixels = from_pairs(numbers)
    own = [name for name, mask in defects.items() if (pixels & mask).any() and not (pixels & (1 - mask)).any()]
    expected = segments[position] if position < len(segments) else "no segment"
    numbers = [int(number) for number in numbers]
    print(f"  {numbers}: {pixels.sum()} pixels of {own or 'no defect'}, at the place of {expected}")

class_map = torch.tensor(scratch.astype(np.int64) - 1)
kinds = {}
for kind in "maskformer", "mask2former", "oneformer", "detr", "conditional_detr":
    module = importlib.import_module(f"transformers.models.{kind}.image_processing_pil_{kind}")
    lists = [[int(number) for number in numbers] for numbers in module.convert_segmentation_to_rle(class_map)]
    kinds.setdefault(str(lists), []).append(kind)
for lists, alike in kinds.items():
    print(f"the scratch alone: {lists} from {', '.join(alike)}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    transformers==5.24.0 torch==2.13.0 pycocotools==2.0.11 pillow==13.0.0 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/runs.py" 2>/dev/null | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
COCO's runs
  scratch: [7, 1, 5, 1, 5, 1, 5, 1, 5, 1, 5, 1, 5, 1, 5, 1, 10], together 60; pycocotools reads the mask: True
  spot: [24, 3, 3, 3, 27], together 60; pycocotools reads the mask: True
  hole: [46, 1, 13], together 60; pycocotools reads the mask: True
return_binary_maps, pixels: [1, 6, 8]
return_coco_annotation: 3 segments, 4 lists
  [1, 4, 7, 5, 20, 5, 27, 21, 49, 12]: 47 pixels of no defect, at the place of spot
  [5, 2, 25, 2]: 4 pixels of ['spot'], at the place of hole
  [48, 1]: 1 pixels of ['hole'], at the place of scratch
  [12, 8]: 8 pixels of ['scratch'], at the place of no segment
the scratch alone: [[1, 11, 20, 41], [12, 8]] from maskformer, mask2former, oneformer, detr, conditional_detr
SEEN
