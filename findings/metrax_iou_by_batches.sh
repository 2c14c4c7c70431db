#!/usr/bin/env bash
# metrax: the IoU of segmentations that is merged over the batches of a test set.
#
# One would guess: merge() adds up pixels, as that of metrax.Dice and of Keras's IoU does, so that the size of the
# batches changes nothing, and perfect predictions have 1; at worst it is a mean over batches, of which each then has 1.
# Seen: with google-metrax 0.2.4 perfect predictions of five classes of defects have 1.00 in batches that hold all five,
# 0.40 in batches of two images and 0.20 in batches of one: each batch counts once, and a class that is neither in it
# nor predicted counts as missed (0 pixels of 0 + 1e-7). Of "defect or not", batches of sound images have 0, so that
# half a test set of sound images costs half of the IoU where they come after the others. It is described as a mean over
# batches; that an absent class has 0 is not said, and nothing warns of it. The IoU of all images as one batch, or of
# pixels that are counted class by class, is the usual one.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import functools

import jax.numpy as jnp
import metrax
import numpy as np

DEFECTS = 5
IMAGES = 10  # two of each defect
images = np.zeros((IMAGES, 32, 32), np.int32)
for number, image in enumerate(images):
    image[10:20, 5:25] = 1 + number % DEFECTS
defect_or_not = np.concatenate([np.minimum(images, 1), 0 * images])  # half of them are sound


def merged(metric, masks, batch):
    batches = [metric(jnp.asarray(masks[start : start + batch])) for start in range(0, len(masks), batch)]
    return float(functools.reduce(lambda one, other: one.merge(other), batches).compute())


def iou(masks):
    classes = jnp.arange(1, DEFECTS + 1)
    return metrax.IoU.from_model_output(masks, masks, num_classes=DEFECTS + 1, target_class_ids=classes)


def iou_of_one(masks):
    return metrax.IoU.from_model_output(masks, masks, num_classes=2, target_class_ids=jnp.array([1]))


def dice(masks):
    return metrax.Dice.from_model_output(1.0 * (masks > 0), 1.0 * (masks > 0))


print("perfect predictions, in batches of")
for name, metric, masks, sizes in (
    ("IoU, five classes of defects", iou, images, (10, 5, 2, 1)),
    ("IoU, defect or not", iou_of_one, defect_or_not, (20, 10, 5, 1)),
    ("Dice, defect or not", dice, defect_or_not, (20, 10, 5, 1)),
):
    print(f"    {name:30}", ", ".join(f"{size}: {merged(metric, masks, size):.2f}" for size in sizes))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    google-metrax==0.2.4 clu==0.0.12 flax==0.12.8 jax==0.10.2 jaxlib==0.10.2
JAX_PLATFORMS=cpu PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" | tee "$scratch/seen"

# Output seen on 2026-11-29.
diff - "$scratch/seen" <<'SEEN'
perfect predictions, in batches of
    IoU, five classes of defects   10: 1.00, 5: 1.00, 2: 0.40, 1: 0.20
    IoU, defect or not             20: 1.00, 10: 0.50, 5: 0.50, 1: 0.50
    Dice, defect or not            20: 1.00, 10: 1.00, 5: 1.00, 1: 1.00
SEEN
