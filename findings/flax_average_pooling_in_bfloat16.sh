#!/usr/bin/env bash
# Flax: average pooling with large windows in bfloat16 or float16, as in pyramid pooling (PSPNet), or of a whole map
# before the layer that tells the image's class.
#
# One would guess: as jnp.mean, jnp.sum, convolutions and BatchNorm do in these types, it sums in float32 and rounds
# once; avg_pool over the whole map is jnp.mean over its pixels.
# Seen: with flax 0.12.8 on jax 0.10.2 and 0.12.12 on 0.12.0.1, on a CPU, the sum of a window has the type of the map,
# to which pixels are added one by one: in bfloat16 they no longer count once it is some hundred times as large as they
# are. The mean of noise around 0.5 is 0.25 for windows of 32 x 32 and more, that of a map of nothing but 0.5 is 0.125,
# and pyramid pooling of a map of 60 gives 0.07 for the whole and 0.29 for its quarters. In float16 it is inf where the
# sum passes 65504, as for 56 x 56 features of 25, and 0 where the window has more pixels than that. linen and nnx are
# alike, jitted or not; so are Equinox's AvgPool2d (0.13.8) and Keras' AveragePooling2D on JAX (3.15.1), while Equinox's
# adaptive and Keras' global pooling are right, as jnp.mean is. The gradient is that of the true mean. But for NumPy's
# warning of the last case nothing tells of it, nor does the documentation name the type of the sum.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

random = np.random.default_rng(0)


def whole(pool, maps):
    return jax.jit(lambda maps: pool(maps, maps.shape[1:3]))(maps).item()


print("means of whole maps whose pixels lie evenly between 0 and 1")
for dtype in jnp.bfloat16, jnp.float16:
    for side in 8, 16, 32, 56, 64, 128, 256:
        maps = jnp.asarray(random.random((1, side, side, 1)), dtype)
        true = np.asarray(maps, np.float64).mean()
        linen, nnx_ = whole(nn.avg_pool, maps), whole(nnx.avg_pool, maps)
        means = f"linen {linen:.3f}  nnx {nnx_:.3f}  jnp.mean {jnp.mean(maps):.3f}  {true:.3f}"
        print(f"{dtype.__name__:8} {side:3}: {means}")
maps = jnp.full((1, 64, 64, 1), 0.5, jnp.bfloat16)
in_float32 = whole(nn.avg_pool, maps.astype(float))
print(f"a map of nothing but 0.5: {whole(nn.avg_pool, maps):.3f}, in float32 {in_float32:.3f}")
maps = jnp.full((1, 56, 56, 1), 25, jnp.float16)
print(f"a map of nothing but 25 in float16: {whole(nn.avg_pool, maps):.0f}, jnp.mean {jnp.mean(maps):.0f}")
maps = jnp.asarray(random.random((1, 60, 60, 16)), jnp.bfloat16)
for side in 60, 30, 20, 10:
    pooled = np.asarray(nn.avg_pool(maps, (side, side), (side, side)), np.float64)
    print(f"pyramid pooling, windows of {side}: mean {pooled.mean():.3f}, of {np.asarray(maps, np.float64).mean():.3f}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    flax==0.12.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.3.4
JAX_PLATFORMS=cpu PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" 2>"$scratch/log" |
    tee "$scratch/seen" || tail "$scratch/log"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
means of whole maps whose pixels lie evenly between 0 and 1
bfloat16   8: linen 0.496  nnx 0.496  jnp.mean 0.494  0.494
bfloat16  16: linen 0.555  nnx 0.555  jnp.mean 0.551  0.552
bfloat16  32: linen 0.250  nnx 0.250  jnp.mean 0.494  0.494
bfloat16  56: linen 0.326  nnx 0.326  jnp.mean 0.494  0.495
bfloat16  64: linen 0.250  nnx 0.250  jnp.mean 0.498  0.498
bfloat16 128: linen 0.250  nnx 0.250  jnp.mean 0.504  0.503
bfloat16 256: linen 0.250  nnx 0.250  jnp.mean 0.500  0.499
float16    8: linen 0.571  nnx 0.571  jnp.mean 0.571  0.571
float16   16: linen 0.494  nnx 0.494  jnp.mean 0.493  0.494
float16   32: linen 0.497  nnx 0.497  jnp.mean 0.499  0.498
float16   56: linen 0.502  nnx 0.502  jnp.mean 0.500  0.500
float16   64: linen 0.492  nnx 0.492  jnp.mean 0.493  0.493
float16  128: linen 0.496  nnx 0.496  jnp.mean 0.496  0.496
float16  256: linen 0.000  nnx 0.000  jnp.mean 0.500  0.500
a map of nothing but 0.5: 0.125, in float32 0.500
a map of nothing but 25 in float16: inf, jnp.mean 25
pyramid pooling, windows of 60: mean 0.071, of 0.501
pyramid pooling, windows of 30: mean 0.285, of 0.501
pyramid pooling, windows of 20: mean 0.500, of 0.501
pyramid pooling, windows of 10: mean 0.501, of 0.501
SEEN
