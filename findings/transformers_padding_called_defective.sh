#!/usr/bin/env bash
# transformers: a batch of images of unlike shapes for MaskFormer or Mask2Former, with a number for pixels without
# label.
#
# One would guess: mask_labels, the masks of the classes that the network is trained with, are 0 or 1; where a smaller
# image is padded they are 0, and pixels of ignore_index (255) are in none of them.
# Seen: with transformers 5.24.0 the second holds, but the padding of each class's mask has the value of ignore_index:
# 255 where a mask is 1 at most, since the masks are padded after they were made of the class map. The losses take it
# for a target, and do not look at pixel_mask: the right answer has a cross-entropy of 850 and a Dice loss of 1, and the
# one that calls the padding defective, for every class, -847 and -0.99, so that the network learns that and not much
# else. Both processors do so, with Pillow (below) as with torchvision. Images of one shape, and ignore_index=0, have no
# such masks, and nothing warns. Cropping all images to one shape beforehand, or `masks[masks > 1] = 0`, helps.
#
# Needs Python 3.11 or later; installs PyTorch: 1 GB, or several with the packages for CUDA that pip may choose.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/pad.py" <<'PROGRAM'
import numpy as np
import torch
from transformers.models.mask2former.image_processing_pil_mask2former import Mask2FormerImageProcessorPil
from transformers.models.mask2former.modeling_mask2former import dice_loss, sigmoid_cross_entropy_loss
from transformers.models.maskformer.image_processing_pil_maskformer import MaskFormerImageProcessorPil


def plate(height, width):
    """A class map: a defect, and a strip without label."""
    classes = np.zeros((height, width), np.uint8)
    classes[height // 3 : height // 2, width // 4 : width // 2] = 1
    classes[-20:-10] = 255
    return classes


maps = [plate(480, 640), plate(640, 480)]
images = [np.stack([classes * 100 % 200] * 3, axis=-1) for classes in maps]
for kind in Mask2FormerImageProcessorPil, MaskFormerImageProcessorPil:
    for ignore_index in 0, 255:
        processor = kind(size={"shortest_edge": 128, "longest_edge": 256}, ignore_index=ignore_index)
        batch = processor(images, segmentation_maps=maps, return_tensors="pt")
        found = [sorted(masks.unique().tolist()) for masks in batch["mask_labels"]]
        classes = batch["class_labels"][0].tolist()
        print(f"{kind.__name__}, ignore_index {ignore_index}: classes {classes}, values {found}")

defect = batch["mask_labels"][0][1].flatten()[None]
padding = batch["pixel_mask"][0].flatten()[None] == 0
answers = {
    "the defect": defect == 1,
    "the defect and the padding": (defect == 1) | padding,
    "nothing": torch.zeros_like(padding),
    "everything": torch.ones_like(padding),
}
print("losses of the first image's defect")
for answer, called in answers.items():
    logits = torch.where(called, 10.0, -10.0)
    losses = sigmoid_cross_entropy_loss(logits, defect, 1).item(), dice_loss(logits, defect, 1).item()
    print(f"  {answer}: cross-entropy {losses[0]:.0f}, Dice {losses[1]:.2f}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    transformers==5.24.0 torch==2.13.0 pillow==13.0.0 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/pad.py" 2>/dev/null | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
Mask2FormerImageProcessorPil, ignore_index 0: classes [1, 255], values [[0.0, 1.0], [0.0, 1.0]]
Mask2FormerImageProcessorPil, ignore_index 255: classes [0, 1], values [[0.0, 1.0, 255.0], [0.0, 1.0, 255.0]]
MaskFormerImageProcessorPil, ignore_index 0: classes [1, 255], values [[0.0, 1.0], [0.0, 1.0]]
MaskFormerImageProcessorPil, ignore_index 255: classes [0, 1], values [[0.0, 1.0, 255.0], [0.0, 1.0, 255.0]]
losses of the first image's defect
  the defect: cross-entropy 850, Dice 1.00
  the defect and the padding: cross-entropy -847, Dice -0.99
  nothing: cross-entropy 850, Dice 1.00
  everything: cross-entropy -840, Dice -0.98
SEEN
