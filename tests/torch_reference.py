"""SDMS and BDMS in plain PyTorch: the reference that the networks of `dms_jax.models` are compared with.

Nothing here comes from `dms_jax`. The state dict has the names that `dms-jax export-weights` writes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SCHEDULES = {"sdms": ("HF", "MF", "LF"), "bdms": ("HF", "MF", "LF", "reset LF", "MF", "HF")}
STRIDES = {"LF": 4, "MF": 8, "HF": 16}


class Bottleneck(nn.Module):
    """1 x 1, grouped 3 x 3 with the stride, and 1 x 1 convolutions, each normalised, around a shortcut."""

    def __init__(self, inputs: int, width: int, outputs: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNeXt(nn.Module):
    """A ResNeXt without its classifier; its children in the order of computation."""

    def __init__(self, stage_sizes: Sequence[int], groups: int, width_per_group: int, base_channels: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, base_channels, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(base_channels)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inputs = base_channels
        for stage, blocks in enumerate(stage_sizes):
            planes = base_channels * 2**stage
            width, outputs = planes * width_per_group // 64 * groups, 4 * planes
            layer = nn.Sequential()
            for block in range(blocks):
                layer.append(Bottleneck(inputs, width, outputs, 2 if stage and not block else 1, groups))
                inputs = outputs
            self.add_module(f"layer{stage + 1}", layer)

    def forward(self, images: Tensor) -> list[Tensor]:
        """L0 to L4: the stem after its pool, and the four stages."""
        maps = [self.maxpool(self.relu(self.bn1(self.conv1(images))))]
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            maps.append(layer(maps[-1]))
        return maps


def conv_block(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    """C(k, o): convolution, BatchNorm and PReLU, at the input's size."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2 * dilation, dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.PReLU())


def transposed_block(inputs: int, outputs: int) -> nn.Sequential:
    """4 x 4 transposed convolution, BatchNorm and PReLU, at twice the input's size."""
    conv = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.PReLU())


def up(x: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear with aligned corners."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling, with half of the channels in each of its five branches."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        dilated = [conv_block(channels, half, 3, dilation) for dilation in (2, 4, 6)]
        self.branches = nn.ModuleList([conv_block(channels, half, 1), *dilated, conv_block(channels, half, 1)])
        self.fuse = conv_block(5 * half, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        *local, pooled = self.branches
        average = pooled(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        return self.fuse(torch.cat([*(branch(x) for branch in local), average], dim=1))


class DMS(nn.Module):
    """A deeper and mixed supervision network.

    Args:
      num_classes: image-level classes.
      schedule: of `SCHEDULES`, or any other: "LF", "MF" or "HF" for each step, "reset LF" and so on to start F anew.
      ablation: "", "a" to "e", or "baseline" for a, b and e together.
      feature_growth: "concat": a transition keeps the channels that it is given; "reduce": it gives `side_channels`.
      side_channels: channels of each side output.
      residual_channels: channels of the residual refinement blocks.
      stage_sizes: bottlenecks of the backbone's four stages.
      groups: groups of the backbone's 3 x 3 convolutions.
      width_per_group: channels of a group in the first stage, for a base of 64.
      base_channels: channels of the backbone's stem.
    """

    def __init__(
        self,
        num_classes: int,
        schedule: Sequence[str],
        *,
        ablation: str = "",
        feature_growth: str = "concat",
        side_channels: int = 256,
        residual_channels: int = 128,
        stage_sizes: Sequence[int] = (3, 4, 23, 3),
        groups: int = 32,
        width_per_group: int = 4,
        base_channels: int = 64,
    ) -> None:
        super().__init__()
        self.num_steps, self.stage_sizes = len(schedule), tuple(stage_sizes)
        self.sides = [entry.removeprefix("reset ") for entry in schedule]
        self.resets = [entry.startswith("reset ") for entry in schedule]
        self.join = {"a": "replace", "baseline": "replace", "d": "add"}.get(ablation, "concat")
        self.refines = ablation not in ("e", "baseline")
        self.enlarges: list[bool] = []  # whether a step makes F as large as the next side output

        def side_output(inputs: int, last: nn.Module | None = None) -> nn.Sequential:
            width = side_channels
            blocks = (conv_block(inputs, width, 3), conv_block(width, width, 3), last or conv_block(width, width, 1))
            return nn.Sequential(*blocks)

        self.backbone = ResNeXt(stage_sizes, groups, width_per_group, base_channels)
        self.lf = side_output((1 + 4) * base_channels)
        self.mf = side_output(8 * base_channels)
        self.hf = side_output((16 + 32) * base_channels, ASPP(side_channels) if ablation == "c" else None)

        self.phi, self.residual, self.classify = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        channels, stride = 0, max(STRIDES.values())  # of F
        for i, (side, resets) in enumerate(zip(self.sides, self.resets, strict=True)):
            stride = min(stride, STRIDES[side])
            channels = side_channels + (channels if self.join == "concat" and not resets else 0)
            following = self.sides[i + 1 : i + 2]
            self.enlarges.append(not resets and any(STRIDES[name] < stride for name in following))
            if resets:
                self.phi.append(nn.Identity())
            else:
                inputs, channels = channels, side_channels if feature_growth == "reduce" else channels
                block = transposed_block(inputs, channels) if self.enlarges[i] else conv_block(inputs, channels, 3)
                self.phi.append(block)
            if i == 0:
                self.first = nn.Conv2d(channels, 1, 1)
            else:
                width = residual_channels
                blocks = (conv_block(channels + self.refines, width, 3), conv_block(width, width, 3))
                self.residual.append(nn.Sequential(*blocks, nn.Conv2d(width, 1, 1)))
            if ablation not in ("b", "baseline"):
                self.classify.append(nn.Linear(channels, num_classes))

    def forward(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Map images [B, 3, H, W] to saliency logits [B, 1, H, W] and class logits [B, K] of each step."""
        l0, l1, l2, l3, l4 = self.backbone(images)
        outputs = {
            "LF": self.lf(torch.cat([l0, up(l1, l0.shape[2:])], dim=1)),
            "MF": self.mf(l2),
            "HF": self.hf(torch.cat([l3, up(l4, l3.shape[2:])], dim=1)),
        }
        sides = [outputs[side] for side in self.sides]
        feature = saliency = None
        maps, classes = [], []
        for i, side in enumerate(sides):
            feature = self.phi[i](self._joined(feature, side, self.resets[i]))
            if self.enlarges[i]:
                height, width = sides[i + 1].shape[2:]
                feature = up(feature[:, :, :height, :width], (height, width))
            if i == 0:
                saliency = self.first(feature)
            elif self.refines:
                saliency = up(saliency, feature.shape[2:])
                saliency = saliency + self.residual[i - 1](torch.cat([feature, saliency], dim=1))
            else:
                saliency = self.residual[i - 1](feature)
            maps.append(up(saliency, images.shape[2:]))
            if self.classify:
                classes.append(self.classify[i](feature.mean((2, 3))))
        return maps, classes

    def _joined(self, feature: Tensor | None, side: Tensor, resets: bool) -> Tensor:
        """F and a side output at the size of the larger of the two, as phi takes them."""
        if feature is None:
            return side
        size = [max(sizes) for sizes in zip(feature.shape[2:], side.shape[2:], strict=True)]
        side = up(side, size)
        if resets or self.join == "replace":
            return side
        feature = up(feature, size)
        return feature + side if self.join == "add" else torch.cat([feature, side], dim=1)
