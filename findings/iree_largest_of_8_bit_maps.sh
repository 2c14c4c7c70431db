#!/usr/bin/env bash
# IREE: the k largest values of an 8-bit map or a camera's image, by a JAX function that was exported as StableHLO.
#
# One would guess: what compiles gives what JAX gives, as for the maximum, argmax and sorting of the same map. Unsigned
# numbers were refused here once (issues 14098 and 14265 of iree-org/iree), and are supported since.
# Seen: with iree-base-compiler and iree-base-runtime 3.13.0 and jax 0.10.2, lax.top_k of uint8 and uint16 is right
# where the function uses its values alone or its places alone. Where it uses both, the numbers are compared as signed:
# all from 128 or 32768 on count as negative. Of a dark surface with a bright scratch, the 10 largest and their places
# are then those of the sound surface, and the score of the image, the mean of them, is that of a sound one. Signed
# integers and floats are right, and so is uint8 that is made float32 before. Nothing warns, and no issue was found that
# says so.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/largest.py" <<'PROGRAM'
import iree.compiler
import iree.runtime
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

COUNT = 10
random = np.random.default_rng(0)


def by_iree(function, array):
    text = jax.jit(function).lower(array).as_text()
    choices = {"target_backends": ["llvm-cpu"], "extra_args": ["--iree-llvmcpu-target-cpu=generic"]}
    binary = iree.compiler.compile_str(text, input_type="stablehlo", **choices)
    result = iree.runtime.load_vm_flatbuffer(binary, driver="local-sync").main(array)
    return [np.asarray(each) for each in (result if isinstance(result, (list, tuple)) else [result])]


def whole(values):
    return lax.top_k(values.reshape(-1), COUNT)


def of_floats(values):
    return whole(values.astype(jnp.float32))


levels = random.permutation(256)[:200]
for kind in np.uint8, np.uint16, np.int16, np.float32:
    values = (levels * (256 if kind == np.uint16 else 1)).astype(kind)
    expected, places = np.sort(values)[: -COUNT - 1 : -1], np.argsort(values)[: -COUNT - 1 : -1]
    assert all(np.array_equal(*pair) for pair in zip(jax.jit(whole)(values), (expected, places)))
    both = by_iree(whole, values)
    found = [
        np.array_equal(by_iree(lambda x: whole(x)[0], values)[0], expected),
        np.array_equal(by_iree(lambda x: whole(x)[1], values)[0], places),
        np.array_equal(both[0], expected) and np.array_equal(both[1], places),
    ]
    verdicts = (f"{name} {'right' if each else 'wrong'}" for name, each in zip(("values", "places", "both"), found))
    print(f"{np.dtype(kind)}:", ", ".join(verdicts), f"(largest {both[0][0]} for {expected[0]})")
surface = random.integers(20, 60, (32, 48)).astype(np.uint8)
scratched = surface.copy()
scratched[16, 10:30] = random.integers(180, 250, 20)
for name, image in ("sound surface", surface), ("scratched surface", scratched):
    expected = np.sort(image, None)[-COUNT:].mean()
    found, places = by_iree(whole, image)
    print(f"{name}, maximum {by_iree(jnp.max, image)[0]}, mean of the largest {found.mean():.1f}", end=", ")
    print(f"of those as float32 {by_iree(of_floats, image)[0].mean():.1f}, by NumPy {expected:.1f}")
    print("  values and places agree:", np.array_equal(image.reshape(-1)[places], found))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    iree-base-compiler==3.13.0 iree-base-runtime==3.13.0 jax==0.10.2 jaxlib==0.10.2 numpy==2.3.4
JAX_PLATFORMS=cpu PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/largest.py" 2>"$scratch/log" |
    tee "$scratch/seen" || tail "$scratch/log"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
uint8: values right, places right, both wrong (largest 126 for 253)
uint16: values right, places right, both wrong (largest 32256 for 64768)
int16: values right, places right, both right (largest 253 for 253)
float32: values right, places right, both right (largest 253.0 for 253.0)
sound surface, maximum 59, mean of the largest 59.0, of those as float32 59.0, by NumPy 59.0
  values and places agree: True
scratched surface, maximum 242, mean of the largest 59.0, of those as float32 235.5, by NumPy 235.5
  values and places agree: True
SEEN
