#!/usr/bin/env bash
# Equinox: a defect map made smaller by adaptive pooling, as for a coarser truth or a pyramid pooling module.
#
# One would guess: the bins of AdaptiveAvgPool2d and AdaptiveMaxPool2d are spread evenly over the map, as those of the
# PyTorch layers of that name; where sizes do not divide, bins next to each other differ by a pixel.
# Seen: with equinox 0.13.8 the larger bins all come first. Of 300 pixels pooled to 200, the first 100 bins have two
# pixels each and the last 100 have one: a scratch in column 200 lands in column 100 instead of 133 of the 200, which is
# 50 pixels of the image away, and the map is stretched in one half and squeezed in the other. Sizes that divide agree.
# For 6 bins of 75 pixels, as in the pyramid of PSPNet, bins differ by a pixel only, but their edges are others, and
# weights taken over from PyTorch see other averages. Nothing says so; issue 641 of patrick-kidger/equinox (open) has
# different numbers, and does not speak of places.
#
# Needs Python 3.11 or later; installs PyTorch: 1 GB, or several with the packages for CUDA that pip may choose.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import equinox
import jax.numpy as jnp
import numpy as np
import torch


def pooled(image, size):
    here = equinox.nn.AdaptiveMaxPool2d(size)(jnp.asarray(image))
    there = torch.nn.AdaptiveMaxPool2d(size)(torch.tensor(image))
    return np.asarray(here), there.numpy()


for width, size in (300, 150), (300, 200), (300, 224), (75, 6):
    furthest = [0, 0]
    for column in range(width):
        image = np.zeros((1, width, width), np.float32)
        image[:, :, column] = 1
        for number, output in enumerate(pooled(image, size)):
            place = (np.flatnonzero(output[0, 0]).mean() + 0.5) * width / size - 0.5
            furthest[number] = max(furthest[number], abs(place - column))
    print(f"{width} to {size}: a column is up to {furthest[0]:.1f} pixels off; in PyTorch {furthest[1]:.1f}")
image = np.zeros((1, 300, 300), np.float32)
image[:, :, 200] = 1
print("column 200 of 300, in 200:", *(np.flatnonzero(output[0, 0]).tolist() for output in pooled(image, 200)))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    equinox==0.13.8 jax==0.10.2 jaxlib==0.10.2 torch==2.13.0 numpy==2.3.4
JAX_PLATFORMS=cpu PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" | tee "$scratch/seen"

# Output seen on 2026-11-29.
diff - "$scratch/seen" <<'SEEN'
300 to 150: a column is up to 0.5 pixels off; in PyTorch 0.5
300 to 200: a column is up to 50.2 pixels off; in PyTorch 0.2
300 to 224: a column is up to 50.4 pixels off; in PyTorch 0.5
75 to 6: a column is up to 7.2 pixels off; in PyTorch 5.8
column 200 of 300, in 200: [100] [133]
SEEN
