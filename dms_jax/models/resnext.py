"""The backbone: ResNeXt, post-activation, with the stride on the grouped 3 x 3 convolution.

Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", CVPR 2017. Padding is explicit throughout:
"SAME" pads strided convolutions on the other side than PyTorch does, which weights trained there expect.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax

from dms_jax.models.compute import Compute
from dms_jax.models.layers import Conv, apply_module, conv_norm
from dms_jax.ops.batch_norm import Activation
from dms_jax.ops.pooling import max_pool

# The backbones that weights trained on ImageNet are published of, as fields of `ResNeXt`. The first is the paper's.
BACKBONES: dict[str, dict[str, Any]] = {
    "resnext101_32x4d": {"stage_sizes": (3, 4, 23, 3), "groups": 32, "width_per_group": 4, "base_channels": 64},
    "resnext101_32x8d": {"stage_sizes": (3, 4, 23, 3), "groups": 32, "width_per_group": 8, "base_channels": 64},
    "resnext101_64x4d": {"stage_sizes": (3, 4, 23, 3), "groups": 64, "width_per_group": 4, "base_channels": 64},
    "resnext50_32x4d": {"stage_sizes": (3, 4, 6, 3), "groups": 32, "width_per_group": 4, "base_channels": 64},
    "resnet50": {"stage_sizes": (3, 4, 6, 3), "groups": 1, "width_per_group": 64, "base_channels": 64},
    "resnet101": {"stage_sizes": (3, 4, 23, 3), "groups": 1, "width_per_group": 64, "base_channels": 64},
}


class Bottleneck(nn.Module):
    """1 x 1, grouped 3 x 3 and 1 x 1 convolutions around a shortcut.

    Attributes:
      width: channels of the grouped convolution.
      features: output channels.
      stride: spatial stride.
      groups: groups of the 3 x 3 convolution.
      compute: see `dms_jax.models.compute.Compute`.
      zero_init: the last norm's scale is 0 at first, so that the bottleneck begins as its shortcut (Goyal et al.,
        "Accurate, Large Minibatch SGD", 2017).
      dilation: spacing of the grouped convolution's taps.
    """

    width: int
    features: int
    stride: int = 1
    groups: int = 32
    compute: Compute = Compute()
    zero_init: bool = False
    dilation: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map [B, H, W, C] to [B, ceil(H / stride), ceil(W / stride), features]."""

        def block(
            x: jax.Array,
            features: int,
            kernel: int,
            names: tuple[str, str],
            *,
            stride: int = 1,
            dilation: int = 1,
            groups: int = 1,
            activation: Activation = "none",
            residual: jax.Array | None = None,
            zero_scale: bool = False,
        ) -> jax.Array:
            conv = Conv(
                features,
                kernel,
                stride=stride,
                dilation=dilation,
                groups=groups,
                compute=self.compute,
                name=names[0],
            )
            return conv_norm(
                *(conv, names[1], x), train=train, activation=activation, residual=residual, zero_scale=zero_scale
            )

        y = block(x, self.width, 1, ("conv1", "norm1"), activation="relu")
        y = block(
            *(y, self.width, 3, ("conv2", "norm2")),
            stride=self.stride,
            dilation=self.dilation,
            groups=self.groups,
            activation="relu",
        )
        if self.stride != 1 or x.shape[-1] != self.features:
            x = block(x, self.features, 1, ("downsample_conv", "downsample_norm"), stride=self.stride)
        names = ("conv3", "norm3")
        return block(y, self.features, 1, names, activation="relu", residual=x, zero_scale=self.zero_init)


class ResNeXt(nn.Module):
    """ResNeXt that hands out the maps of its stem and of its four stages.

    With b = base_channels, stage s (1 to 4) has bottlenecks of b * 2^(s-1) * width_per_group / 64 * groups inner and
    4b * 2^(s-1) outer channels. `groups=1, width_per_group=64` is ResNet.

    Attributes:
      stage_sizes: bottlenecks of each stage.
      groups: groups of the 3 x 3 convolutions ("cardinality").
      width_per_group: channels of a group in the first stage, for a base of 64.
      base_channels: channels of the stem.
      remat: compute what is inside of each bottleneck again for the gradient, instead of keeping it.
      compute: see `dms_jax.models.compute.Compute`.
      zero_init_residual: see `Bottleneck.zero_init`.
      dilated: the last stage keeps the size of the one before, its convolutions dilated by 2 (Chen et al., DeepLab,
        2015).
      unpooled_stem: L0 is the stem before its max-pool, at a stride of 2.
    """

    stage_sizes: Sequence[int] = (3, 4, 23, 3)
    groups: int = 32
    width_per_group: int = 4
    base_channels: int = 64
    remat: bool = False
    compute: Compute = Compute()
    zero_init_residual: bool = False
    dilated: bool = False
    unpooled_stem: bool = False

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Map images [B, H, W, 3] to (L0, L1, L2, L3, L4).

        L0 is the stem after its max-pool, [B, H/4, W/4, b]; L1 to L4 have 4b, 8b, 16b and 32b channels at strides of
        4, 8, 16 and 32, sizes rounded up.
        """
        conv = Conv(self.base_channels, 7, stride=2, compute=self.compute, name="stem_conv")
        x = conv_norm(conv, "stem_norm", images, train=train, activation="relu")
        stem, x = x, max_pool(x, plain=self.compute.plain)
        maps = [stem if self.unpooled_stem else x]
        for stage, blocks in enumerate(self.stage_sizes):
            planes = self.base_channels << stage
            dilates = self.dilated and stage == len(self.stage_sizes) - 1
            width = planes * self.width_per_group // 64 * self.groups
            for block in range(blocks):
                bottleneck = Bottleneck(
                    width,
                    4 * planes,
                    stride=2 if stage > 0 and block == 0 and not dilates else 1,
                    dilation=2 if dilates else 1,
                    groups=self.groups,
                    compute=self.compute,
                    zero_init=self.zero_init_residual,
                    name=f"stage{stage + 1}_block{block + 1}",
                )
                x = apply_module(bottleneck, x, train=train, remat=self.remat)
            maps.append(x)
        return tuple(maps)
