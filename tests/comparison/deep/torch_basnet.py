"""BASNet in plain PyTorch, written from the paper: the reference of `dms_jax.comparison.deep.basnet`."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_vgg import conv, conv_names, halved, up

BLOCKS = (3, 4, 6, 3, 3, 3)


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, stride, bias=False)).append(nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Refinement(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(1, width, 3, padding=1)
        self.down = nn.ModuleList(conv(width, width, 3, True) for _ in range(4))
        self.bridge = conv(width, width, 3, True)
        self.up = nn.ModuleList(conv(2 * width, width, 3, True) for _ in range(4))
        self.leave = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, logits: Tensor) -> Tensor:
        x, skips = self.enter(logits), []
        for layer in self.down:
            skips.append(layer(x))
            x = halved(skips[-1])
        x = self.bridge(x)
        for layer, skip in zip(self.up, skips[::-1], strict=True):
            x = layer(torch.cat([up(x, skip), skip], dim=1))
        return logits + self.leave(x)


class BASNet(nn.Module):
    """Eight maps of logits [B, 1, H, W] of images [B, 3, H, W]."""

    def __init__(self, base: int = 64) -> None:
        super().__init__()
        widths = [base, 2 * base, 4 * base, 8 * base, 8 * base, 8 * base]
        self.enter = conv(3, base, 3, True)
        self.stages, inputs = nn.ModuleList(), base
        for stage, (count, width) in enumerate(zip(BLOCKS, widths, strict=True)):
            self.stages.append(nn.Sequential())
            for i in range(count):
                self.stages[-1].append(BasicBlock(inputs, width, 2 if stage in (1, 2, 3) and i == 0 else 1))
                inputs = width
        self.bridge = nn.Sequential(*(conv(inputs, inputs, 3, True, dilation=2) for _ in range(3)))
        self.decoder, self.scores = nn.ModuleList(), nn.ModuleList([nn.Conv2d(inputs, 1, 3, padding=1)])
        # A stage's last convolution has the channels of the next stage's skip connection.
        for width, last in zip(widths[::-1], [*widths[-2::-1], base], strict=True):
            dilation = 2 if len(self.decoder) == 0 else 1
            self.decoder.append(
                nn.Sequential(
                    conv(2 * width, width, 3, True),
                    conv(width, width, 3, True, dilation=dilation),
                    conv(width, last, 3, True, dilation=dilation),
                )
            )
            self.scores.append(nn.Conv2d(last, 1, 3, padding=1))
        self.refinement = Refinement(base)

    def forward(self, images: Tensor) -> list[Tensor]:
        x, skips = self.enter(images), []
        for i, stage in enumerate(self.stages):
            x = stage(halved(x) if i > 3 else x)
            skips.append(x)
        x = self.bridge(x)
        maps = [self.scores[0](x)]
        for layers, score, skip in zip(self.decoder, self.scores[1:], skips[::-1], strict=True):
            x = layers(torch.cat([up(x, skip), skip], dim=1))
            maps.append(score(x))
        maps.append(self.refinement(maps[-1]))
        return [up(x, images) for x in maps]


def names() -> dict[str, str]:
    """The parts of `BASNet`, and the paths of ours."""
    table = conv_names("enter", "enter")
    for stage, count in enumerate(BLOCKS):
        for block in range(count):
            theirs, ours = f"stages.{stage}.{block}", f"stage{stage + 1}_block{block + 1}"
            for i in (1, 2):
                table |= {f"{theirs}.conv{i}": f"{ours}/layer{i}/conv", f"{theirs}.bn{i}": f"{ours}/layer{i}/norm"}
            table |= conv_names(f"{theirs}.shortcut", f"{ours}/downsample")
    for i in range(3):
        table |= conv_names(f"bridge.{i}", f"bridge{i + 1}")
    for i in range(6):
        for j in range(3):
            table |= conv_names(f"decoder.{i}.{j}", f"decoder{6 - i}_layer{j + 1}")
        table[f"scores.{i + 1}"] = f"score{6 - i}"
    table |= {"scores.0": "score_bridge", "refinement.enter": "refinement/enter/conv"}
    table |= {"refinement.leave": "refinement/residual", **conv_names("refinement.bridge", "refinement/bridge")}
    for i in range(4):
        table |= conv_names(f"refinement.down.{i}", f"refinement/down{i + 1}")
        table |= conv_names(f"refinement.up.{i}", f"refinement/up{4 - i}")
    return table
