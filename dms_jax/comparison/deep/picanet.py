"""PiCANet: Liu, Han and Yang, "PiCANet: Learning Pixel-wise Contextual Attention for Saliency Detection", CVPR 2018.

The paper's network on VGG16: a decoder in which each pixel chooses by attention where it takes its context from, in the
whole map at the two deepest levels and around itself at the next three.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from dms_jax.comparison.deep.layers import ConvLayer
from dms_jax.comparison.deep.lstm import ReNet
from dms_jax.comparison.deep.network import ComparisonNetwork
from dms_jax.comparison.deep.vgg import CHANNELS, VGG16
from dms_jax.models.compute import Compute
from dms_jax.models.layers import Conv
from dms_jax.models.network import SaliencyOutput
from dms_jax.models.preprocessing import as_input
from dms_jax.models.refinement import SaliencyHead
from dms_jax.ops.resize import map_size, resize_aligned

Attention = Literal["global", "local", "none"]
_GRID = 10  # places along an axis that global attention chooses from
_WINDOW, _SPACING = 7, 2  # and local attention, with their distance in pixels
# Of the decoder's levels 6 to 1: the attention, the channels that it works on, and those that it hands on.
_DECODER: tuple[tuple[Attention, int, int], ...] = (
    ("global", 1024, 512),
    ("global", 512, 512),
    ("local", 512, 256),
    ("local", 256, 128),
    ("local", 128, 64),
    ("none", 64, 64),
)


class GlobalAttention(nn.Module):
    """Each pixel's mean of a map in a grid of 10 x 10 places all over it, with weights that a `ReNet` gives.

    At the paper's 28 x 28 pixels the places are every third pixel.

    Attributes:
      features: of each LSTM.
      compute: see `dms_jax.models.compute.Compute`.
    """

    features: int = 256
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, C]."""
        context = ReNet(self.features, self.compute, name="renet")(x)
        # No BatchNorm follows that could be folded into it.
        weights = Conv(_GRID**2, 1, use_bias=True, compute=replace(self.compute, folded=False), name="weights")
        places = resize_aligned(x, (_GRID, _GRID), plain=self.compute.plain)
        places = places.reshape(x.shape[0], _GRID**2, x.shape[-1])
        return jnp.einsum("bhwk,bkc->bhwc", _softmax(weights(context)), places)


class LocalAttention(nn.Module):
    """Each pixel's mean of a map in 7 x 7 places around it, two pixels apart, with weights that convolutions give.

    Attributes:
      features: channels of the first convolution, which sees as far.
      batch_norm: BatchNorm after it.
      compute: see `dms_jax.models.compute.Compute`.
    """

    features: int = 128
    batch_norm: bool = True
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, C]. Places outside of the map are 0."""
        layer = ConvLayer(
            *(self.features, _WINDOW, 1, _SPACING), batch_norm=self.batch_norm, compute=self.compute, name="context"
        )
        weights = Conv(_WINDOW**2, 1, use_bias=True, compute=replace(self.compute, folded=False), name="weights")
        # Computed again for the gradient: it would keep the map once for each of the 49 places.
        return jax.checkpoint(_weighted_window)(x, _softmax(weights(layer(x, train=train))))


def _weighted_window(x: jax.Array, weights: jax.Array) -> jax.Array:
    """Sum over places k of weights [B, H, W, k] times x [B, H, W, C] at that place."""
    height, width = map_size(x)
    border = _WINDOW // 2 * _SPACING
    padded = jnp.pad(x, ((0, 0), (border, border), (border, border), (0, 0)))
    wide = jnp.promote_types(x.dtype, jnp.float32)
    total = jnp.zeros(x.shape, wide)
    for k in range(_WINDOW**2):
        top, left = (_SPACING * i for i in divmod(k, _WINDOW))
        place = padded[:, top : top + height, left : left + width]
        total = total + weights[..., k : k + 1].astype(wide) * place.astype(wide)
    return total.astype(x.dtype)


def _softmax(logits: jax.Array) -> jax.Array:
    """Weights that add up to 1, computed in float32, of the logits' type."""
    wide = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    return jax.nn.softmax(wide, axis=-1).astype(logits.dtype)


class PiCANet(ComparisonNetwork):
    """Six maps, of the decoder's levels 6 to 1.

    The paper's loss weighs them by 0.5 three times, 0.8 twice, and 1.

    Attributes:
      batch_norm: BatchNorm after each convolution of VGG16 and of the decoder but those of attention weights; False:
        only after what a level of the decoder hands on, where the paper has it too.
    """

    batch_norm: bool = True

    title = "PiCANet"
    published_loss: ClassVar[Mapping[str, Any]] = {
        **ComparisonNetwork.published_loss,
        "output_weights": (0.5, 0.5, 0.5, 0.8, 0.8, 1.0),
    }

    @property
    def num_outputs(self) -> int:
        """One for each level of the decoder."""
        return len(_DECODER)

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> SaliencyOutput:
        """See `ComparisonNetwork`; features are encoder6 and decoder6 to decoder1."""
        channels = tuple(map(self.channels, CHANNELS))
        backbone = VGG16(channels, self.batch_norm, True, self.compute, name="backbone")
        stages = backbone(as_input(images, self.dtype), train=train)

        def conv(name: str, *maps: jax.Array, width: int, kernel: int = 1, dilation: int = 1) -> jax.Array:
            fields = (self.channels(width), kernel, 1, dilation, self.batch_norm)
            return ConvLayer(*fields, compute=self.compute, name=name)(*maps, train=train)

        deepest = conv("fc6", stages[-1], width=1024, kernel=3, dilation=12)
        deepest = conv("fc7", deepest, width=1024)
        features, logits = {"encoder6": deepest}, []
        x = deepest
        for level, skip, (attention, width, handed_on) in zip(
            range(6, 0, -1), (None, *stages[::-1]), _DECODER, strict=True
        ):
            if skip is not None:
                x = resize_aligned(x, map_size(skip), plain=self.plain)
                x = conv(f"join{level}", jnp.concatenate((skip, x), axis=-1), width=width)
            if attention != "none":
                name = f"attention{level}"
                if attention == "global":
                    context = GlobalAttention(self.channels(256), self.compute, name=name)(x)
                else:
                    module = LocalAttention(self.channels(128), self.batch_norm, self.compute, name=name)
                    context = module(x, train=train)
                out = ConvLayer(self.channels(handed_on), 1, compute=self.compute, name=f"decoder{level}")
                x = out(jnp.concatenate((x, context), axis=-1), train=train)
            features[f"decoder{level}"] = x
            logits.append(SaliencyHead(self.saliency_prior, name=f"score{level}")(x))
        return self.output(images, logits, features)
