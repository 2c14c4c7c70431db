"""PoolNet in plain PyTorch, written from the paper: the reference of `dms_jax.comparison.deep.poolnet`."""

from typing import Any

import torch
import torch_peer
from torch import Tensor, nn
from torch.nn import functional as F
from torch_resnet import ResNet
from torch_vgg import conv_names, up


def conv(inputs: int, outputs: int, kernel: int, norm: bool, relu: bool = True) -> nn.Sequential:
    """Convolution without a bias, perhaps BatchNorm and ReLU."""
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(
        layer, nn.BatchNorm2d(outputs) if norm else nn.Identity(), nn.ReLU() if relu else nn.Identity()
    )


class Aggregation(nn.Module):
    def __init__(self, inputs: int, outputs: int, norm: bool, fuses: bool) -> None:
        super().__init__()
        self.window = nn.ModuleList(conv(inputs, inputs, 3, norm, relu=False) for _ in range(3))
        self.sum = conv(inputs, outputs, 3, norm, relu=False)
        self.fuse = conv(outputs, outputs, 3, norm, relu=False) if fuses else None

    def forward(self, x: Tensor, *finer: Tensor) -> Tensor:
        y = x
        for size, layer in zip((2, 4, 8), self.window, strict=True):
            small = F.avg_pool2d(x, size, ceil_mode=True, count_include_pad=False)
            y = y + up(layer(small), x)
        y = F.relu(y)
        if self.fuse is None:
            return self.sum(y)
        return self.fuse(self.sum(up(y, finer[0])) + finer[0] + finer[1])


class PoolNet(nn.Module):
    """One map of logits [B, 1, H, W] of images [B, 3, H, W]."""

    def __init__(self, width: int = 128, norm: bool = False, **backbone: Any) -> None:
        super().__init__()
        base = backbone.get("base_channels", 64)
        self.backbone = ResNet(dilated=True, **backbone)
        w, top = width, 4 * width
        self.reduce = conv(32 * base, top, 1, norm, relu=False)
        self.grids = nn.ModuleList(conv(top, top, 1, norm) for _ in range(3))
        self.join = conv(4 * top, top, 3, norm)
        converted = [w, 2 * w, 2 * w, 4 * w, 4 * w]
        self.convert = nn.ModuleList(
            conv(i * base, o, 1, norm) for i, o in zip((1, 4, 8, 16, 32), converted, strict=True)
        )
        decoded = [4 * w, 2 * w, 2 * w, w, w]
        self.guide = nn.ModuleList(conv(top, o, 3, norm) for o in decoded[:4])
        self.decoder = nn.ModuleList(
            Aggregation(i, o, norm, n < 4) for n, (i, o) in enumerate(zip([4 * w, *decoded], decoded, strict=False))
        )
        self.head = nn.Conv2d(w, 1, 1)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = self.backbone(images)
        x = self.reduce(maps[-1])
        pooled = [layer(F.adaptive_avg_pool2d(x, n)) for n, layer in zip((1, 3, 5), self.grids, strict=True)]
        top = self.join(torch.cat([x, *(up(y, x) for y in pooled)], dim=1))
        *finer, x = (layer(y) for layer, y in zip(self.convert, maps, strict=True))
        for module, guide in zip(self.decoder, [*self.guide, None], strict=True):
            if guide is None:
                x = module(x)
            else:
                skip = finer.pop()
                x = module(x, skip, guide(up(top, skip)))
        return [up(self.head(x), images)]


def names(stage_sizes: tuple[int, ...]) -> dict[str, str]:
    """The parts of `PoolNet`, and the paths of ours."""
    table = {**torch_peer.module_names(0, stage_sizes), "head": "saliency"}
    table |= {**conv_names("reduce", "pyramid/reduce"), **conv_names("join", "pyramid/fuse")}
    for i, grid in enumerate((1, 3, 5)):
        table |= conv_names(f"grids.{i}", f"pyramid/grid{grid}")
    for i in range(5):
        ours = f"decoder{4 - i}"
        table |= {**conv_names(f"convert.{i}", f"convert{i}"), **conv_names(f"guide.{i}", f"guide{4 - i}")}
        table |= {**conv_names(f"decoder.{i}.sum", f"{ours}/sum"), **conv_names(f"decoder.{i}.fuse", f"{ours}/fuse")}
        for j, size in enumerate((2, 4, 8)):
            table |= conv_names(f"decoder.{i}.window.{j}", f"{ours}/window{size}")
    return table
