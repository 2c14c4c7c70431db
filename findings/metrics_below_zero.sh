#!/usr/bin/env bash
# Means over the pixels of a large test set, by the metrics of Flax, clu and metrax.
#
# One would guess: a mean over any number of pixels is right to a few digits; at worst float32 sums lose some of them.
# Seen: with flax 0.12.8, clu 0.0.12 and metrax 0.2.4 on jax 0.10.2 a mean absolute error of 0.25 becomes -0.25, and an
# accuracy of 1 becomes -1, when the 2**31st pixel is counted, as the 2048th image of 1024 x 1024 brings it: the counts
# are int32, and wrap around. With more images the values move further off. nnx.metrics.Average and Accuracy,
# clu.metrics.Average, and what metrax builds on it (MAE, MSE) are alike, and nothing warns. If each image's mean is
# taken first, and then that over images, the counts are those of images.
#
# Needs Python 3.11 or later, and 2 GB of memory.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import clu.metrics
import jax
import jax.numpy as jnp
import metrax
from flax import nnx

BATCH = (64, 1024, 1024)  # 2**26 pixels
BATCHES = 31, 32, 33, 40


@jax.jit
def maps():
    return jnp.full(BATCH, 0.25), jnp.zeros(BATCH)


def of_metrax():
    return metrax.MAE.from_model_output(*maps())


def of_clu():
    return clu.metrics.Average.from_model_output(jnp.abs(jnp.subtract(*maps())))


def merged(metric):
    total, values = metric, []
    for batch in range(1, max(BATCHES) + 1):
        total = metric if batch == 1 else total.merge(metric)
        values += [float(total.compute())] * (batch in BATCHES)
    return values


def updated(metric, **batch):
    values = []
    for number in range(1, max(BATCHES) + 1):
        metric.update(**batch)
        values += [float(metric.compute())] * (number in BATCHES)
    return values


print("batches of 64 images of 1024 x 1024:", ", ".join(map(str, BATCHES)))
defect_map, truth = maps()
logits = jnp.stack([jnp.ones(BATCH, jnp.int8), jnp.zeros(BATCH, jnp.int8)], -1)
for name, values in (
    ("metrax.MAE", merged(of_metrax())),
    ("clu.metrics.Average", merged(of_clu())),
    ("nnx.metrics.Average", updated(nnx.metrics.Average(), values=jnp.abs(defect_map - truth))),
    ("nnx.metrics.Accuracy", updated(nnx.metrics.Accuracy(), logits=logits, labels=truth.astype(jnp.int32))),
):
    print(f"{name:21}", ", ".join(f"{value:.3f}" for value in values))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    google-metrax==0.2.4 clu==0.0.12 flax==0.12.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.3.4
JAX_PLATFORMS=cpu PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
batches of 64 images of 1024 x 1024: 31, 32, 33, 40
metrax.MAE            0.250, -0.250, -0.266, -0.417
clu.metrics.Average   0.250, -0.250, -0.266, -0.417
nnx.metrics.Average   0.250, -0.250, -0.266, -0.417
nnx.metrics.Accuracy  1.000, -1.000, -1.065, -1.667
SEEN
