#!/usr/bin/env bash
# jax: what a process of several on CPUs gets when another one ends, and both were to sum something.
#
# One would guess: jax.errors.JaxRuntimeError, as from any program that fails while it runs.
# Seen: with jax 0.10.2 and 0.12.0.1 it is a plain ValueError ("UNKNOWN: Gloo all-reduce failed: ... Connection closed by
# peer"), from jax.block_until_ready as from np.asarray. Who catches JaxRuntimeError misses it; who takes ValueErrors of a
# checkpoint library for damaged files says so of a process that is gone.
#
# Needs Python 3.12 or later: PYTHON=python3.13 findings/jax_lost_process_value_error.sh
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import os
import sys
import time

import jax
import numpy as np

index, port, name = int(sys.argv[1]), sys.argv[2], sys.argv[3]
jax.distributed.initialize(f"127.0.0.1:{port}", 2, index)
mesh = jax.make_mesh((2,), ("data",), (jax.sharding.AxisType.Auto,))
rows = jax.P("data")
total = jax.jit(jax.shard_map(lambda x: jax.lax.psum(x, "data"), mesh=mesh, in_specs=rows, out_specs=jax.P()))
numbers = jax.make_array_from_process_local_data(jax.NamedSharding(mesh, rows), np.ones(1, np.float32))
assert np.asarray(total(numbers)) == 2
if index == 1:
    os._exit(0)
time.sleep(2)
try:
    {"block_until_ready": jax.block_until_ready, "asarray": np.asarray}[name](total(numbers))
except Exception as error:
    print(f"jax {jax.__version__}, {name}: {type(error).__name__}: {str(error)[:60]}", flush=True)
    seen = type(error) is ValueError and not isinstance(error, jax.errors.JaxRuntimeError) and "Gloo" in str(error)
    os._exit(0 if seen else 1)
os._exit(1)
PROGRAM

for version in 0.10.2 0.12.0.1; do
    "${PYTHON:-python3}" -m pip install --quiet --target "$scratch/$version" "jax==$version" "jaxlib==$version"
    for name in block_until_ready asarray; do
        port=$((20000 + RANDOM % 10000))
        export JAX_PLATFORMS=cpu PYTHONPATH="$scratch/$version"
        "${PYTHON:-python3}" "$scratch/measure.py" 1 "$port" "$name" >"$scratch/other" 2>&1 &
        "${PYTHON:-python3}" "$scratch/measure.py" 0 "$port" "$name" 2>"$scratch/log"
        wait
    done
done
