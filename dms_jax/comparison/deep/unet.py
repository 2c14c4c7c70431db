"""U-Net: Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015.

The paper's widths and depth. Its convolutions are padded, so that the map is as large as the image, and followed by
BatchNorm, as in most implementations since.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from dms_jax.comparison.deep.layers import ConvLayer, DoublingConv
from dms_jax.comparison.deep.network import ComparisonNetwork
from dms_jax.models.compute import Compute
from dms_jax.models.network import SaliencyOutput
from dms_jax.models.preprocessing import as_input
from dms_jax.models.refinement import SaliencyHead
from dms_jax.ops.pooling import halving_max_pool
from dms_jax.ops.resize import map_size


class DoubleConv(nn.Module):
    """Two 3 x 3 convolutions, each with BatchNorm and ReLU.

    Attributes:
      features: output channels of both.
      compute: see `dms_jax.models.compute.Compute`.
    """

    features: int
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, features]."""
        x = ConvLayer(self.features, name="layer1", compute=self.compute)(x, train=train)
        return ConvLayer(self.features, name="layer2", compute=self.compute)(x, train=train)


class UNet(ComparisonNetwork):
    """Five levels of 64 to 1024 channels, down by max-pools and up by transposed convolutions, with skip connections.

    The fields are those of `ComparisonNetwork`.
    """

    title = "U-Net"

    @property
    def num_outputs(self) -> int:
        """One map."""
        return 1

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> SaliencyOutput:
        """See `ComparisonNetwork`; features are down1 to down5 and up4 to up1, by level."""
        x = as_input(images, self.dtype)
        features: dict[str, jax.Array] = {}
        for level in range(1, 6):
            x = x if level == 1 else halving_max_pool(x, plain=self.plain)
            block = DoubleConv(self.channels(32 << level), name=f"down{level}", compute=self.compute)
            features[f"down{level}"] = x = block(x, train=train)
        for level in range(4, 0, -1):
            width, skip = self.channels(32 << level), features[f"down{level}"]
            height, breadth = map_size(skip)
            # The pools round sizes up, so that twice the smaller map covers the larger one.
            x = DoublingConv(width, name=f"enlarge{level}", compute=self.compute)(x)[:, :height, :breadth]
            block = DoubleConv(width, name=f"up{level}", compute=self.compute)
            features[f"up{level}"] = x = block(jnp.concatenate((skip, x), axis=-1), train=train)
        logits = SaliencyHead(self.saliency_prior, name="saliency")(x)
        return self.output(images, [logits], features)
