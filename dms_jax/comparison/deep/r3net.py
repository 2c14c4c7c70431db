"""R3Net: Deng et al., "R3Net: Recurrent Residual Refinement Network for Saliency Detection", IJCAI 2018.

A first map from the high-level features, and six residual refinement blocks that read the low-level and the high-level
features in turns. SDMS and BDMS come from it, and it is made of their parts: backbone, side outputs and blocks.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from dms_jax.comparison.deep.resnet import ResNetComparisonNetwork
from dms_jax.models.network import SaliencyOutput
from dms_jax.models.preprocessing import as_input
from dms_jax.models.refinement import ResidualRefinementBlock, SaliencyHead
from dms_jax.models.resnext import BACKBONES
from dms_jax.models.side_outputs import SideOutput
from dms_jax.ops.resize import map_size, resize_aligned

_RESNEXT101 = BACKBONES["resnext101_32x4d"]
_BLOCKS = 6


class R3Net(ResNetComparisonNetwork):
    """Seven maps at the size of the low-level features: S_0 = conv(H), S_i = S_{i-1} + r(cat(S_{i-1}, L or H)).

    L joins the stem's map with the first two stages', H the last two stages', with an ASPP. L comes first.
    """

    stage_sizes: Sequence[int] = _RESNEXT101["stage_sizes"]
    groups: int = _RESNEXT101["groups"]
    width_per_group: int = _RESNEXT101["width_per_group"]
    base_channels: int = _RESNEXT101["base_channels"]

    title = "R3Net"

    @property
    def num_outputs(self) -> int:
        """The first map and that of each block."""
        return 1 + _BLOCKS

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> SaliencyOutput:
        """See `ComparisonNetwork`; features are the backbone's L0 to L4, low and high."""
        l0, l1, l2, l3, l4 = self.backbone()(as_input(images, self.dtype), train=train)
        width = self.channels(256)
        # L0 and L1 have the same size.
        low = SideOutput(width, name="low", compute=self.compute)(jnp.concatenate((l0, l1), axis=-1), l2, train=train)
        high = SideOutput(width, aspp=True, name="high", compute=self.compute)(l3, l4, train=train)
        high = resize_aligned(high, map_size(low), plain=self.plain)
        saliency = [SaliencyHead(self.saliency_prior, name="saliency")(high)]
        for i in range(1, _BLOCKS + 1):
            block = ResidualRefinementBlock(self.channels(128), compute=self.compute, name=f"refine{i}")
            saliency.append(saliency[-1] + block(low if i % 2 else high, saliency[-1], train=train))
        features = {"L0": l0, "L1": l1, "L2": l2, "L3": l3, "L4": l4, "low": low, "high": high}
        return self.output(images, saliency, features)
