"""ResNets and ResNeXts in PyTorch as their published weights name them, with random weights."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch_peer
from torch import nn
from torch_reference import Bottleneck

STEM = 64


def _bottleneck(inputs: int, width: int, outputs: int, stride: int, groups: int, has_shortcut: bool) -> nn.Module:
    """With torchvision's names, which timm has too."""
    # Only the first block of a stage changes the size or the channels, and so has a convolution in its shortcut.
    assert has_shortcut == (stride != 1 or inputs != outputs)
    return Bottleneck(inputs, width, outputs, stride, groups)


class _Map(nn.Sequential):
    """Each of its modules on the same input."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [module(x) for module in self]


class _Sum(nn.Module):
    def forward(self, parts: list[torch.Tensor]) -> torch.Tensor:
        return sum(parts[1:], parts[0])


def _lua_bottleneck(
    inputs: int, width: int, outputs: int, stride: int, groups: int, has_shortcut: bool
) -> nn.Sequential:
    """As the converter from Lua Torch writes it: numbers only."""
    inner = nn.Sequential(
        nn.Conv2d(inputs, width, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, stride, 1, groups=groups, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )
    branch = nn.Sequential(inner, nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
    shortcut: nn.Module = nn.Identity()
    if has_shortcut:
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    return nn.Sequential(_Map(branch, shortcut), _Sum(), nn.ReLU())


def _stages(
    block: Callable[..., nn.Module], stage_sizes: Sequence[int], groups: int, width_per_group: int
) -> list[nn.Sequential]:
    stages, inputs = [], STEM
    for stage, blocks in enumerate(stage_sizes):
        width, outputs = groups * width_per_group << stage, 4 * STEM << stage
        layers = []
        for i in range(blocks):
            layers.append(block(inputs, width, outputs, 2 if stage and not i else 1, groups, i == 0))
            inputs = outputs
        stages.append(nn.Sequential(*layers))
    return stages


def torchvision_network(stage_sizes: Sequence[int], groups: int, width_per_group: int) -> nn.Sequential:
    """The parameters of torchvision's and timm's: conv1, bn1, layer1 to layer4, fc."""
    layers = _stages(_bottleneck, stage_sizes, groups, width_per_group)
    modules: dict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(3, STEM, 7, 2, 3, bias=False),
        bn1=nn.BatchNorm2d(STEM),
        relu=nn.ReLU(),
        maxpool=nn.MaxPool2d(3, 2, 1),
        **{f"layer{i}": layer for i, layer in enumerate(layers, start=1)},
        avgpool=nn.AdaptiveAvgPool2d(1),
        fc=nn.Linear(32 * STEM, 10),
    )
    return nn.Sequential(modules)


def lua_network(stage_sizes: Sequence[int], groups: int, width_per_group: int) -> nn.Sequential:
    """The parameters of the converted `resnext_101_32x4d.pth`: 0, 1, 4 to 7, 10.1."""
    return nn.Sequential(
        nn.Conv2d(3, STEM, 7, 2, 3, bias=False),
        nn.BatchNorm2d(STEM),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        *_stages(_lua_bottleneck, stage_sizes, groups, width_per_group),
        nn.AvgPool2d(7, 1),
        nn.Flatten(),
        nn.Sequential(nn.Identity(), nn.Linear(32 * STEM, 10)),
    )


NETWORKS = {"torchvision": torchvision_network, "lua": lua_network}


# The last norm of a bottleneck, under either name.
_LAST_NORMS = ("bn3", "0.0.2")


def random_network(origin: str, stage_sizes: Sequence[int], groups: int, width_per_group: int) -> nn.Sequential:
    """A network of `NETWORKS` that no part of is at its trivial values; see `randomise`."""
    torch.manual_seed(0)
    network = NETWORKS[origin](stage_sizes, groups, width_per_group)
    randomise(network)
    return network


def randomise(network: nn.Module) -> None:
    """Make every norm's values random, the last scales of the bottlenecks 0.1 to 0.4.

    Chosen so that float32 can tell: with all scales 0.5 to 1.5, a hundred layers that normalise by a few hundred values
    amplify rounding, and on a training batch (161 x 193) of a ResNeXt-101 PyTorch's own float32 L4 is 2.8e-4 away from
    its float64 one, ours 3.4e-4. With these it is 1.1e-5 and 1.5e-5. Large scales are compared in float64.
    """
    torch_peer.randomise(network)
    generator = torch.Generator().manual_seed(1)
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d) and name.endswith(_LAST_NORMS):
            nn.init.uniform_(module.weight, 0.1, 0.4, generator=generator)


def feature_maps(network: Any, images: np.ndarray, *, train: bool) -> list[np.ndarray]:
    """The stem's map after its pool and those of the four stages, [B, H, W, C] as the images are.

    Args:
      network: children in the order of computation, the pool the fourth: those above, torchvision's and timm's own.
      images: [B, H, W, 3], of the network's type.
      train: BatchNorm uses the batch's statistics.
    """
    network.train(train)
    maps = []
    with torch.no_grad():
        x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
        for i, module in enumerate(list(network.children())[:8]):
            x = module(x)
            if i >= 3:
                maps.append(x.numpy().transpose(0, 2, 3, 1))
    return maps
