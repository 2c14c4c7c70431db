#!/usr/bin/env bash
# JAX: the gradient of a maximum over overlapping windows, in images whose rows are divided among devices, as large ones
# are where a whole image does not fit on one.
#
# One would guess: jax.jit divides a program as it would be on one device, whatever is divided: it exchanges the rows
# next to each border for windows that reach across it, and only the last digits of a sum can differ.
# Seen: with jax 0.10.2 and 0.12.0.1 on CPUs that holds for convolutions, for the maxima themselves and for the gradient
# of maxima whose window is less than twice the stride, as in ResNet's 3 x 3 by 2. With larger windows (any of stride 1,
# as for a dilated or eroded map, the soft skeletons of clDice (a loss for cracks), Inception's blocks or pyramids of
# SPP; 4 x 4 and 5 x 5 by 2; 7 x 7 by 3, but not by 4) and any padding the gradient in nearly all rows of the first
# device is wrong, however many devices there are, and that in the others' is right; minima are alike, and so is the
# older partitioner (jax_use_shardy_partitioner=False). The gradient of the weights before the maxima is wrong with it,
# and a training goes on with that. Nothing warns. Divided by columns it is the left part of the image; in a
# batch divided by images it is right. No issue was found that says so.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

random = np.random.default_rng(0)
BATCH, SIDE = 4, 32
MAPS = random.normal(size=(BATCH, SIDE, SIDE, 1)).astype(np.float32)
WINDOWS = (3, 1), (5, 1), (3, 2), (2, 2), (4, 2), (7, 4)
KERNEL = random.normal(size=(3, 3, 1, 1)).astype(np.float32)


def maxima(maps, side, stride):
    return lax.reduce_window(maps, -np.inf, lax.max, (1, side, side, 1), (1, stride, stride, 1), "SAME")


def convolved(maps, kernel):
    return lax.conv_general_dilated(maps, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def by_hand(maps, weights, side, stride):
    """Each window's weight belongs to the largest pixel in it."""
    gradient = np.zeros_like(maps)
    before = max((weights.shape[1] - 1) * stride + side - SIDE, 0) // 2
    for image, row, column in np.ndindex(weights.shape[:3]):
        top, left = max(row * stride - before, 0), max(column * stride - before, 0)
        window = maps[image, top : row * stride - before + side, left : column * stride - before + side, 0]
        y, x = np.unravel_index(window.argmax(), window.shape)
        gradient[image, top + y, left + x] += weights[image, row, column]
    return gradient


def divided(function, axes, devices, *values):
    sharding = NamedSharding(Mesh(np.array(jax.devices()[:devices]), ("d",)), P(*axes))
    maps = jax.device_put(MAPS, sharding)
    return np.asarray(jax.jit(function, in_shardings=(sharding,) + (None,) * len(values))(maps, *values))


def wrong(found, expected, axis):
    far = (abs(found - expected) > 1e-4).any(tuple(other for other in range(4) if other != axis))
    where = np.flatnonzero(far)
    return f"wrong in {where[0]} to {where[-1]}, {len(where)} of {len(far)}" if len(where) else "right"


for name, axes, axis in ("rows", (None, "d"), 1), ("columns", (None, None, "d"), 2), ("images", ("d",), 0):
    for devices in (1, 2, 4) if axis == 1 else (4,):
        for side, stride in WINDOWS if axis == 1 and devices == 4 else WINDOWS[:1]:
            weights = random.normal(size=(BATCH, SIDE // stride, SIDE // stride, 1)).astype(np.float32)
            expected = by_hand(MAPS, weights, side, stride)
            gradient = jax.grad(lambda maps, weights: (maxima(maps, side, stride) * weights).sum())
            seen = wrong(divided(gradient, axes, devices, weights), expected, axis)
            print(f"{name} divided among {devices}, maxima {side} x {side}, stride {stride}: {seen}")

rows = (None, "d")
forward = divided(lambda maps: maxima(maps, 3, 1), rows, 4)
print("the maxima themselves:", wrong(forward, np.asarray(maxima(MAPS, 3, 1)), 1))
step = jax.grad(lambda maps, kernel: (convolved(maps, kernel) ** 2).sum())
print("gradient of a convolution:", wrong(divided(step, rows, 4, KERNEL), np.asarray(step(MAPS, KERNEL)), 1))
step = jax.grad(lambda maps, kernel: (maxima(convolved(maps, kernel), 3, 1) ** 2).mean(), argnums=1)
found, expected = divided(step, rows, 4, KERNEL), np.asarray(step(MAPS, KERNEL))
error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
print(f"gradient of the weights before the maxima: {error:.0%} off")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" jax==0.10.2 jaxlib==0.10.2 numpy==2.3.4
JAX_PLATFORMS=cpu XLA_FLAGS=--xla_force_host_platform_device_count=4 PYTHONPATH="$scratch/site" \
    "${PYTHON:-python3}" "$scratch/measure.py" 2>"$scratch/log" | tee "$scratch/seen" || tail "$scratch/log"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
rows divided among 1, maxima 3 x 3, stride 1: right
rows divided among 2, maxima 3 x 3, stride 1: wrong in 0 to 15, 16 of 32
rows divided among 4, maxima 3 x 3, stride 1: wrong in 0 to 7, 8 of 32
rows divided among 4, maxima 5 x 5, stride 1: wrong in 0 to 6, 7 of 32
rows divided among 4, maxima 3 x 3, stride 2: right
rows divided among 4, maxima 2 x 2, stride 2: right
rows divided among 4, maxima 4 x 4, stride 2: wrong in 0 to 7, 8 of 32
rows divided among 4, maxima 7 x 7, stride 4: right
columns divided among 4, maxima 3 x 3, stride 1: wrong in 0 to 7, 8 of 32
images divided among 4, maxima 3 x 3, stride 1: right
the maxima themselves: right
gradient of a convolution: right
gradient of the weights before the maxima: 27% off
SEEN
