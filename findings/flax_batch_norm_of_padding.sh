#!/usr/bin/env bash
# Flax: BatchNorm with a mask, so that padding which fills up a batch, or pixels without a label, are not normalised by.
#
# One would guess: the statistics are those of the positions that the mask leaves, as the documentation says, on one
# device or on several (axis_name); where it leaves none, the running averages stay as they are.
# Seen: with flax 0.12.8 and jax 0.10.2, in linen and nnx alike, a mask that leaves nothing makes the running mean and
# variance NaN for good. With axis_name, one device whose share of the last batch is padding alone does so for all of
# them, though the others have sound images, and each device's mean counts alike, however few positions it has. One
# device takes the same batch rightly, and so do several where jax.jit divides the batch among them without axis_name.
# That devices of unlike batches are weighted alike is known (issue 2417 of google/flax, closed), for batches that JAX
# could not have; of masks and NaN neither it nor the documentation speaks.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx
from jax.sharding import NamedSharding, PartitionSpec

MESH = jax.make_mesh((4,), ("devices",), axis_types=(jax.sharding.AxisType.Auto,))
OVER, EVERYWHERE = PartitionSpec("devices"), PartitionSpec()
CHOICES = {"momentum": 0.0, "use_running_average": False}  # the running averages are those of the last batch
brightness = np.arange(16, dtype=np.float32)  # 16 images of 8 x 8 pixels, each brighter than the one before
IMAGES = jnp.asarray(np.random.default_rng(0).normal(brightness[:, None, None, None], 1, (16, 8, 8, 1)), jnp.float32)


def by_linen(images, mask, **choices):
    layer = linen.BatchNorm(**CHOICES, **choices)
    start = layer.clone(axis_name=None).init(jax.random.key(0), images)
    found = layer.apply(start, images, mask=mask, mutable=["batch_stats"])[1]["batch_stats"]
    return found["mean"], found["var"]


def by_nnx(images, mask, **choices):
    layer = nnx.BatchNorm(1, rngs=nnx.Rngs(0), **CHOICES, **choices)
    layer(images, mask=mask)
    return layer.mean[...], layer.var[...]


def show(name, statistics):
    print(f"  {name}: mean {float(statistics[0][0]):.2f}, variance {float(statistics[1][0]):.2f}")


for images in 16, 13, 12, 0:
    mask = jnp.arange(16)[:, None, None, None] < images
    print(f"batch of 16, {images} of them images" if images else "batch of 16 without a labelled pixel")
    if images:
        show("NumPy", (np.mean(IMAGES[:images], (0, 1, 2)), np.var(IMAGES[:images], (0, 1, 2))))
    for layer in by_linen, by_nnx:
        show(f"{layer.__name__[3:]}, one device", layer(IMAGES, mask))
        devices = jax.shard_map(
            lambda *batch, layer=layer: layer(*batch, axis_name="devices"),
            mesh=MESH,
            in_specs=OVER,
            out_specs=EVERYWHERE,
        )
        show(f"{layer.__name__[3:]}, four devices by axis_name", jax.jit(devices)(IMAGES, mask))
    divided = jax.device_put((IMAGES, mask), NamedSharding(MESH, OVER))
    show("linen, four devices by jax.jit alone", jax.jit(by_linen)(*divided))
print("one batch without a labelled pixel, 100 sound batches after it")
layer = nnx.BatchNorm(1, rngs=nnx.Rngs(0))
layer(IMAGES, mask=jnp.zeros((16, 1, 1, 1), bool))
for _ in range(100):
    layer(IMAGES)
show("nnx, default momentum", (layer.mean[...], layer.var[...]))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    flax==0.12.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.3.4
JAX_PLATFORMS=cpu XLA_FLAGS=--xla_force_host_platform_device_count=4 PYTHONPATH="$scratch/site" \
    "${PYTHON:-python3}" "$scratch/measure.py" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
batch of 16, 16 of them images
  NumPy: mean 7.45, variance 21.75
  linen, one device: mean 7.45, variance 21.75
  linen, four devices by axis_name: mean 7.45, variance 21.75
  nnx, one device: mean 7.45, variance 21.75
  nnx, four devices by axis_name: mean 7.45, variance 21.75
  linen, four devices by jax.jit alone: mean 7.45, variance 21.75
batch of 16, 13 of them images
  NumPy: mean 5.97, variance 14.84
  linen, one device: mean 5.97, variance 14.84
  linen, four devices by axis_name: mean 7.08, variance 17.52
  nnx, one device: mean 5.97, variance 14.84
  nnx, four devices by axis_name: mean 7.08, variance 17.52
  linen, four devices by jax.jit alone: mean 5.97, variance 14.84
batch of 16, 12 of them images
  NumPy: mean 5.48, variance 12.86
  linen, one device: mean 5.48, variance 12.86
  linen, four devices by axis_name: mean nan, variance nan
  nnx, one device: mean 5.48, variance 12.86
  nnx, four devices by axis_name: mean nan, variance nan
  linen, four devices by jax.jit alone: mean 5.48, variance 12.86
batch of 16 without a labelled pixel
  linen, one device: mean nan, variance nan
  linen, four devices by axis_name: mean nan, variance nan
  nnx, one device: mean nan, variance nan
  nnx, four devices by axis_name: mean nan, variance nan
  linen, four devices by jax.jit alone: mean nan, variance nan
one batch without a labelled pixel, 100 sound batches after it
  nnx, default momentum: mean nan, variance nan
SEEN
