"""DSS in plain PyTorch, written from the paper: the reference of `dms_jax.comparison.deep.dss`."""

import torch
import torch_vgg
from torch import Tensor, nn
from torch_vgg import conv, conv_names, halved, up

# From the shallowest side output to the deepest: width for a base of 64, kernel, and the deeper ones it is given.
SIDES = (
    (128, 3, (2, 3, 4, 5)),
    (128, 3, (2, 3, 4, 5)),
    (256, 5, (4, 5)),
    (256, 5, (4, 5)),
    (512, 5, ()),
    (512, 7, ()),
)


class DSS(nn.Module):
    """Seven maps of logits [B, 1, H, W] of images [B, 3, H, W], the deepest side output first, the fused one last."""

    def __init__(self, base: int = 64, norm: bool = False) -> None:
        super().__init__()
        self.backbone = torch_vgg.VGG16(base, norm)
        self.sides, self.scores, self.connect = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for inputs, (width, kernel, deeper) in zip((*self.backbone.channels, 8 * base), SIDES, strict=True):
            width = width * base // 64
            self.sides.append(nn.Sequential(conv(inputs, width, kernel, norm), conv(width, width, kernel, norm)))
            self.scores.append(nn.Conv2d(width, 1, 1))
            self.connect.append(nn.Linear(1 + len(deeper), 1) if deeper else nn.Identity())
        self.fuse = nn.Linear(6, 1)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = self.backbone(images)
        maps.append(halved(maps[-1]))
        found: dict[int, Tensor] = {}
        for i in range(5, -1, -1):
            own = self.scores[i](self.sides[i](maps[i]))
            given = [up(found[j], own) for j in SIDES[i][2]]
            found[i] = mixed(self.connect[i], [own, *given])
        every = [up(found[i], images) for i in range(5, -1, -1)]
        return [*every, mixed(self.fuse, every)]


def mixed(layer: nn.Module, scores: list[Tensor]) -> Tensor:
    return layer(torch.cat(scores, dim=1).movedim(1, 3)).movedim(3, 1)


def names() -> dict[str, str]:
    """The parts of `DSS`, and the paths of ours."""
    table = {**torch_vgg.names(), "fuse": "fuse"}
    for i in range(6):
        for j in range(2):
            table |= conv_names(f"sides.{i}.{j}", f"side{i + 1}_layer{j + 1}")
        table |= {f"scores.{i}": f"score{i + 1}", f"connect.{i}": f"connect{i + 1}"}
    return table
