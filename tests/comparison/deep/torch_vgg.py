"""VGG16 in plain PyTorch, written from the paper: the reference of `dms_jax.comparison.deep.vgg`."""

from torch import Tensor, nn
from torch.nn import functional as F

STAGE_SIZES = (2, 2, 3, 3, 3)


def conv(inputs: int, outputs: int, kernel: int, norm: bool, *, dilation: int = 1, bias: bool = True) -> nn.Sequential:
    """Convolution at the input's size, BatchNorm or a bias, ReLU."""
    padding = kernel // 2 * dilation
    layer = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=bias and not norm)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs) if norm else nn.Identity(), nn.ReLU())


def conv_names(theirs: str, ours: str) -> dict[str, str]:
    return {f"{theirs}.0": f"{ours}/conv", f"{theirs}.1": f"{ours}/norm"}


class VGG16(nn.Module):
    """The maps before each of the five pools."""

    def __init__(self, base: int = 64, norm: bool = False) -> None:
        super().__init__()
        self.channels = [base, 2 * base, 4 * base, 8 * base, 8 * base]
        self.stages = nn.ModuleList()
        inputs = 3
        for count, channels in zip(STAGE_SIZES, self.channels, strict=True):
            self.stages.append(nn.Sequential())
            for _ in range(count):
                self.stages[-1].append(conv(inputs, channels, 3, norm))
                inputs = channels

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for stage in self.stages:
            x = stage(halved(x) if maps else x)
            maps.append(x)
        return maps


def halved(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2, ceil_mode=True)


def up(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=True)


def names() -> dict[str, str]:
    """The parts of a `VGG16` called backbone, and the paths of ours."""
    table = {}
    for stage, count in enumerate(STAGE_SIZES):
        for layer in range(count):
            table |= conv_names(f"backbone.stages.{stage}.{layer}", f"backbone/stage{stage + 1}_layer{layer + 1}")
    return table
