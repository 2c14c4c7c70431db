"""The backbone: ResNeXt, post-activation, with the stride on the grouped 3 x 3 convolution.

Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", CVPR 2017. Padding is explicit throughout:
"SAME" pads strided convolutions on the other side than PyTorch does, which weights trained there expect.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from dms_jax.models.layers import Array, Dtype, applied, batch_norm, he_normal_fan_out, max_pool

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
      dtype: type of the computation.
      axis_name: device axis over which BatchNorm averages its statistics, or None.
    """

    width: int
    features: int
    stride: int = 1
    groups: int = 32
    dtype: Dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Map [B, H, W, C] to [B, ceil(H / stride), ceil(W / stride), features]."""

        def conv(features: int, kernel: int, name: str, stride: int = 1, groups: int = 1) -> nn.Conv:
            padding = kernel // 2
            return nn.Conv(
                features,
                (kernel, kernel),
                strides=stride,
                padding=((padding, padding), (padding, padding)),
                feature_group_count=groups,
                use_bias=False,
                dtype=self.dtype,
                kernel_init=he_normal_fan_out,
                name=name,
            )

        def norm(name: str) -> nn.BatchNorm:
            return batch_norm(train=train, dtype=self.dtype, axis_name=self.axis_name, name=name)

        y = nn.relu(norm("norm1")(conv(self.width, 1, "conv1")(x)))
        y = nn.relu(norm("norm2")(conv(self.width, 3, "conv2", self.stride, self.groups)(y)))
        y = norm("norm3")(conv(self.features, 1, "conv3")(y))
        if self.stride != 1 or x.shape[-1] != self.features:
            x = conv(self.features, 1, "downsample_conv", self.stride)(x)
            x = norm("downsample_norm")(x)
        return nn.relu(x + y)


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
      dtype: type of the computation.
      axis_name: device axis over which BatchNorm averages its statistics, or None.
    """

    stage_sizes: Sequence[int] = (3, 4, 23, 3)
    groups: int = 32
    width_per_group: int = 4
    base_channels: int = 64
    remat: bool = False
    dtype: Dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> tuple[Array, ...]:
        """Map images [B, H, W, 3] to (L0, L1, L2, L3, L4).

        L0 is the stem after its max-pool, [B, H/4, W/4, b]; L1 to L4 have 4b, 8b, 16b and 32b channels at strides of
        4, 8, 16 and 32, sizes rounded up.
        """
        x = nn.Conv(
            self.base_channels,
            (7, 7),
            strides=2,
            padding=((3, 3), (3, 3)),
            use_bias=False,
            dtype=self.dtype,
            kernel_init=he_normal_fan_out,
            name="stem_conv",
        )(images)
        x = batch_norm(train=train, dtype=self.dtype, axis_name=self.axis_name, name="stem_norm")(x)
        x = max_pool(nn.relu(x))
        maps = [x]
        for stage, blocks in enumerate(self.stage_sizes):
            planes = self.base_channels << stage
            width = planes * self.width_per_group // 64 * self.groups
            for block in range(blocks):
                bottleneck = Bottleneck(
                    width,
                    4 * planes,
                    stride=2 if stage > 0 and block == 0 else 1,
                    groups=self.groups,
                    dtype=self.dtype,
                    axis_name=self.axis_name,
                    name=f"stage{stage + 1}_block{block + 1}",
                )
                x = applied(bottleneck, x, train=train, remat=self.remat)
            maps.append(x)
        return tuple(maps)
