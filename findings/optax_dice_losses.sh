#!/usr/bin/env bash
# optax: its Dice losses, for masks without an axis of classes, and where a class does not occur in the batch.
#
# One would guess: dice_loss takes logits and masks [B, H, W] as it takes [B, H, W, 1], since its documentation gives
# both shapes for binary segmentation; and multiclass_generalized_dice_loss, which is to help with rare classes, gives
# one that does not occur at all little or no weight, so that a missed defect of another class costs as much as without
# it.
# Seen: with optax 0.2.8, dice_loss of a perfect prediction is 0 with the last axis of one and 0.45 without it: where
# both arrays have as many axes, the last one is taken for the classes, with a softmax over the columns
# (binary_dice_loss adds the axis). A class of which the batch has no pixel is given nearly all the weight there is (1 /
# (0 + 1e-7) beside 1 / pixels**2 of the others, brought to a sum of the number of classes), so that only its own Dice
# counts: to miss all defects of another class, or to take defects for background and background for defects, costs
# 4e-6, as a perfect prediction does, where it is 0.98 and 1.00 for the same images without the absent class. Its
# gradient pushes the absent class down, as much under the defect as elsewhere, and nothing else. Batches of few images
# with several kinds of defects lack a class most of the time.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import jax
import jax.numpy as jnp
import numpy as np
import optax

BACKGROUND, DEFECT, ABSENT = range(3)
classes = np.zeros((2, 64, 64), int)
classes[0, 10:20, 10:40] = classes[1, 30:40, 5:15] = DEFECT


def logits(of):
    return 20.0 * jax.nn.one_hot(of, 3)


mask = jnp.asarray(classes == DEFECT, jnp.float32)
perfect = 40 * mask - 20
print("dice_loss of a perfect prediction")
print(f"    [B, H, W, 1]  {optax.losses.dice_loss(perfect[..., None], mask[..., None]).mean():.2f}")
print(f"    [B, H, W]     {optax.losses.dice_loss(perfect, mask).mean():.2f}")

truth = jax.nn.one_hot(classes, 3)
print("multiclass_generalized_dice_loss, with and without the class that does not occur")
predictions = {"perfect": classes, "all defects missed": 0 * classes, "exchanged": 1 - classes}
for name, predicted in predictions.items():
    three = optax.losses.multiclass_generalized_dice_loss(logits(predicted), truth)
    two = optax.losses.multiclass_generalized_dice_loss(logits(predicted)[..., :2], truth[..., :2])
    print(f"    {name:20}{three:.6f}  {two:.2f}")
gradient = jax.grad(lambda x: optax.losses.multiclass_generalized_dice_loss(x, truth))(jnp.zeros(truth.shape))
print("the same gradient under the defect and beside it:", bool(jnp.allclose(gradient[0, 15, 20], gradient[0, 0, 0])))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" optax==0.2.8 jax==0.10.2 jaxlib==0.10.2
JAX_PLATFORMS=cpu PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" | tee "$scratch/seen"

# Output seen on 2026-11-29.
diff - "$scratch/seen" <<'SEEN'
dice_loss of a perfect prediction
    [B, H, W, 1]  0.00
    [B, H, W]     0.45
multiclass_generalized_dice_loss, with and without the class that does not occur
    perfect             0.000004  0.00
    all defects missed  0.000004  0.98
    exchanged           0.000004  1.00
the same gradient under the defect and beside it: True
SEEN
