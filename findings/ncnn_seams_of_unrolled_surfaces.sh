#!/usr/bin/env bash
# pnnx and ncnn: a PyTorch network whose convolutions are padded in circles, as for the unrolled surface of a roller, a
# pipe or a ring, whose left edge is the neighbour of its right edge.
#
# One would guess: it is padded so there too, or pnnx or ncnn refuses it by name, as they do with other layers that
# they have not. Zeros, reflected and repeated edges are as in PyTorch.
# Seen: with pnnx and ncnn 20261020 and torch 2.13.0, padding_mode="circular", nn.CircularPad2d and F.pad's
# mode="circular" become padding by zeros, to the bit, which is then made a part of the convolution. pnnx still reads
# the mode (it is in its .pnnx.param, and in the PyTorch module that it writes), and its .ncnn.param has nothing of it.
# A scratch around the roller has 9.0 of 9 in PyTorch wherever the unrolling starts, and 5.0 in ncnn where it starts in
# the scratch's middle. Nothing warns, and no issue was found that says so. Both edges put beside the image by torch.cat
# and slices are right.
#
# Needs Python 3.11 or later, and 6 GB for PyTorch.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/seams.py" <<'PROGRAM'
import os
import re
import sys

import ncnn
import numpy as np
import pnnx
import torch
import torch.nn.functional as F
from torch import nn

LENGTH, HALF = 9, 4
NUMPY_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
os.chdir(sys.argv[1])
torch.manual_seed(0)


class Padded(nn.Module):
    def forward(self, image):
        return F.pad(image, (HALF, HALF, 0, 0), mode="circular")


class Joined(nn.Module):
    def forward(self, image):
        return torch.cat([image[..., -HALF:], image, image[..., :HALF]], 3)


def written(model, image):
    """The network as ncnn computes it, and whether pnnx's and ncnn's files have a word of circles."""
    pnnx.export(model.eval(), "network.pt", image, fp16=False)
    network = ncnn.Net()
    network.opt.use_fp16_packed = network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = False
    assert network.load_param("network.ncnn.param") == network.load_model("network.ncnn.bin") == 0
    axis = int(re.search(r"batch_index=(\d+)", open("network_ncnn.py").read())[1])

    def compute(image):
        extractor = network.create_extractor()
        extractor.input("in0", ncnn.Mat(image.numpy(), batch_index=axis).clone())
        status, result = extractor.extract("out0")
        assert status == 0
        return np.array(result.numpy(batch_index=axis))

    return compute, ["circular" in open(f"network.{kind}.param").read() for kind in ("pnnx", "ncnn")]


def same(first, second):
    return np.allclose(first, second, atol=1e-5)


image = torch.randn(1, 4, 16, 24)
for mode, name in NUMPY_MODES.items():
    layer = nn.Conv2d(4, 8, 3, padding=1, padding_mode=mode)
    compute, known = written(layer, image)
    padded = torch.from_numpy(np.pad(image.numpy(), [(0, 0)] * 2 + [(1, 1)] * 2, name))
    with torch.no_grad():
        expected = F.conv2d(padded, layer.weight, layer.bias).numpy()
        zeros = F.conv2d(image, layer.weight, layer.bias, padding=1).numpy()
        assert same(layer(image), expected)
    found = compute(image)
    print(f"convolution, {mode}: as PyTorch and NumPy {same(found, expected)}, as with zeros {same(found, zeros)}")
for model in nn.CircularPad2d((HALF, HALF, 0, 0)), Padded(), Joined():
    compute, known = written(nn.Sequential(model), image)
    found, expected = compute(image), np.pad(image.numpy(), [(0, 0)] * 3 + [(HALF, HALF)], "wrap")
    print(f"{type(model).__name__}: as NumPy {np.array_equal(found, expected)}", end=", ")
    print("by zeros", np.array_equal(found, F.pad(image, (HALF, HALF, 0, 0)).numpy()), end=", ")
    print("circular is named by pnnx and in ncnn's file:", *known)

roller = torch.zeros(1, 1, 16, 48)
roller[..., 8, 20 : 20 + LENGTH] = 1
for mode in "zeros", "circular":
    layer = nn.Conv2d(1, 1, (1, LENGTH), padding=(0, HALF), padding_mode=mode, bias=False)
    nn.init.ones_(layer.weight)
    compute, _ = written(layer, roller)
    print(f"largest value of a scratch of length {LENGTH}, {mode}")
    for start in 0, 22, 24, 26:
        turned = roller.roll(-start, 3)
        print(f"  unrolled from {start}: PyTorch {layer(turned).max():.1f}, ncnn {compute(turned).max():.1f}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --no-compile --target "$scratch/site" \
    ncnn==1.0.20261020 pnnx==20261020 torch==2.13.0 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/seams.py" "$scratch" >"$scratch/log" 2>&1 ||
    tail "$scratch/log"
grep -E "^(convolution|CircularPad2d|Padded|Joined|largest|  unrolled)" "$scratch/log" | tee "$scratch/seen"

# Output seen on 2026-12-01.
diff - "$scratch/seen" <<'SEEN'
convolution, zeros: as PyTorch and NumPy True, as with zeros True
convolution, reflect: as PyTorch and NumPy True, as with zeros False
convolution, replicate: as PyTorch and NumPy True, as with zeros False
convolution, circular: as PyTorch and NumPy False, as with zeros True
CircularPad2d: as NumPy False, by zeros True, circular is named by pnnx and in ncnn's file: True False
Padded: as NumPy False, by zeros True, circular is named by pnnx and in ncnn's file: True False
Joined: as NumPy True, by zeros False, circular is named by pnnx and in ncnn's file: False False
largest value of a scratch of length 9, zeros
  unrolled from 0: PyTorch 9.0, ncnn 9.0
  unrolled from 22: PyTorch 7.0, ncnn 7.0
  unrolled from 24: PyTorch 5.0, ncnn 5.0
  unrolled from 26: PyTorch 6.0, ncnn 6.0
largest value of a scratch of length 9, circular
  unrolled from 0: PyTorch 9.0, ncnn 9.0
  unrolled from 22: PyTorch 9.0, ncnn 7.0
  unrolled from 24: PyTorch 9.0, ncnn 5.0
  unrolled from 26: PyTorch 9.0, ncnn 6.0
SEEN
