#!/usr/bin/env bash
# torchax: a PyTorch network run by JAX, as one does to compare a reference with its port to Flax on the same device.
#
# One would guess: an operation is computed as PyTorch does, to the last digits, or refused by name ("has no lowering"),
# as many are; and a decoder whose transposed convolutions have groups is of the first kind, since those without and
# those with a group for each channel are.
# Seen: with torchax 0.0.13, torch 2.12.1 and jax 0.10.2, ConvTranspose2d is right without groups and with one for each
# input channel. With any other number of groups the map has the right shape and other values everywhere, and nothing
# warns. By its source the kernel, [inputs, outputs / groups, ...], is reshaped to [inputs / groups, outputs, ...]
# without the groups being moved beside the outputs, so that they get one another's weights. Ordinary convolutions in
# groups are right. nn.AvgPool2d(2, ceil_mode=True) is wrong too where a side is odd: its last row and column are
# divided by the whole window, half of which is outside, and are half as bright. No issue was found that says either.
#
# torchax 0.0.13 cannot be imported with torch 2.13 and later. Needs Python 3.11 or later, and 6 GB for PyTorch.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import copy

import numpy as np
import torch
import torchax
from torch import nn

torch.manual_seed(0)
environment = torchax.default_env()


def moved(kernel, groups):
    """The kernel with which PyTorch computes what torchax does, if the above is why."""
    inputs, share, *sides = kernel.shape
    mixed = kernel.reshape(inputs // groups, share * groups, *sides)
    return mixed.reshape(inputs // groups, groups, share, *sides).transpose(0, 1).reshape(kernel.shape)


@torch.no_grad()
def show(name, layer, channels, sides=(9, 11)):
    image = torch.randn(1, channels, *sides)
    layer.eval()
    expected = layer(image).numpy()
    with environment:
        found = np.asarray(copy.deepcopy(layer).to("jax")(image.to("jax")).jax())
    far = abs(found - expected) > 1e-3
    text = f"{name}: " + (f"{far.mean():.0%} of the values differ" if far.any() else "right")
    if far.any() and isinstance(layer, nn.ConvTranspose2d):
        layer.weight.copy_(moved(layer.weight, layer.groups))
        text += f", as with a kernel whose groups are mixed: {np.allclose(layer(image).numpy(), found, atol=1e-4)}"
    if far.any() and isinstance(layer, nn.AvgPool2d):
        text += f", last column {found[..., :-1, -1].sum() / expected[..., :-1, -1].sum():.2f} times as bright"
    print(text)


for inputs, outputs, groups in (8, 8, 1), (8, 8, 2), (8, 8, 4), (8, 8, 8), (8, 16, 8), (8, 4, 4), (16, 8, 2):
    layer = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, groups=groups)
    show(f"transposed, {inputs} to {outputs} channels in {groups} groups", layer, inputs)
for groups in 1, 2, 4, 8:
    show(f"convolution in {groups} groups", nn.Conv2d(8, 8, 3, groups=groups), 8)
show("mean of 2 x 2, even sides", nn.AvgPool2d(2, ceil_mode=True), 8, (8, 12))
show("mean of 2 x 2, odd sides", nn.AvgPool2d(2, ceil_mode=True), 8)
try:
    show("adaptive maximum", nn.AdaptiveMaxPool2d(2), 8)
except Exception as error:
    print("adaptive maximum:", error)
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    torchax==0.0.13 torch==2.12.1 jax==0.10.2 jaxlib==0.10.2 numpy==2.3.4
JAX_PLATFORMS=cpu PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" 2>"$scratch/log" |
    tee "$scratch/seen" || tail "$scratch/log"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
transposed, 8 to 8 channels in 1 groups: right
transposed, 8 to 8 channels in 2 groups: 100% of the values differ, as with a kernel whose groups are mixed: True
transposed, 8 to 8 channels in 4 groups: 100% of the values differ, as with a kernel whose groups are mixed: True
transposed, 8 to 8 channels in 8 groups: right
transposed, 8 to 16 channels in 8 groups: right
transposed, 8 to 4 channels in 4 groups: 100% of the values differ, as with a kernel whose groups are mixed: True
transposed, 16 to 8 channels in 2 groups: 100% of the values differ, as with a kernel whose groups are mixed: True
convolution in 1 groups: right
convolution in 2 groups: right
convolution in 4 groups: right
convolution in 8 groups: right
mean of 2 x 2, even sides: right
mean of 2 x 2, odd sides: 30% of the values differ, last column 0.50 times as bright
adaptive maximum: Operator with name aten::adaptive_max_pool2d has no lowering
SEEN
