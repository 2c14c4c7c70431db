#!/usr/bin/env bash
# XLA's CPU backend and a wide convolution with a large kernel on a small map, as VGG16's first classifier layer is in
# FCN-8s ("fc6": 7 x 7, 512 channels, on a map of 10 x 10 pixels).
#
# One would guess: `jax.lax.conv_general_dilated` is at least as fast as writing out the windows under all pixels, 49
# times the map, and multiplying them with the kernel.
# Seen: it takes more than twice as long, forward and with both gradients, with jax 0.10.2 and 0.12.0.1. (A GPU gains by
# the product too: an H200 with jax 0.11.2 and cuDNN takes 0.96 and 2.71 ms in bfloat16 where the product takes 0.65 and
# 1.60, for 16 maps and 4096 features.)
#
# Needs Python 3.12 or later: PYTHON=python3.13 findings/xla_cpu_wide_convolution.sh
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import sys
import time

import jax
import jax.numpy as jnp


def convolution(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def product(x, kernel):
    padded = jnp.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)))
    windows = [padded[:, i : i + x.shape[1], j : j + x.shape[2]] for i in range(7) for j in range(7)]
    return jnp.concatenate(windows, -1) @ kernel.reshape(-1, kernel.shape[-1])


def with_gradients(function):
    return lambda x, kernel: jax.vjp(function, x, kernel)[1](jnp.ones((*x.shape[:3], kernel.shape[3])))


def seconds(functions, *arrays):
    compiled = [jax.jit(function) for function in functions]
    results = [jax.block_until_ready(function(*arrays)) for function in compiled]
    for a, b in zip(*map(jax.tree.leaves, results)):
        assert jnp.allclose(a, b, atol=1e-3 * float(jnp.abs(a).max()))
    least = [float("inf")] * len(functions)
    for _ in range(5):  # in turns, so that both meet the same load
        for i, function in enumerate(compiled):
            start = time.perf_counter()
            jax.block_until_ready(function(*arrays))
            least[i] = min(least[i], time.perf_counter() - start)
    return least


x = jax.random.normal(jax.random.key(0), (4, 10, 10, 512))
kernel = jax.random.normal(jax.random.key(1), (7, 7, 512, 1024)) / 160
forward = seconds((convolution, product), x, kernel)
backward = seconds((with_gradients(convolution), with_gradients(product)), x, kernel)
for name, (conv, prod) in {"forward": forward, "gradients": backward}.items():
    print(f"jax {jax.__version__}, {name}: {conv:.2f} s, as a product {prod:.2f} s", file=sys.stderr)
    print(f"jax {jax.__version__}, {name}: the convolution takes", "more than twice as long" if conv > 2 * prod else "less")
PROGRAM

for version in 0.10.2 0.12.0.1; do
    "${PYTHON:-python3}" -m pip install --quiet --target "$scratch/$version" "jax==$version" "jaxlib==$version"
    PYTHONPATH="$scratch/$version" JAX_PLATFORMS=cpu "${PYTHON:-python3}" "$scratch/measure.py"
done | tee "$scratch/seen"

# Output seen on 2026-11-29, on two cores with AVX2.
diff - "$scratch/seen" <<'SEEN'
jax 0.10.2, forward: the convolution takes more than twice as long
jax 0.10.2, gradients: the convolution takes more than twice as long
jax 0.12.0.1, forward: the convolution takes more than twice as long
jax 0.12.0.1, gradients: the convolution takes more than twice as long
SEEN
