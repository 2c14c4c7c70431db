"""VGG16 without its classifier: Simonyan and Zisserman, "Very Deep Convolutional Networks", ICLR 2015, column D."""

from collections.abc import Sequence

import flax.linen as nn
import jax

from dms_jax.comparison.deep.layers import ConvLayer
from dms_jax.models.compute import Compute
from dms_jax.ops.pooling import halving_max_pool

STAGE_SIZES = (2, 2, 3, 3, 3)
CHANNELS = (64, 128, 256, 512, 512)


class VGG16(nn.Module):
    """Thirteen 3 x 3 convolutions in five stages, with a max-pool before each stage but the first.

    Attributes:
      channels: of the five stages.
      batch_norm: BatchNorm after each convolution instead of a bias.
      dilated: the last stage keeps the size of the one before, its convolutions dilated by 2.
      compute: see `dms_jax.models.compute.Compute`.
    """

    channels: Sequence[int] = CHANNELS
    batch_norm: bool = True
    dilated: bool = False
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
        """Map images [B, H, W, 3] to the stages' maps, at strides of 1, 2, 4, 8 and 16, sizes rounded up."""
        x, maps = images, []
        for stage, (count, channels) in enumerate(zip(STAGE_SIZES, self.channels, strict=True), 1):
            dilates = self.dilated and stage == len(STAGE_SIZES)
            if stage > 1 and not dilates:
                x = halving_max_pool(x, plain=self.compute.plain)
            for layer in range(1, count + 1):
                name = f"stage{stage}_layer{layer}"
                dilation = 2 if dilates else 1
                block = ConvLayer(
                    channels, dilation=dilation, batch_norm=self.batch_norm, compute=self.compute, name=name
                )
                x = block(x, train=train)
            maps.append(x)
        return tuple(maps)
