#!/usr/bin/env bash
# JAX: comparing 8-bit or 16-bit images, class maps and defect maps with a Python integer that does not fit their type:
# the label -1 of pixels without a class, a threshold of 256 that nothing reaches.
#
# One would guess: as NumPy 2, whose rules for Python integers are JAX's as well: comparisons and `clip` are right
# whatever the number, and a result that the type cannot hold raises an OverflowError, as jnp.asarray(-1, "uint8") does.
# Seen: with jax 0.10.2 (and 0.12.0.1) the integer is wrapped to the array's type before it is compared: class 255 is
# found to be -1, nothing is below 256, and everything reaches a threshold of 256, so that a curve over thresholds ends
# with every pixel called defective where it should end with none. `clip` to 256, or of 16 bits to 65536, makes an image
# black, and the maximum with -1 is white. Nothing warns, neither eagerly nor in jit, and an integer that is an argument
# of the jitted function is treated alike. An integer with a type, as jnp.int32(256), or an array of them, is compared
# rightly. JAX's page on type promotion says which type a result has, and nothing of such numbers.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import warnings

import jax
import jax.numpy as jnp
import numpy as np

warnings.simplefilter("error")
CLASSES = np.array([0, 1, 2, 255], np.uint8)
IMAGE = np.array([0, 90, 180, 255], np.uint8)
DEEP = np.array([0, 20000, 40000, 65535], np.uint16)
PROGRAMS = {
    "classes == -1": (lambda xp, x, n: x == n, CLASSES, -1),
    "classes != -1": (lambda xp, x, n: x != n, CLASSES, -1),
    "isin(classes, -1)": (lambda xp, x, n: xp.isin(x, n), CLASSES, -1),
    "map >= 255": (lambda xp, x, n: x >= n, IMAGE, 255),
    "map >= 256": (lambda xp, x, n: x >= n, IMAGE, 256),
    "image < 256": (lambda xp, x, n: x < n, IMAGE, 256),
    "clip(image, 0, 256)": (lambda xp, x, n: xp.clip(x, 0, n), IMAGE, 256),
    "maximum(image, -1)": (lambda xp, x, n: xp.maximum(x, n), IMAGE, -1),
    "image < 65536, 16 bits": (lambda xp, x, n: x < n, DEEP, 65536),
    "clip(image, 0, 65536), 16 bits": (lambda xp, x, n: xp.clip(x, 0, n), DEEP, 65536),
}


def told(compute, *numbers):
    try:
        return " ".join(str(number) for number in np.asarray(compute(*numbers)).astype(int))
    except (OverflowError, Warning) as error:
        return type(error).__name__


print(f"{'':32}{'NumPy':20}{'JAX':20}JAX, of jnp.int32")
for name, (program, array, number) in PROGRAMS.items():
    ours = jnp.asarray(array)
    eager = told(lambda: program(jnp, ours, number))
    assert eager == told(jax.jit(lambda x: program(jnp, x, number)), ours), "jit"
    assert eager == told(jax.jit(lambda x, n: program(jnp, x, n)), ours, number), "jit, integer as an argument"
    typed = told(lambda: program(jnp, ours, jnp.int32(number)))
    print(f"{name:32}{told(lambda: program(np, array, number)):20}{eager:20}{typed}")

scores = np.arange(256, dtype=np.uint8)
for xp in np, jnp:
    print(f"pixels in 100 that reach 254, 255, 256 ({xp.__name__}):", end="")
    print(*(f" {float((xp.asarray(scores) >= threshold).mean()) * 100:.1f}" for threshold in (254, 255, 256)))
for name, create in {"jnp.asarray": jnp.asarray, "jnp.array": jnp.array}.items():
    print(f"{name}(-1, uint8):", told(lambda: create([-1], jnp.uint8)))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" jax==0.10.2 jaxlib==0.10.2 numpy==2.3.4
JAX_PLATFORMS=cpu PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" 2>"$scratch/log" |
    tee "$scratch/seen" || tail "$scratch/log"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
                                NumPy               JAX                 JAX, of jnp.int32
classes == -1                   0 0 0 0             0 0 0 1             0 0 0 0
classes != -1                   1 1 1 1             1 1 1 0             1 1 1 1
isin(classes, -1)               0 0 0 0             0 0 0 1             0 0 0 0
map >= 255                      0 0 0 1             0 0 0 1             0 0 0 1
map >= 256                      0 0 0 0             1 1 1 1             0 0 0 0
image < 256                     1 1 1 1             0 0 0 0             1 1 1 1
clip(image, 0, 256)             0 90 180 255        0 0 0 0             0 90 180 255
maximum(image, -1)              OverflowError       255 255 255 255     0 90 180 255
image < 65536, 16 bits          1 1 1 1             0 0 0 0             1 1 1 1
clip(image, 0, 65536), 16 bits  0 20000 40000 65535 0 0 0 0             0 20000 40000 65535
pixels in 100 that reach 254, 255, 256 (numpy): 0.8  0.4  0.0
pixels in 100 that reach 254, 255, 256 (jax.numpy): 0.8  0.4  100.0
jnp.asarray(-1, uint8): OverflowError
jnp.array(-1, uint8): OverflowError
SEEN
