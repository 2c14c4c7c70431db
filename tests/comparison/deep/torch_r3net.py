"""R3Net in plain PyTorch, written from the paper: the reference of `dms_jax.comparison.deep.r3net`."""

from typing import Any

import torch
import torch_peer
from torch import Tensor, nn
from torch_reference import ASPP, ResNeXt, conv_block, up


class R3Net(nn.Module):
    """Seven maps of logits [B, 1, H, W] of images [B, 3, H, W]."""

    def __init__(self, width: int = 256, **backbone: Any) -> None:
        super().__init__()
        fields = {"stage_sizes": (3, 4, 23, 3), "groups": 32, "width_per_group": 4, "base_channels": 64, **backbone}
        base = fields["base_channels"]
        self.backbone = ResNeXt(**fields)
        self.low = nn.Sequential(
            conv_block((1 + 4 + 8) * base, width, 3), conv_block(width, width, 3), conv_block(width, width, 1)
        )
        self.high = nn.Sequential(conv_block((16 + 32) * base, width, 3), conv_block(width, width, 3), ASPP(width))
        self.first = nn.Conv2d(width, 1, 1)
        half = width // 2
        self.refine = nn.ModuleList(
            nn.Sequential(conv_block(width + 1, half, 3), conv_block(half, half, 3), nn.Conv2d(half, 1, 1))
            for _ in range(6)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        l0, l1, l2, l3, l4 = self.backbone(images)
        size = l0.shape[2:]
        low = self.low(torch.cat([l0, up(l1, size), up(l2, size)], dim=1))
        high = up(self.high(torch.cat([l3, up(l4, l3.shape[2:])], dim=1)), size)
        maps = [self.first(high)]
        for i, block in enumerate(self.refine):
            feature = high if i % 2 else low
            maps.append(maps[-1] + block(torch.cat([feature, maps[-1]], dim=1)))
        return [up(x, images.shape[2:]) for x in maps]


def names(stage_sizes: tuple[int, ...]) -> dict[str, str]:
    """The parts of `R3Net`, and the paths of ours."""
    theirs_and_ours = {f"low.{i}": f"low/block{i + 1}" for i in range(3)}
    theirs_and_ours |= {f"high.{i}": f"high/block{i + 1}" for i in range(2)}
    branches = ("point", "dilated2", "dilated4", "dilated6", "pooled")
    theirs_and_ours |= {f"high.2.branches.{i}": f"high/aspp/{name}" for i, name in enumerate(branches)}
    theirs_and_ours["high.2.fuse"] = "high/aspp/fuse"
    for i in range(6):
        theirs_and_ours |= {f"refine.{i}.{j}": f"refine{i + 1}/block{j + 1}" for j in range(2)}
    table = {"first": "saliency", **{f"refine.{i}.2": f"refine{i + 1}/saliency" for i in range(6)}}
    for theirs, ours in theirs_and_ours.items():
        table |= {f"{theirs}.{i}": f"{ours}/{part}" for i, part in enumerate(("conv", "norm", "prelu"))}
    return {**torch_peer.module_names(0, stage_sizes), **table}
