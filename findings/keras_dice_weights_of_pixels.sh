#!/usr/bin/env bash
# Keras: Dice and Tversky losses with weights of pixels, of which those without a label have none.
#
# One would guess: sample_weight=0 takes a pixel out of the loss, as in Keras' other losses and its metrics; or weights
# that have the masks' shape are refused by a loss that is one number for an image or a batch.
# Seen: with Keras 3.15.1 (JAX backend) Dice and Tversky are computed of all pixels, and only their result is multiplied
# by the weights and averaged. A map that is right wherever there is a label has a loss of 0.36 instead of 0 (here as
# much as one that is wrong at each of these pixels, as the halves mirror each other), and its gradient where there is
# no label is not 0: the network is trained on what was to be left out. Half of the pixels without a label halve the
# loss. With one number for each image (axis=(1, 2, 3)) it is the same; with reduction="mean_with_sample_weight", which
# divides by the sum of the weights, a loss that cannot be above 1 is 1.45. With the default axis=None a weight of 0
# does not take out a whole image either. Nothing warns. What one means is to multiply masks and maps by the weights
# before the loss.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/weigh.py" <<'PROGRAM'
import jax
import keras
import numpy as np

truth = np.zeros((2, 16, 16, 1), np.float32)
truth[:, 2:6, 2:14] = 1
labelled = np.ones_like(truth)
labelled[:, :, 8:] = 0  # the right half has no label
right = np.where(labelled > 0, truth, 1 - truth)  # right where there is a label, wrong elsewhere
wrong = 1 - right

LOSSES = {
    "binary crossentropy": keras.losses.BinaryCrossentropy(),
    "binary focal crossentropy": keras.losses.BinaryFocalCrossentropy(),
    "mean squared error": keras.losses.MeanSquaredError(),
    "Dice": keras.losses.Dice(),
    "Tversky": keras.losses.Tversky(),
    "Dice, by images": keras.losses.Dice(axis=(1, 2, 3)),
    "the same, mean by weights": keras.losses.Dice(axis=(1, 2, 3), reduction="mean_with_sample_weight"),
}
for name, loss in LOSSES.items():
    losses = (float(loss(truth, prediction, sample_weight=labelled)) for prediction in (right, wrong))
    gradient = jax.grad(lambda maps, loss=loss: loss(truth, maps, sample_weight=labelled))(0.1 + 0.8 * right)
    elsewhere = float(np.abs(gradient * (1 - labelled)).sum())
    print(f"{name + ':':27}" + "right {:.2f}, wrong {:.2f}".format(*losses) + f"; gradient elsewhere {elsewhere:.2f}")

dice = keras.losses.Dice()
print(f"Dice of what is labelled:  right {float(dice(truth * labelled, right * labelled)):.2f}", end=", ")
print(f"wrong {float(dice(truth * labelled, wrong * labelled)):.2f}")

one_wrong = np.stack([truth[0], 1 - truth[1]])
for name, loss in {"Dice": dice, "Dice, by images": LOSSES["Dice, by images"]}.items():
    values = (float(loss(truth, one_wrong, sample_weight=np.array(weights))) for weights in ([1.0, 0.0], [1.0, 1.0]))
    print(f"{name}, the second of two images wrong: " + "weights 1 and 0 {:.2f}, 1 and 1 {:.2f}".format(*values))

for metric in keras.metrics.BinaryIoU([1]), keras.metrics.Precision(), keras.metrics.AUC():
    metric.update_state(truth, right, sample_weight=labelled)
    print(f"metric {metric.name}: right {float(metric.result()):.2f}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    keras==3.15.1 jax==0.10.2 jaxlib==0.10.2 numpy==2.3.4
KERAS_BACKEND=jax JAX_PLATFORMS=cpu PYTHONPATH="$scratch/site" \
    "${PYTHON:-python3}" -W ignore "$scratch/weigh.py" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
binary crossentropy:       right 0.00, wrong 7.99; gradient elsewhere 0.00
binary focal crossentropy: right 0.00, wrong 7.99; gradient elsewhere 0.00
mean squared error:        right 0.00, wrong 0.50; gradient elsewhere 0.00
Dice:                      right 0.36, wrong 0.36; gradient elsewhere 0.20
Tversky:                   right 0.36, wrong 0.36; gradient elsewhere 0.20
Dice, by images:           right 0.36, wrong 0.36; gradient elsewhere 0.20
the same, mean by weights: right 1.45, wrong 1.45; gradient elsewhere 0.79
Dice of what is labelled:  right 0.00, wrong 1.00
Dice, the second of two images wrong: weights 1 and 0 0.36, 1 and 1 0.73
Dice, by images, the second of two images wrong: weights 1 and 0 0.00, 1 and 1 0.50
metric binary_io_u: right 1.00
metric precision: right 1.00
metric auc: right 1.00
SEEN
