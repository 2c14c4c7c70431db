"""EGNet in plain PyTorch, written from the paper: the reference of `dms_jax.comparison.deep.egnet`."""

from typing import Any

import torch_peer
from torch import Tensor, nn
from torch.nn import functional as F
from torch_resnet import ResNet
from torch_vgg import conv, conv_names, up


def three(inputs: int, outputs: int, kernel: int, norm: bool) -> nn.Sequential:
    return nn.Sequential(*(conv(i, outputs, kernel, norm) for i in (inputs, outputs, outputs)))


class EGNet(nn.Module):
    """Nine maps of logits [B, 1, H, W] of images [B, 3, H, W]; that of the edges stays in `edges`."""

    def __init__(self, width: int = 128, norm: bool = False, **backbone: Any) -> None:
        super().__init__()
        base, w = backbone.get("base_channels", 64), width

        def one(inputs: int, outputs: int) -> nn.Sequential:
            return conv(inputs, outputs, 1, norm, bias=False)

        self.backbone = ResNet(dilated=True, **backbone)
        widths = [w, 2 * w, 4 * w, 4 * w, 4 * w]
        self.convert = nn.ModuleList(one(i * base, o) for i, o in zip((1, 4, 8, 16, 32), widths, strict=True))
        self.enhance = nn.ModuleList(three(c, c, k, norm) for c, k in zip(widths, (3, 3, 5, 5, 7), strict=True))
        self.narrow, self.location = one(4 * w, 2 * w), one(4 * w, w)
        self.score = nn.ModuleList(nn.Conv2d(c, 1, 3, padding=1) for c in widths)
        self.guide = nn.ModuleList(one(c, w) for c in widths[1:])
        self.guided = nn.ModuleList(three(w, w, k, norm) for k in (3, 5, 5, 7))
        self.guided_score = nn.ModuleList(nn.Conv2d(w, 1, 3, padding=1) for _ in range(4))
        self.final, self.final_score = conv(w, w, 5, norm), nn.Conv2d(w, 1, 3, padding=1)

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = [layer(x) for layer, x in zip(self.convert, self.backbone(images), strict=True)]
        x4 = self.enhance[4](maps[4])
        x3 = self.enhance[3](maps[3] + up(x4, maps[3]))
        x2 = self.enhance[2](maps[2] + up(x3, maps[2]))
        x1 = self.enhance[1](maps[1] + up(self.narrow(x2), maps[1]))
        edge = self.enhance[0](maps[0] + up(self.location(x4), maps[0]))
        self.edges = up(self.score[0](edge), images)
        stages = [x1, x2, x3, x4]
        guided = [
            layer(edge + up(guide(x), edge)) for layer, guide, x in zip(self.guided, self.guide, stages, strict=True)
        ]
        total = guided[3]
        for x in guided[2::-1]:
            total = F.relu(total + x)
        logits = [score(x) for score, x in zip(self.score[1:], stages, strict=True)][::-1]
        logits += [score(x) for score, x in zip(self.guided_score, guided, strict=True)][::-1]
        return [up(x, images) for x in (*logits, self.final_score(self.final(total)))]


def names(stage_sizes: tuple[int, ...]) -> dict[str, str]:
    """The parts of `EGNet`, and the paths of ours."""
    table = {**torch_peer.module_names(0, stage_sizes), "final_score": "score", **conv_names("final", "final")}
    table |= {**conv_names("narrow", "narrow1"), **conv_names("location", "location")}
    for i in range(5):
        table |= {**conv_names(f"convert.{i}", f"convert{i}"), f"score.{i}": f"score{i}"}
        table |= {**conv_names(f"guide.{i}", f"guide{i + 1}"), f"guided_score.{i}": f"guided{i + 1}_score"}
        for j in range(3):
            table |= conv_names(f"enhance.{i}.{j}", f"enhance{i}_layer{j + 1}")
            table |= conv_names(f"guided.{i}.{j}", f"guided{i + 1}_layer{j + 1}")
    return table
