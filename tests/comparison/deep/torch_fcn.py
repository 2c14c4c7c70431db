"""FCN-8s in plain PyTorch, written from the paper: the reference of `dms_jax.comparison.deep.fcn`."""

import torch_vgg
from torch import Tensor, nn
from torch_vgg import conv, halved, up


class FCN8s(nn.Module):
    """One map of logits [B, 1, H, W] of images [B, 3, H, W]."""

    def __init__(self, base: int = 64, norm: bool = False) -> None:
        super().__init__()
        self.backbone = torch_vgg.VGG16(base, norm)
        self.fc6 = conv(8 * base, 64 * base, 7, norm)
        self.fc7 = conv(64 * base, 64 * base, 1, norm)
        self.score32, self.score16 = nn.Conv2d(64 * base, 1, 1), nn.Conv2d(8 * base, 1, 1)
        self.score8 = nn.Conv2d(4 * base, 1, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        pool3, pool4, pool5 = map(halved, self.backbone(x)[2:])
        score = self.score32(self.fc7(self.fc6(pool5)))
        score = up(score, pool4) + self.score16(pool4)
        score = up(score, pool3) + self.score8(pool3)
        return [up(score, x)]


def names() -> dict[str, str]:
    """The parts of `FCN8s`, and the paths of ours."""
    scores = {"score32": "score_fc7", "score16": "score_pool4", "score8": "score_pool3"}
    return {**torch_vgg.names(), **torch_vgg.conv_names("fc6", "fc6"), **torch_vgg.conv_names("fc7", "fc7"), **scores}
