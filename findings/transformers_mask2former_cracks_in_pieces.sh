#!/usr/bin/env bash
# transformers: cracks that Mask2Former found, taken from its masks' logits to the image's size
# (post_process_instance_segmentation, return_binary_maps=True).
#
# One would guess: the logits are interpolated to target_sizes and compared with 0, or are left alone where they have
# that size; a crack that is whole in the logits is whole in the result.
# Seen: transformers 5.24.0 interpolates them to 384 x 384 whatever the sizes of logits and image (a feature request,
# issue 44901 there, is about that number), compares with 0 there, and repeats or drops pixels from there to the image.
# A crack one pixel wide in logits of 256 x 256, of a network that sees 1024 x 1024, is in 52 pieces, for it is below 0
# in places of the larger grid; one in logits of 512 x 512 as well, for the smaller grid passes over half of it. One
# two pixels wide there stays whole, but loses a tenth and is half a pixel off: an IoU of 0.68. Scores are 0.98 and
# more, and nothing warns. Bilinear interpolation by hand and MaskFormer's processor give one piece each.
# post_process_semantic_segmentation goes by 384 x 384 too, but interpolates once more from there. Taking
# masks_queries_logits to the image's size by oneself helps.
#
# Needs Python 3.11 or later; installs PyTorch: 1 GB, or several with the packages for CUDA that pip may choose.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/crack.py" <<'PROGRAM'
import numpy as np
import torch
from scipy import ndimage
from transformers.models.mask2former.image_processing_pil_mask2former import Mask2FormerImageProcessorPil
from transformers.models.mask2former.modeling_mask2former import Mask2FormerForUniversalSegmentationOutput
from transformers.models.maskformer.image_processing_pil_maskformer import MaskFormerImageProcessorPil
from transformers.models.maskformer.modeling_maskformer import MaskFormerForInstanceSegmentationOutput

KINDS = {
    MaskFormerImageProcessorPil: MaskFormerForInstanceSegmentationOutput,
    Mask2FormerImageProcessorPil: Mask2FormerForUniversalSegmentationOutput,
}


def crack(side, width):
    """Logits of an oblique line."""
    columns = np.arange(side)
    logits = np.full((side, side), -10.0, np.float32)
    for row in range(width):
        logits[(0.2 * side + 0.3 * columns).astype(int) + row, columns] = 10
    return torch.tensor(logits)[None, None]


def told(mask, expected):
    pieces = ndimage.label(mask, np.ones((3, 3)))[1]
    iou = np.logical_and(mask, expected).sum() / np.logical_or(mask, expected).sum()
    rows = np.arange(len(mask))[:, None]
    both = mask.any(axis=0) & expected.any(axis=0)
    middles = [(one * rows).sum(axis=0)[both] / one.sum(axis=0)[both] for one in (mask, expected)]
    shift = np.median(middles[0] - middles[1])
    return f"pieces {pieces}, {mask.sum() / expected.sum():.2f} of the pixels, IoU {iou:.2f}, rows off by {shift:.1f}"


for side, target, width in (256, 1024, 1), (512, 2048, 1), (512, 2048, 2):
    logits = crack(side, width)
    interpolated = torch.nn.functional.interpolate(logits, size=(target, target), mode="bilinear")
    expected = (interpolated[0, 0] > 0).numpy()
    print(f"crack {width} wide in logits of {side} x {side}, image of {target} x {target}: {told(expected, expected)}")
    for kind, output in KINDS.items():
        classes = torch.tensor([[[10.0, -10.0]]])
        found = output(class_queries_logits=classes, masks_queries_logits=logits)
        options = {"target_sizes": [(target, target)], "return_binary_maps": True}
        result = kind().post_process_instance_segmentation(found, **options)[0]
        mask = result["segmentation"][0].numpy() > 0
        print(f"  {kind.__name__}: {told(mask, expected)}, score {result['segments_info'][0]['score']:.2f}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    transformers==5.24.0 torch==2.13.0 scipy==1.17.1 pillow==13.0.0 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/crack.py" 2>/dev/null | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
crack 1 wide in logits of 256 x 256, image of 1024 x 1024: pieces 1, 1.00 of the pixels, IoU 1.00, rows off by 0.0
  MaskFormerImageProcessorPil: pieces 1, 1.04 of the pixels, IoU 0.96, rows off by 0.0, score 1.00
  Mask2FormerImageProcessorPil: pieces 52, 0.60 of the pixels, IoU 0.58, rows off by 0.5, score 0.99
crack 1 wide in logits of 512 x 512, image of 2048 x 2048: pieces 1, 1.00 of the pixels, IoU 1.00, rows off by 0.0
  MaskFormerImageProcessorPil: pieces 1, 1.04 of the pixels, IoU 0.96, rows off by 0.0, score 1.00
  Mask2FormerImageProcessorPil: pieces 52, 0.63 of the pixels, IoU 0.36, rows off by 0.5, score 1.00
crack 2 wide in logits of 512 x 512, image of 2048 x 2048: pieces 1, 1.00 of the pixels, IoU 1.00, rows off by 0.0
  MaskFormerImageProcessorPil: pieces 1, 1.00 of the pixels, IoU 0.96, rows off by 0.0, score 1.00
  Mask2FormerImageProcessorPil: pieces 1, 0.90 of the pixels, IoU 0.68, rows off by 0.5, score 0.98
SEEN
