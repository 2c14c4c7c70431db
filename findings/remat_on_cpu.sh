#!/usr/bin/env bash
# jax.checkpoint (rematerialisation) on a CPU.
#
# One would guess: less temporary memory, for more time, on every platform.
# Seen: with jax 0.10.2 the compiled gradient of sixteen layers needs more temporary memory with jax.checkpoint than
# without (40 MiB against 34): XLA's CPU backend takes the second computation for the first and keeps its results. With
# jax 0.12.0.1 it needs 16 MiB. (jax 0.11.2 on an H100 saves memory as one would guess.)
#
# Needs Python 3.12 or later: PYTHON=python3.13 findings/remat_on_cpu.sh
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import jax
import jax.numpy as jnp


def layers(x, weights):
    for w in weights:
        x = jnp.tanh(x @ w)
    return x


def temporary(block):
    def loss(weights, x):
        for i in range(0, len(weights), 4):
            x = block(x, weights[i : i + 4])
        return jnp.sum(x)

    shapes = [jax.ShapeDtypeStruct((64, 64), jnp.float32)] * 16, jax.ShapeDtypeStruct((8192, 64), jnp.float32)
    return jax.jit(jax.grad(loss)).lower(*shapes).compile().memory_analysis().temp_size_in_bytes


plain, remat = temporary(layers), temporary(jax.checkpoint(layers))
print(f"jax {jax.__version__}: {plain / 2**20:.1f} MiB without, {remat / 2**20:.1f} MiB with jax.checkpoint")
PROGRAM

for version in 0.10.2 0.12.0.1; do
    "${PYTHON:-python3}" -m pip install --quiet --target "$scratch/$version" "jax==$version" "jaxlib==$version"
    PYTHONPATH="$scratch/$version" JAX_PLATFORMS=cpu "${PYTHON:-python3}" "$scratch/measure.py"
done | tee "$scratch/seen"

# Output seen on 2026-11-28.
diff - "$scratch/seen" <<'SEEN'
jax 0.10.2: 34.0 MiB without, 40.0 MiB with jax.checkpoint
jax 0.12.0.1: 34.0 MiB without, 16.0 MiB with jax.checkpoint
SEEN
