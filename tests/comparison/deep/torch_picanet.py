"""PiCANet in plain PyTorch, written from the paper: the reference of `dms_jax.comparison.deep.picanet`."""

import torch
import torch_vgg
from torch import Tensor, nn
from torch.nn import functional as F
from torch_vgg import conv, conv_names, up


class GlobalAttention(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.vertical = nn.ModuleList(nn.LSTM(channels, hidden) for _ in range(2))
        self.horizontal = nn.ModuleList(nn.LSTM(2 * hidden, hidden) for _ in range(2))
        self.weights = nn.Conv2d(2 * hidden, 100, 1)

    def forward(self, x: Tensor) -> Tensor:
        # Sequences come first in PyTorch: [H, B W, C], then [W, B H, C].
        batch, channels, height, width = x.shape
        y = both_ways(self.vertical, x.permute(2, 0, 3, 1).reshape(height, batch * width, channels))
        y = y.reshape(height, batch, width, -1).permute(2, 1, 0, 3).reshape(width, batch * height, -1)
        y = both_ways(self.horizontal, y).reshape(width, batch, height, -1).permute(1, 3, 2, 0)
        weights = self.weights(y).softmax(dim=1).flatten(2)
        places = F.interpolate(x, size=(10, 10), mode="bilinear", align_corners=True).flatten(2)
        return (places @ weights).reshape(x.shape)


def both_ways(lstms: nn.ModuleList, x: Tensor) -> Tensor:
    first, second = lstms
    return torch.cat([first(x)[0], second(x.flip(0))[0].flip(0)], dim=2)


class LocalAttention(nn.Module):
    def __init__(self, channels: int, hidden: int, norm: bool) -> None:
        super().__init__()
        self.context = conv(channels, hidden, 7, norm, dilation=2)
        self.weights = nn.Conv2d(hidden, 49, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.weights(self.context(x)).softmax(dim=1)
        places = F.unfold(x, 7, dilation=2, padding=6).reshape(x.shape[0], x.shape[1], 49, *x.shape[2:])
        return (places * weights[:, None]).sum(dim=2)


class PiCANet(nn.Module):
    """Six maps of logits [B, 1, H, W] of images [B, 3, H, W]."""

    def __init__(self, base: int = 64, norm: bool = False) -> None:
        super().__init__()
        b = base
        self.backbone = torch_vgg.VGG16(base, norm)
        for layer in self.backbone.stages[4]:
            layer[0].dilation = layer[0].padding = (2, 2)
        self.fc6, self.fc7 = conv(8 * b, 16 * b, 3, norm, dilation=12), conv(16 * b, 16 * b, 1, norm)
        widths, outputs = (16 * b, 8 * b, 8 * b, 4 * b, 2 * b), (8 * b, 8 * b, 4 * b, 2 * b, b)
        self.join = nn.ModuleList(
            conv(skip + given, width, 1, norm)
            for skip, given, width in zip(self.backbone.channels[::-1], outputs, (*widths[1:], b), strict=True)
        )
        self.attention = nn.ModuleList(
            GlobalAttention(w, 4 * b) if i < 2 else LocalAttention(w, 2 * b, norm) for i, w in enumerate(widths)
        )
        self.out = nn.ModuleList(conv(2 * w, o, 1, True) for w, o in zip(widths, outputs, strict=True))
        self.score = nn.ModuleList(nn.Conv2d(c, 1, 1) for c in (*outputs, b))

    def forward(self, images: Tensor) -> list[Tensor]:
        s1, s2, s3, s4 = self._stages(images)
        s5 = self.backbone.stages[4](s4)
        x = self.fc7(self.fc6(s5))
        maps = []
        for i, skip in enumerate((None, s5, s4, s3, s2, s1)):
            if skip is not None:
                x = self.join[i - 1](torch.cat([skip, up(x, skip)], dim=1))
            if i < 5:
                x = self.out[i](torch.cat([x, self.attention[i](x)], dim=1))
            maps.append(up(self.score[i](x), images))
        return maps

    def _stages(self, x: Tensor) -> list[Tensor]:
        maps = []
        for stage in self.backbone.stages[:4]:
            x = stage(torch_vgg.halved(x) if maps else x)
            maps.append(x)
        return maps


def names() -> dict[str, str]:
    """The parts of `PiCANet`, and the paths of ours."""
    table = {**torch_vgg.names(), **conv_names("fc6", "fc6"), **conv_names("fc7", "fc7")}
    for i in range(6):
        level = 6 - i
        table |= {**conv_names(f"join.{i}", f"join{level - 1}"), **conv_names(f"out.{i}", f"decoder{level}")}
        table |= {f"score.{i}": f"score{level}", f"attention.{i}.weights": f"attention{level}/weights"}
        table |= conv_names(f"attention.{i}.context", f"attention{level}/context")
        for way, ours in (("vertical", ("down", "up")), ("horizontal", ("right", "left"))):
            table |= {f"attention.{i}.{way}.{j}": f"attention{level}/renet/{name}" for j, name in enumerate(ours)}
    return table
