"""U-Net in plain PyTorch, written from the paper: the reference of `dms_jax.comparison.deep.unet`."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def double_conv(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        conv = nn.Conv2d(channels, outputs, 3, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """One map of logits [B, 1, H, W] of images [B, 3, H, W]."""

    def __init__(self, base: int = 64) -> None:
        super().__init__()
        widths = [base * 2**i for i in range(5)]
        self.down = nn.ModuleList(double_conv(i, o) for i, o in zip([3, *widths], widths, strict=False))
        rising = widths[::-1]
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(w, w // 2, 2, stride=2) for w in rising[:-1])
        self.up = nn.ModuleList(double_conv(w, w // 2) for w in rising[:-1])
        self.head = nn.Conv2d(base, 1, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        skips = []
        for i, block in enumerate(self.down):
            x = block(x if i == 0 else F.max_pool2d(x, 2, ceil_mode=True))
            skips.append(x)
        for skip, enlarge, block in zip(skips[-2::-1], self.enlarge, self.up, strict=True):
            x = enlarge(x)[:, :, : skip.shape[2], : skip.shape[3]]
            x = block(torch.cat([skip, x], dim=1))
        return [self.head(x)]


def names() -> dict[str, str]:
    """The parts of `UNet`, and the paths of ours."""
    table = {"head": "saliency"}
    for kind, levels in (("down", (1, 2, 3, 4, 5)), ("up", (4, 3, 2, 1))):
        for i, level in enumerate(levels):
            for layer in (1, 2):
                table[f"{kind}.{i}.{3 * layer - 3}"] = f"{kind}{level}/layer{layer}/conv"
                table[f"{kind}.{i}.{3 * layer - 2}"] = f"{kind}{level}/layer{layer}/norm"
    return table | {f"enlarge.{i}": f"enlarge{4 - i}" for i in range(4)}
