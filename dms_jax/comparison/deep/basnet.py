"""BASNet: Qin et al., "BASNet: Boundary-Aware Salient Object Detection", CVPR 2019.

An encoder of ResNet-34's stages and two more, a bridge, a decoder with a map at each stage, and a second, smaller
encoder and decoder that refines the last map. Maps are enlarged with aligned corners, as everywhere in this project.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from dms_jax.comparison.deep.layers import ConvLayer, Score
from dms_jax.comparison.deep.network import ComparisonNetwork
from dms_jax.models.compute import Compute
from dms_jax.models.network import SaliencyOutput
from dms_jax.models.preprocessing import as_input
from dms_jax.ops.pooling import halving_max_pool
from dms_jax.ops.resize import map_size, resize_aligned

# Of each stage: blocks, channels, and how it becomes smaller than the stage before.
_STAGES = (
    *((3, 64, "not"), (4, 128, "stride"), (6, 256, "stride"), (3, 512, "stride"), (3, 512, "pool"), (3, 512, "pool")),
)
# Of the decoder's stages, from the deepest: the channels of its three convolutions, and their dilations.
_DECODER = (
    ((512, 512, 512), (1, 2, 2)),
    ((512, 512, 512), (1, 1, 1)),
    ((512, 512, 256), (1, 1, 1)),
    ((256, 256, 128), (1, 1, 1)),
    ((128, 128, 64), (1, 1, 1)),
    ((64, 64, 64), (1, 1, 1)),
)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut: He et al., "Deep Residual Learning", CVPR 2016.

    Attributes:
      features: output channels.
      stride: spatial stride.
      compute: see `dms_jax.models.compute.Compute`.
    """

    features: int
    stride: int = 1
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map [B, H, W, C] to [B, ceil(H / stride), ceil(W / stride), features]."""
        y = ConvLayer(self.features, stride=self.stride, compute=self.compute, name="layer1")(x, train=train)
        if self.stride != 1 or x.shape[-1] != self.features:
            shortcut = ConvLayer(
                *(self.features, 1, self.stride), activation="none", compute=self.compute, name="downsample"
            )
            x = shortcut(x, train=train)
        return ConvLayer(self.features, compute=self.compute, name="layer2")(y, train=train, residual=x)


class Refinement(nn.Module):
    """The refinement module: a map of logits in, a residual for it out.

    Attributes:
      features: channels of all its convolutions.
      compute: see `dms_jax.models.compute.Compute`.
    """

    features: int = 64
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, logits: jax.Array, *, train: bool) -> jax.Array:
        """Map logits [B, H, W, 1] to those refined, float32 [B, H, W, 1]."""

        def layer(name: str) -> ConvLayer:
            return ConvLayer(self.features, name=name, compute=self.compute)

        plain = self.compute.plain
        first = ConvLayer(
            self.features,
            batch_norm=False,
            activation="none",
            compute=replace(self.compute, folded=False),
            name="enter",
        )
        x = first(logits, train=train)
        skips = []
        for i in range(1, 5):
            x = layer(f"down{i}")(x, train=train)
            skips.append(x)
            x = halving_max_pool(x, plain=plain)
        x = layer("bridge")(x, train=train)
        for i in range(4, 0, -1):
            skip = skips[i - 1]
            x = jnp.concatenate((resize_aligned(x, map_size(skip), plain=plain), skip), axis=-1)
            x = layer(f"up{i}")(x, train=train)
        return logits + Score(name="residual", compute=self.compute)(x)


class BASNet(ComparisonNetwork):
    """Eight maps: the bridge's, those of the decoder's six stages, and the refined one.

    The fields are those of `ComparisonNetwork`. The paper's loss of each map is the sum of cross-entropy, structural
    similarity and soft IoU.
    """

    title = "BASNet"
    published_loss: ClassVar[Mapping[str, Any]] = {
        "iou_weight": 1.0,
        "iou_on": "all",
        "ssim_weight": 1.0,
        "output_weights": (),
    }

    @property
    def num_outputs(self) -> int:
        """Of the bridge, the decoder's stages and the refinement."""
        return len(_DECODER) + 2

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> SaliencyOutput:
        """See `ComparisonNetwork`; features are stage1 to stage6, bridge and decoder6 to decoder1."""
        features: dict[str, jax.Array] = {}
        x = ConvLayer(self.channels(64), compute=self.compute, name="enter")(as_input(images, self.dtype), train=train)
        for stage, (blocks, channels, smaller) in enumerate(_STAGES, 1):
            x = halving_max_pool(x, plain=self.plain) if smaller == "pool" else x
            for i in range(1, blocks + 1):
                stride = 2 if smaller == "stride" and i == 1 else 1
                block = BasicBlock(self.channels(channels), stride, self.compute, name=f"stage{stage}_block{i}")
                x = block(x, train=train)
            features[f"stage{stage}"] = x
        for i in range(1, 4):
            layer = ConvLayer(self.channels(512), dilation=2, compute=self.compute, name=f"bridge{i}")
            x = layer(x, train=train)
        features["bridge"] = x
        saliency = [Score(name="score_bridge", prior=self.saliency_prior, compute=self.compute)(x)]
        for stage, (widths, dilations) in zip(range(6, 0, -1), _DECODER, strict=True):
            skip = features[f"stage{stage}"]
            x = jnp.concatenate((resize_aligned(x, map_size(skip), plain=self.plain), skip), axis=-1)
            for i, (width, dilation) in enumerate(zip(widths, dilations, strict=True), 1):
                name = f"decoder{stage}_layer{i}"
                layer = ConvLayer(self.channels(width), dilation=dilation, compute=self.compute, name=name)
                x = layer(x, train=train)
            features[f"decoder{stage}"] = x
            saliency.append(Score(name=f"score{stage}", prior=self.saliency_prior, compute=self.compute)(x))
        saliency.append(Refinement(self.channels(64), self.compute, name="refinement")(saliency[-1], train=train))
        return self.output(images, saliency, features)
