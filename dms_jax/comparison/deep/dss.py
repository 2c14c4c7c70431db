"""DSS: Hou et al., "Deeply Supervised Salient Object Detection with Short Connections", CVPR 2017.

VGG16 with a side output at each stage and at the last pool. A side output's score also reads those of deeper side
outputs, by short connections, and a seventh score fuses the six. That last one is the answer here; the paper averages
it with three of the others, and refines the result by a conditional random field.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from dms_jax.comparison.deep.layers import ConvLayer
from dms_jax.comparison.deep.network import ComparisonNetwork
from dms_jax.comparison.deep.vgg import CHANNELS, VGG16
from dms_jax.models.network import SaliencyOutput
from dms_jax.models.preprocessing import as_input
from dms_jax.models.refinement import SaliencyHead
from dms_jax.ops.pooling import halving_max_pool
from dms_jax.ops.resize import map_size, resize_aligned

# Channels and kernel of the two convolutions of side output 1 to 6 (the paper's Table 1).
_SIDES = ((128, 3), (128, 3), (256, 5), (256, 5), (512, 5), (512, 7))
# The deeper side outputs that each is connected with.
_CONNECTED = {6: (), 5: (), 4: (5, 6), 3: (5, 6), 2: (3, 4, 5, 6), 1: (3, 4, 5, 6)}


class DSS(ComparisonNetwork):
    """Seven maps: those of side outputs 6 to 1, and the fused one.

    Attributes:
      batch_norm: BatchNorm after each convolution of VGG16 and of the side outputs, instead of a bias; see `FCN8s`.
    """

    batch_norm: bool = True

    title = "DSS"

    @property
    def num_outputs(self) -> int:
        """The side outputs and the fused one."""
        return len(_SIDES) + 1

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> SaliencyOutput:
        """See `ComparisonNetwork`; features are side1 to side6."""
        channels = tuple(map(self.channels, CHANNELS))
        stages = VGG16(channels, self.batch_norm, compute=self.compute, name="backbone")(
            as_input(images, self.dtype), train=train
        )
        maps = (*stages, halving_max_pool(stages[-1], plain=self.plain))
        features: dict[str, jax.Array] = {}
        scores: dict[int, jax.Array] = {}

        def resized(score: jax.Array, size: tuple[int, int]) -> jax.Array:
            return resize_aligned(score, size, plain=self.plain)

        for side in range(len(_SIDES), 0, -1):
            x, (width, kernel) = maps[side - 1], _SIDES[side - 1]
            for i in (1, 2):
                name = f"side{side}_layer{i}"
                layer = ConvLayer(
                    self.channels(width), kernel, batch_norm=self.batch_norm, compute=self.compute, name=name
                )
                x = layer(x, train=train)
            features[f"side{side}"] = x
            score = SaliencyHead(self.saliency_prior, name=f"score{side}")(x)
            deeper = [resized(scores[j], map_size(x)) for j in _CONNECTED[side]]
            scores[side] = _mixed(f"connect{side}", [score, *deeper]) if deeper else score
        logits = list(scores.values())
        fused = _mixed("fuse", [resized(score, map_size(images)) for score in logits])
        return self.output(images, [*logits, fused], features)


def _mixed(name: str, scores: list[jax.Array]) -> jax.Array:
    """A 1 x 1 convolution of scores [B, h, w, 1], which begins as their mean."""
    count = len(scores)
    mixing = nn.Dense(1, kernel_init=nn.initializers.constant(1 / count), name=name)
    return mixing(jnp.concatenate(scores, axis=-1))
