"""Side outputs: the backbone's five maps joined to low, middle and high level features (the paper's eq. 1, Table 1)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from dms_jax.models.compute import Compute
from dms_jax.models.layers import ConvBlock
from dms_jax.ops.resize import map_size, resize_aligned


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: the last block of HF in ablation C (Chen et al., DeepLab v3, 2017).

    Half the channels in each of five branches (1 x 1; 3 x 3 at dilation 2, 4 and 6; global average), concatenated and
    brought back by a 1 x 1 block.

    Attributes:
      features: output channels.
      compute: see `dms_jax.models.compute.Compute`.
    """

    features: int = 256
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, features]."""

        def block(features: int, kernel: int, name: str, dilation: int = 1) -> ConvBlock:
            return ConvBlock(features, kernel, dilation=dilation, name=name, compute=self.compute)

        half = self.features // 2
        branches = [block(half, 1, "point")(x, train=train)]
        for rate in (2, 4, 6):
            branches.append(block(half, 3, f"dilated{rate}", rate)(x, train=train))
        pooled = block(half, 1, "pooled")(jnp.mean(x, axis=(1, 2), keepdims=True), train=train)
        branches.append(jnp.broadcast_to(pooled, branches[0].shape))
        return block(self.features, 1, "fuse")(jnp.concatenate(branches, axis=-1), train=train)


class SideOutput(nn.Module):
    """f_conv of eq. 1: C(3, 256), C(3, 256), C(1, 256) on one backbone map, or on two joined at the larger's size.

    Attributes:
      features: channels of each of the three blocks.
      aspp: the third block is an `ASPP` (ablation C).
      compute: see `dms_jax.models.compute.Compute`.
    """

    features: int = 256
    aspp: bool = False
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: jax.Array, coarser: jax.Array | None = None, *, train: bool) -> jax.Array:
        """Map x [B, H, W, C] and, where given, coarser [B, h, w, D] to [B, H, W, features]."""
        if coarser is not None:
            x = jnp.concatenate((x, resize_aligned(coarser, map_size(x), plain=self.compute.plain)), axis=-1)
        x = ConvBlock(self.features, 3, name="block1", compute=self.compute)(x, train=train)
        x = ConvBlock(self.features, 3, name="block2", compute=self.compute)(x, train=train)
        if self.aspp:
            return ASPP(self.features, name="aspp", compute=self.compute)(x, train=train)
        return ConvBlock(self.features, 1, name="block3", compute=self.compute)(x, train=train)
