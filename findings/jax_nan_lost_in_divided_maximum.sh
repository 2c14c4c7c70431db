#!/usr/bin/env bash
# JAX: the largest of an array's values that are divided among devices on CPUs, where one of them is NaN: the losses of
# a batch, the gradients' largest magnitude, or an image's score as the maximum of its defect map.
#
# One would guess: NaN, as jnp.max gives it on one device, as NumPy does, and as a sum over devices does; that a value
# is divided changes the digits of a sum at most. At worst NaN is passed over, as by jnp.nanmax.
# Seen: with jax 0.10.2 and 0.12.0.1 a device that holds a NaN has no part in the maximum: NaN is lost, and so are the
# other values beside it, so that 0.7 is the maximum of losses of which one is 0.9. Where all are NaN it is -inf. It is
# so for jnp.max, min, ptp, the norm of order inf (jnp.linalg, optax.tree), lax.pmax and pmin, under jit or not, in all
# floating types and by both partitioners, and jax_debug_nans says nothing; isnan(max) and a limit that is compared with
# the maximum are no guard then. Sums, means, argmax, sort, top_k and cummax keep NaN, jnp.nanmax is right, and
# jnp.isfinite(x).all() tells of it. Neither the documentation nor an issue was found that says so.
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
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

mesh = Mesh(np.array(jax.devices()), ("d",))
divided = NamedSharding(mesh, P("d"))
LOSSES = np.array([0.1, 0.2, 0.3, 0.4, 0.9, np.nan, 0.6, 0.7], np.float32)
losses = jax.device_put(LOSSES, divided)


def all_devices(function):
    return jax.jit(jax.shard_map(function, mesh=mesh, in_specs=P("d"), out_specs=P()))


print("on", len(jax.devices()), "devices, of", LOSSES)
for name, function in {
    "jnp.max": jnp.max,
    "jnp.min": jnp.min,
    "jnp.linalg.norm(inf)": lambda x: jnp.linalg.norm(x, jnp.inf),
    "jnp.nanmax": jnp.nanmax,
    "jnp.mean": jnp.mean,
    "jnp.argmax": jnp.argmax,
    "jnp.isfinite.all": lambda x: jnp.isfinite(x).all(),
}.items():
    print(f"{name:20s} one device {jax.jit(function)(LOSSES)!s:5.5}  divided {jax.jit(function)(losses)!s:5.5}")
print(f"lax.pmax {all_devices(lambda x: lax.pmax(x.max(), 'd'))(losses):.1f}", end=", ")
print(f"lax.psum {all_devices(lambda x: lax.psum(x.sum(), 'd'))(losses):.1f}")
print(f"optax.tree.norm(ord=inf) {optax.tree.norm({'kernel': losses}, ord='inf'):.1f}")
print("all are NaN:", jnp.max(jax.device_put(np.full(8, np.nan, np.float32), divided)))
scores = np.full((1, 64, 64, 1), 0.25, np.float32)
scores[0, 40, 7] = np.nan
rows = jax.device_put(scores, NamedSharding(mesh, P(None, "d")))
print(f"score of a map whose rows are divided {jnp.max(rows, axis=(1, 2, 3))[0]}, in NumPy {scores.max()}")
for dtype in jnp.float16, jnp.bfloat16:
    print(f"{dtype.__name__} {jnp.max(losses.astype(dtype)):.1f}", end=", ")
with jax.debug_nans(True):
    print(f"with jax_debug_nans {jnp.max(losses):.1f}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    jax==0.10.2 jaxlib==0.10.2 optax==0.2.8 numpy==2.3.4
JAX_PLATFORMS=cpu XLA_FLAGS=--xla_force_host_platform_device_count=4 PYTHONPATH="$scratch/site" \
    "${PYTHON:-python3}" "$scratch/measure.py" 2>"$scratch/log" | tee "$scratch/seen" || tail "$scratch/log"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
on 4 devices, of [0.1 0.2 0.3 0.4 0.9 nan 0.6 0.7]
jnp.max              one device nan    divided 0.7  
jnp.min              one device nan    divided 0.1  
jnp.linalg.norm(inf) one device nan    divided 0.7  
jnp.nanmax           one device 0.9    divided 0.9  
jnp.mean             one device nan    divided nan  
jnp.argmax           one device 5      divided 5    
jnp.isfinite.all     one device False  divided False
lax.pmax 0.7, lax.psum nan
optax.tree.norm(ord=inf) 0.7
all are NaN: -inf
score of a map whose rows are divided 0.25, in NumPy nan
float16 0.7, bfloat16 0.7, with jax_debug_nans 0.7
SEEN
