"""PoolNet: Liu et al., "A Simple Pooling-Based Design for Real-Time Salient Object Detection", CVPR 2019.

ResNet-50 with a dilated last stage; a pyramid pooling module on top of it, whose global guidance is given to each stage
of the decoder; and a feature aggregation module, which averages in windows of 2, 4 and 8 pixels, after each of them.
Without the paper's joint training on a dataset of edges.
"""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from dms_jax.comparison.deep.average import adaptive_average_pool, average_pool
from dms_jax.comparison.deep.layers import ConvLayer
from dms_jax.comparison.deep.resnet import ResNetComparisonNetwork
from dms_jax.models.compute import Compute
from dms_jax.models.network import SaliencyOutput
from dms_jax.models.preprocessing import as_input
from dms_jax.models.refinement import SaliencyHead
from dms_jax.ops.resize import map_size, resize_aligned

# Channels that the backbone's five maps are brought to, and of what each stage of the decoder hands on.
_CONVERTED = (128, 256, 256, 512, 512)
_DECODED = (512, 256, 256, 128, 128)
_GRIDS = (1, 3, 5)
_WINDOWS = (2, 4, 8)


class PyramidPooling(nn.Module):
    """A map beside its averages in grids of 1, 3 and 5 windows (Zhao et al., PSPNet, CVPR 2017).

    Attributes:
      features: channels of each of the four, and of the result.
      batch_norm: BatchNorm after each convolution, none of which has a bias.
      compute: see `dms_jax.models.compute.Compute`.
    """

    features: int
    batch_norm: bool = True
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, features]."""
        make = _layers(self.batch_norm, self.compute)
        x = make(self.features, 1, "reduce", "none")(x, train=train)
        branches = [x]
        for count in _GRIDS:
            y = make(self.features, 1, f"grid{count}")(adaptive_average_pool(x, count), train=train)
            branches.append(resize_aligned(y, map_size(x), plain=self.compute.plain))
        return make(self.features, 3, "fuse")(jnp.concatenate(branches, axis=-1), train=train)


class FeatureAggregation(nn.Module):
    """A map and its averages in windows of 2, 4 and 8 pixels, added up; then joined with finer maps, by addition.

    Attributes:
      features: output channels.
      batch_norm: BatchNorm after each convolution, none of which has a bias.
      compute: see `dms_jax.models.compute.Compute`.
    """

    features: int
    batch_norm: bool = True
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: jax.Array, finer: jax.Array | None, guidance: jax.Array | None, *, train: bool) -> jax.Array:
        """Map x [B, h, w, C] to [B, H, W, features], the shape of the other two, or to [B, h, w, features]."""
        make, plain = _layers(self.batch_norm, self.compute), self.compute.plain
        total = x
        for size in _WINDOWS:
            y = make(x.shape[-1], 3, f"window{size}", "none")(average_pool(x, size), train=train)
            total = total + resize_aligned(y, map_size(x), plain=plain)
        x = jax.nn.relu(total)
        if finer is None or guidance is None:
            return make(self.features, 3, "sum", "none")(x, train=train)
        x = make(self.features, 3, "sum", "none")(resize_aligned(x, map_size(finer), plain=plain), train=train)
        return make(self.features, 3, "fuse", "none")(x + finer + guidance, train=train)


def _layers(batch_norm: bool, compute: Compute) -> Callable[..., ConvLayer]:
    """What makes this network's convolutions, which have no bias, of channels, kernel, name and activation."""

    def make(features: int, kernel: int, name: str, activation: Literal["relu", "none"] = "relu") -> ConvLayer:
        return ConvLayer(
            *(features, kernel),
            batch_norm=batch_norm,
            use_bias=False,
            activation=activation,
            compute=compute,
            name=name,
        )

    return make


class PoolNet(ResNetComparisonNetwork):
    """One map.

    Attributes:
      batch_norm: BatchNorm after each convolution of the decoder; the paper, which starts from ImageNet weights, has it
        in the backbone alone.
    """

    batch_norm: bool = True

    title = "PoolNet"

    @property
    def num_outputs(self) -> int:
        """One map."""
        return 1

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> SaliencyOutput:
        """See `ComparisonNetwork`; features are the backbone's L0 to L4, guidance and decoder4 to decoder0."""
        maps = self.backbone(dilated=True, unpooled_stem=True)(as_input(images, self.dtype), train=train)
        make, fields = _layers(self.batch_norm, self.compute), (self.batch_norm, self.compute)
        features = {f"L{i}": x for i, x in enumerate(maps)}
        pyramid = PyramidPooling(self.channels(512), *fields, name="pyramid")(maps[-1], train=train)
        features["guidance"] = pyramid
        converted = [
            make(self.channels(width), 1, f"convert{i}")(x, train=train)
            for i, (x, width) in enumerate(zip(maps, _CONVERTED, strict=True))
        ]
        x = converted[-1]
        for level, width in zip(range(4, -1, -1), _DECODED, strict=True):
            finer = guidance = None
            if level:
                finer = converted[level - 1]
                guidance = resize_aligned(pyramid, map_size(finer), plain=self.plain)
                guidance = make(self.channels(width), 3, f"guide{level}")(guidance, train=train)
            module = FeatureAggregation(self.channels(width), *fields, name=f"decoder{level}")
            features[f"decoder{level}"] = x = module(x, finer, guidance, train=train)
        return self.output(images, [SaliencyHead(self.saliency_prior, name="saliency")(x)], features)
