#!/usr/bin/env bash
# torchmetrics: the generalised Dice score of a false alarm on a sound part, in a batch with other parts.
#
# One would guess: GeneralizedDiceScore scores each image by itself, as it is the mean over images; at worst a class
# that the image does not have, whose weight (1 over its squared area) is infinite, takes a weight from the whole batch.
# The order of the images in the batch changes nothing.
# Seen: with torchmetrics 1.9.0 the same false alarm has 0.975 where its image is the first of a batch of four, 0.030
# where it is the second or third, and 0.006 where it is the last, although the three others stay and are right; the
# mean over the batch is between 0.994 and 0.752. Alone it has 0.988. By its source the infinite weight is to become the
# largest that the class has in the batch, which gives 0.030 at all places, but these are laid out class by class and
# the weights image by image: the first images get the background's, which is next to nothing, and the last ones that of
# the last class, here the rarest. With weight_type="simple" it is 0.975, 0.605 and 0.410; "linear" has no such weights.
# One-hot masks and class maps are alike, and nothing warns. That classes which an image lacks have 0 with
# per_class=True is known (issue 2846 of Lightning-AI/torchmetrics, open); of places nothing was found.
#
# Needs Python 3.11 or later; installs PyTorch: 1 GB, or several with the packages for CUDA that pip may choose.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import itertools

import numpy as np
import torch
from torchmetrics.functional.segmentation import generalized_dice_score
from torchmetrics.segmentation import GeneralizedDiceScore

CLASSES = 3
PLACES = ["first", "second", "third", "last"]


def class_map(label=0, top=0, left=0, height=0, width=0):
    pixels = np.zeros((64, 64), np.int64)
    pixels[top : top + height, left : left + width] = label
    return pixels


SOUND, SCRATCH, SPOT = class_map(), class_map(1, 5, 5, 2, 40), class_map(2, 30, 30, 6, 6)
FALSE_ALARM = (class_map(1, 20, 20, 10, 10), SOUND)
OTHERS = [(SCRATCH, SCRATCH), (SOUND, SOUND), (SPOT, SPOT)]


def batches(place):
    for others in itertools.permutations(OTHERS):
        pairs = [*others[:place], FALSE_ALARM, *others[place:]]
        yield [torch.from_numpy(np.stack(maps)) for maps in zip(*pairs)]


def by_numpy(predicted, truth, power):
    areas = np.stack([(truth == label).sum((1, 2)) for label in range(CLASSES)], 1)
    with np.errstate(divide="ignore"):
        weights = 1.0 / areas**power
    largest = np.where(np.isinf(weights), 0, weights).max(0)
    weights = np.where(np.isinf(weights), largest, weights)
    both = np.stack([((truth == label) & (predicted == label)).sum((1, 2)) for label in range(CLASSES)], 1)
    sums = areas + np.stack([(predicted == label).sum((1, 2)) for label in range(CLASSES)], 1)
    return 2 * (weights * both).sum(1) / (weights * sums).sum(1)


for weights, power in {"square": 2, "simple": 1, "linear": 0}.items():
    settings = {"num_classes": CLASSES, "include_background": True, "weight_type": weights, "input_format": "index"}
    for place, name in enumerate(PLACES):
        scores, others, means, hot, numpy = set(), set(), set(), set(), set()
        for predicted, truth in batches(place):
            found = generalized_dice_score(predicted, truth, **settings)
            scores.add(round(found[place].item(), 3))
            others.update(round(found[other].item(), 3) for other in range(4) if other != place)
            metric = GeneralizedDiceScore(**settings)
            metric.update(predicted, truth)
            means.add(round(metric.compute().item(), 3))
            maps = [torch.nn.functional.one_hot(m, CLASSES).movedim(-1, 1) for m in (predicted, truth)]
            found = generalized_dice_score(*maps, **settings | {"input_format": "one-hot"})
            hot.add(round(found[place].item(), 3))
            numpy.add(round(float(by_numpy(predicted.numpy(), truth.numpy(), power)[place]), 3))
        assert hot == scores, (hot, scores)
        print(f"{weights}, {name}: {sorted(scores)}, others {sorted(others)}, mean {sorted(means)};", end=" ")
        print(f"by NumPy {sorted(numpy)}")
    alone = generalized_dice_score(*(torch.from_numpy(m[None]) for m in FALSE_ALARM), **settings)
    print(f"{weights}, alone: {alone.item():.3f}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" torchmetrics==1.9.0 torch==2.13.0 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" | tee "$scratch/seen"

# Output seen on 2026-11-30: the score of the false alarm, of the right images beside it and of the batch, in all orders
# of these.
diff - "$scratch/seen" <<'SEEN'
square, first: [0.975], others [1.0], mean [0.994]; by NumPy [0.03]
square, second: [0.03], others [1.0], mean [0.757]; by NumPy [0.03]
square, third: [0.03], others [1.0], mean [0.757]; by NumPy [0.03]
square, last: [0.006], others [1.0], mean [0.752]; by NumPy [0.03]
square, alone: 0.988
simple, first: [0.975], others [1.0], mean [0.994]; by NumPy [0.605]
simple, second: [0.605], others [1.0], mean [0.901]; by NumPy [0.605]
simple, third: [0.605], others [1.0], mean [0.901]; by NumPy [0.605]
simple, last: [0.41], others [1.0], mean [0.853]; by NumPy [0.605]
simple, alone: 0.988
linear, first: [0.976], others [1.0], mean [0.994]; by NumPy [0.976]
linear, second: [0.976], others [1.0], mean [0.994]; by NumPy [0.976]
linear, third: [0.976], others [1.0], mean [0.994]; by NumPy [0.976]
linear, last: [0.976], others [1.0], mean [0.994]; by NumPy [0.976]
linear, alone: 0.976
SEEN
