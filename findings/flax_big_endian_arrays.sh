#!/usr/bin/env bash
# Flax: saving a reference image (a flat field, a dark frame) from a camera's 16-bit TIFF beside the network's weights.
#
# One would guess: flax.serialization keeps the numbers of any NumPy array that it takes; at worst it refuses those of
# the other byte order, as JAX does.
# Seen: with flax 0.12.8 the bytes are written as they lie in memory, under a name of the type that has no byte order.
# Pillow 13.0.0 gives the pixels of a big-endian TIFF ("MM") as ">u2". In the training, where NumPy divides by the
# image, all is right. After to_bytes and from_bytes 1000 is 59395, and 1.0 of a float32 one (FITS and classic NetCDF
# are big-endian) is 4.6e-41. Nothing is said when it is written or read, shape and type are as they should be, and JAX,
# which would have refused the array before, now takes it. A scratch that is plain to see in the image divided by the
# flat field drowns in what the wrong one leaves. Orbax 0.12.8, NumPy's files and pickle keep the numbers. With
# np.asarray(image, np.uint16) before it is kept all is well. No issue was found that says so.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import io
import logging
import pathlib
import pickle
import struct
import sys

import numpy as np

logging.disable(logging.WARNING)
import flax.serialization
import jax.numpy as jnp
import orbax.checkpoint
from PIL import Image

HEIGHT, WIDTH = 24, 32
random = np.random.default_rng(0)
# Lighting that falls off to the sides, and a scratch of 5 % less light, as a camera of 12 or 16 bits has them.
LIGHT = np.linspace(-1, 1, WIDTH)[None] ** 2 * -400 + 1000 + random.integers(-20, 20, (HEIGHT, WIDTH))
IMAGE = LIGHT * np.where(np.arange(WIDTH) == 9, 0.95, 1)


def tiff(pixels, order):
    mark = "<" if order == "II" else ">"
    data = pixels.astype(mark + "u2").tobytes()
    short = {256: WIDTH, 257: HEIGHT, 258: 16, 259: 1, 262: 1, 277: 1, 278: HEIGHT}
    entries = [(tag, struct.pack(mark + "HIHH", 3, 1, value, 0)) for tag, value in short.items()]
    entries += [(273, struct.pack(mark + "HII", 4, 1, 8)), (279, struct.pack(mark + "HII", 4, 1, len(data)))]
    directory = b"".join(struct.pack(mark + "H", tag) + entry for tag, entry in sorted(entries))
    head = order.encode() + struct.pack(mark + "HI", 42, 8 + len(data))
    return head + data + struct.pack(mark + "H", len(entries)) + directory + struct.pack(mark + "I", 0)


def by_flax(array):
    state = {"flat_field": array, "kernel": np.ones(3, np.float32)}
    return flax.serialization.from_bytes(state, flax.serialization.to_bytes(state))["flat_field"]


def by_orbax(array):
    path = pathlib.Path(sys.argv[1]).resolve() / "checkpoint"
    checkpointer = orbax.checkpoint.PyTreeCheckpointer()
    checkpointer.save(path, {"flat_field": array}, force=True)
    return checkpointer.restore(path)["flat_field"]


def by_numpy(array):
    file = io.BytesIO()
    np.save(file, array)
    file.seek(0)
    return np.load(file)


def by_pickle(array):
    return pickle.loads(pickle.dumps(array))


def taken_by_jax(array):
    try:
        jnp.asarray(array)
    except TypeError:
        return "refuses it"
    return "takes it"


def darkest_column(flat_field):
    return int((IMAGE / np.maximum(flat_field, 1)).mean(0).argmin())


for order in "II", "MM":
    flat = np.asarray(Image.open(io.BytesIO(tiff(LIGHT, order))))
    kept = by_flax(flat)
    print(f"{order}: {flat.dtype.str}, JAX {taken_by_jax(flat)};", end=" ")
    print(f"kept by Flax: {kept.dtype.str}, JAX {taken_by_jax(kept)}")
    print(f"    pixel {flat[12, 16]} becomes {kept[12, 16]}")
    print(f"    darkest column, scratch in 9: {darkest_column(flat)} before, {darkest_column(kept)} after")
ways = {"Flax": by_flax, "Orbax": by_orbax, "NumPy": by_numpy, "pickle": by_pickle}
for name, way in ways.items():
    for kind in ">u2", ">f4":
        array = LIGHT.astype(kind)
        print(f"{name} keeps {kind}:", np.array_equal(array, np.asarray(way(array))))
print("1.0 of >f4 becomes", by_flax(np.ones(1, ">f4"))[0])
print("made native first:", np.array_equal(by_flax(LIGHT.astype(">f4").astype(np.float32)), LIGHT.astype(np.float32)))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    flax==0.12.8 orbax-checkpoint==0.12.8 jax==0.10.2 jaxlib==0.10.2 pillow==13.0.0 numpy==2.3.4
JAX_PLATFORMS=cpu PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" "$scratch" 2>"$scratch/log" |
    tee "$scratch/seen" || tail "$scratch/log"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
II: <u2, JAX takes it; kept by Flax: <u2, JAX takes it
    pixel 1017 becomes 1017
    darkest column, scratch in 9: 9 before, 9 after
MM: >u2, JAX refuses it; kept by Flax: <u2, JAX takes it
    pixel 1017 becomes 63747
    darkest column, scratch in 9: 9 before, 3 after
Flax keeps >u2: False
Flax keeps >f4: False
Orbax keeps >u2: True
Orbax keeps >f4: True
NumPy keeps >u2: True
NumPy keeps >f4: True
pickle keeps >u2: True
pickle keeps >f4: True
1.0 of >f4 becomes 4.6006e-41
made native first: True
SEEN
