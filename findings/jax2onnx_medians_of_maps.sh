#!/usr/bin/env bash
# jax2onnx: exporting a network or its preparation of images that takes medians or percentiles over rows and columns, as
# to subtract the background of a surface or to tell a map's threshold.
#
# One would guess: what jax2onnx cannot translate it refuses by name, as it does for many functions; what it exports is
# in ONNX Runtime what it is in JAX to 1e-4.
# Seen: with jax2onnx 0.17.1 (jax 0.10.2, onnxruntime 1.32.0) jnp.median, nanmedian, quantile and percentile over the
# axes 1 and 2 of images whose channels come last are taken over a mixture of all channels: channels about 0, 10 and 20
# have the medians 10, 10 and 10, and an image whose background is subtracted is anywhere but about 0. Over one axis,
# over all of them, or over the last two (channels first), they are right. The cause is lax.reshape, whose `dimensions`,
# an order of axes, are passed over, in jnp.ravel(order="F") as well. Nothing warns, and all shapes are right. A
# transposition and a reshape of one's own before the median are exported rightly. No issue was found that says so.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
from jax2onnx import to_onnx

jax.config.update("jax_platforms", "cpu")
random = np.random.default_rng(0)
IMAGE = (random.normal(size=(1, 25, 31, 3)) + [0, 10, 20]).astype(np.float32)
FIRST = np.ascontiguousarray(IMAGE.transpose(0, 3, 1, 2))
GREY = IMAGE[0, :, :, 0]


def by_hand(image):
    return jnp.median(image.transpose(0, 3, 1, 2).reshape(1, 3, -1), axis=2)


PROGRAMS = {
    "median over rows and columns": (lambda x: jnp.median(x, (1, 2)), IMAGE),
    "nanmedian over rows and columns": (lambda x: jnp.nanmedian(x, (1, 2)), IMAGE),
    "99th percentile over rows and columns": (lambda x: jnp.percentile(x, 99, axis=(1, 2)), IMAGE),
    "background subtracted, then the mean": (lambda x: (x - jnp.median(x, (1, 2), keepdims=True)).mean((1, 2)), IMAGE),
    "median, channels first": (lambda x: jnp.median(x, (2, 3)), FIRST),
    "median of all": (lambda x: jnp.median(x)[None], IMAGE),
    "median over rows": (lambda x: jnp.median(x, 1), IMAGE),
    "median, transposed and reshaped before": (by_hand, IMAGE),
    "mean over rows and columns": (lambda x: jnp.mean(x, (1, 2)), IMAGE),
    "lax.reshape with an order of axes": (lambda x: jax.lax.reshape(x, (31, 25), (1, 0)), GREY),
    'ravel, order "F"': (lambda x: jnp.ravel(x, order="F"), GREY),
    'ravel, order "C"': (lambda x: jnp.ravel(x), GREY),
}
for name, (program, image) in PROGRAMS.items():
    session = onnxruntime.InferenceSession(to_onnx(program, [image.shape]).SerializeToString())
    found = session.run(None, {session.get_inputs()[0].name: image})[0]
    expected = np.asarray(program(jnp.asarray(image)))
    if found.shape == expected.shape and np.allclose(found, expected, atol=1e-4):
        print(f"{name}: right")
    else:
        first, instead = (
            " ".join(f"{round(float(each), 1) + 0.0}" for each in array.ravel()[:3]) for array in (found, expected)
        )
        print(f"{name}: {first} instead of {instead}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    jax2onnx==0.17.1 jax==0.10.2 jaxlib==0.10.2 flax==0.12.8 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 \
    numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" 2>"$scratch/log" |
    tee "$scratch/seen" || tail "$scratch/log"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
median over rows and columns: 10.0 10.2 10.0 instead of -0.1 10.1 20.0
nanmedian over rows and columns: 10.0 10.2 10.0 instead of -0.1 10.1 20.0
99th percentile over rows and columns: 21.8 21.9 21.9 instead of 2.3 12.3 22.2
background subtracted, then the mean: -10.1 -0.1 10.0 instead of 0.0 0.0 0.0
median, channels first: right
median of all: right
median over rows: right
median, transposed and reshaped before: right
mean over rows and columns: right
lax.reshape with an order of axes: 0.1 0.1 1.3 instead of 0.1 -0.7 -0.5
ravel, order "F": 0.1 0.1 1.3 instead of 0.1 -0.7 -0.5
ravel, order "C": right
SEEN
