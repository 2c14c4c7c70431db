#!/usr/bin/env bash
# pnnx and ncnn: a PyTorch network that wraps phases, as of fringes that are projected onto a surface, with % or
# torch.remainder, and one that makes grey levels coarser with torch.div(..., rounding_mode="floor").
#
# One would guess: 0..2 pi and whole levels in ncnn too, which has operations of the same names; or pnnx refuses them.
# Seen: with pnnx and ncnn 20261020 and torch 2.13.0, % and torch.remainder become ncnn's remainder, which is that of
# the C library: from the nearest multiple, not from the next lower one. Phases are then in -pi..pi: all above pi lack
# 2 pi (4.00 becomes -2.28), and no pixel is beyond half a turn, where in PyTorch half of them are. torch.div with
# rounding_mode="floor" becomes a plain division, whose levels are not whole; with "trunc" it becomes floor_divide, one
# level lower for negative numbers; and torch.round(..., decimals=1) rounds to whole numbers. fmod, //, floor_divide,
# floor, trunc, round without decimals and x - floor(x / t) * t are right. Nothing warns. No issue was found that says
# so; pull request 4912 of Tencent/ncnn, which would have given remainder PyTorch's formula, has been open since 2023.
#
# Needs Python 3.11 or later, and 6 GB for PyTorch.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/phases.py" <<'PROGRAM'
import math
import os
import re
import sys

import ncnn
import numpy as np
import pnnx
import torch
from torch import nn

TURN = 2 * math.pi
os.chdir(sys.argv[1])


class Network(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, image):
        return self.function(image)


def by_ncnn(function, image):
    pnnx.export(Network(function).eval(), "network.pt", image, fp16=False)
    network = ncnn.Net()
    network.opt.use_fp16_packed = network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = False
    assert network.load_param("network.ncnn.param") == network.load_model("network.ncnn.bin") == 0
    axis = int(re.search(r"batch_index=(\d+)", open("network_ncnn.py").read())[1])
    extractor = network.create_extractor()
    extractor.input("in0", ncnn.Mat(image.numpy(), batch_index=axis).clone())
    status, result = extractor.extract("out0")
    assert status == 0
    return np.array(result.numpy(batch_index=axis))


functions = {
    "x % t": lambda x: x % TURN,
    "remainder": lambda x: torch.remainder(x, TURN),
    "fmod": lambda x: torch.fmod(x, TURN),
    "x - floor(x / t) * t": lambda x: x - torch.floor(x / TURN) * TURN,
    "div, floor": lambda x: torch.div(x, 3.0, rounding_mode="floor"),
    "div, trunc": lambda x: torch.div(x, 3.0, rounding_mode="trunc"),
    "floor_divide": lambda x: torch.floor_divide(x, 3.0),
    "x // 3": lambda x: x // 3.0,
    "floor": torch.floor,
    "trunc": torch.trunc,
    "round": torch.round,
    "round, decimals": lambda x: torch.round(x, decimals=1),
}
values = torch.tensor([-7.5, -4.0, -0.5, 2.5, 4.0, 7.5]).reshape(1, 1, 1, -1)
for name, function in functions.items():
    found, expected = by_ncnn(function, values), function(values).numpy()
    shown = " ".join(f"{value + 0.0:.2f}" for value in found.ravel())
    print(f"{name}: {'right' if np.allclose(found, expected, atol=1e-5) else 'wrong'}, {shown}")

fringes = torch.linspace(0, 8 * TURN, 48 * 64).reshape(1, 1, 48, 64)
for name, wrapped in ("PyTorch", fringes % TURN), ("ncnn", torch.from_numpy(by_ncnn(functions["x % t"], fringes))):
    print(f"phases of fringes, {name}: {wrapped.min():.2f}..{wrapped.max():.2f}", end=", ")
    print(f"beyond half a turn {(wrapped > math.pi).float().mean():.2f} of the pixels")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --no-compile --target "$scratch/site" \
    ncnn==1.0.20261020 pnnx==20261020 torch==2.13.0 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/phases.py" "$scratch" >"$scratch/log" 2>&1 ||
    tail "$scratch/log"
grep -E "^([^=:]+: (right|wrong), |phases)" "$scratch/log" | tee "$scratch/seen"

# Output seen on 2026-12-01.
diff - "$scratch/seen" <<'SEEN'
x % t: wrong, -1.22 2.28 -0.50 2.50 -2.28 1.22
remainder: wrong, -1.22 2.28 -0.50 2.50 -2.28 1.22
fmod: right, -1.22 -4.00 -0.50 2.50 4.00 1.22
x - floor(x / t) * t: right, 5.07 2.28 5.78 2.50 4.00 1.22
div, floor: wrong, -2.50 -1.33 -0.17 0.83 1.33 2.50
div, trunc: wrong, -3.00 -2.00 -1.00 0.00 1.00 2.00
floor_divide: right, -3.00 -2.00 -1.00 0.00 1.00 2.00
x // 3: right, -3.00 -2.00 -1.00 0.00 1.00 2.00
floor: right, -8.00 -4.00 -1.00 2.00 4.00 7.00
trunc: right, -7.00 -4.00 0.00 2.00 4.00 7.00
round: right, -8.00 -4.00 0.00 2.00 4.00 8.00
round, decimals: wrong, -8.00 -4.00 0.00 2.00 4.00 8.00
phases of fringes, PyTorch: 0.00..6.28, beyond half a turn 0.50 of the pixels
phases of fringes, ncnn: -3.14..3.14, beyond half a turn 0.00 of the pixels
SEEN
