"""Layers shared by the backbone, the side outputs and the refinement loop."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dms_jax.models.compute import Compute
from dms_jax.ops.batch_norm import Activation, activate, batch_normalize, normalize
from dms_jax.ops.convolution import convolve, convolve_transposed
from dms_jax.ops.resize import resize_aligned

MOMENTUM = 0.9  # of BatchNorm's running statistics: PyTorch's 0.1

he_normal_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
# A transposed kernel is stored [h, w, out, in]: the axes swap their roles.
he_normal_fan_out_transposed = nn.initializers.variance_scaling(2.0, "fan_out", "normal", in_axis=-1, out_axis=-2)


class Conv(nn.Module):
    """A k x k convolution on one map, or on several as if they were joined along their channels.

    The parameter `kernel` is [k, k, C / groups, features], that of `flax.linen.Conv` on the joined maps. They are never
    joined: conv(cat(F, S), K) = conv(F, K_F) + conv(S, K_S), and the 769 channels of cat(F, S) suit no matrix unit.
    Where it has a bias, or BatchNorm is folded into it, there is a parameter `bias` [features].

    Attributes:
      features: output channels.
      kernel_size: k, odd; the padding is half of it on each side, so that stride 1 keeps the size.
      stride: spatial stride.
      dilation: spacing of the kernel's taps.
      groups: groups of channels; 1 where several maps are given.
      use_bias: whether it has a bias; 0 at first.
      compute: see `Compute`.
    """

    features: int
    kernel_size: int
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    use_bias: bool = False
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, *maps: jax.Array) -> jax.Array:
        """Map [B, H, W, C_i] each to [B, ceil(H / stride), ceil(W / stride), features]."""
        k, dtype = self.kernel_size, self.compute.dtype
        channels = sum(x.shape[-1] for x in maps)
        kernel = self.param("kernel", he_normal_fan_out, (k, k, channels // self.groups, self.features))
        result, first = None, 0
        for x in maps:
            part = kernel if len(maps) == 1 else kernel[:, :, first : first + x.shape[-1]]
            first += x.shape[-1]
            y = convolve(
                x.astype(dtype),
                part.astype(dtype),
                stride=self.stride,
                dilation=self.dilation,
                groups=self.groups,
                plain=self.compute.plain,
            )
            result = y if result is None else result + y
        assert result is not None  # of one map at least
        return _with_bias(self, result) if self.use_bias or self.compute.folded else result


class TransposedConv(nn.Module):
    """PyTorch's `ConvTranspose2d(C, features, 4, 2, padding=1)`.

    The parameter `kernel` is [4, 4, features, C], that of `flax.linen.ConvTranspose(..., transpose_kernel=True)`. Where
    BatchNorm is folded into it, there is a parameter `bias` [features].

    Attributes:
      features: output channels.
      compute: see `Compute`.
    """

    features: int
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, h, w, C] to [B, 2h, 2w, features]."""
        dtype = self.compute.dtype
        shape = (4, 4, self.features, x.shape[-1])
        kernel = self.param("kernel", he_normal_fan_out_transposed, shape)
        y = convolve_transposed(x.astype(dtype), kernel.astype(dtype), plain=self.compute.plain)
        return _with_bias(self, y) if self.compute.folded else y


def _with_bias(conv: Conv | TransposedConv, y: jax.Array) -> jax.Array:
    bias = conv.param("bias", nn.initializers.zeros_init(), (conv.features,))
    return y + bias.astype(y.dtype).reshape(1, 1, 1, -1)


class BatchNorm(nn.Module):
    """Batch normalisation, the addition of a residual, and an activation.

    Parameters `scale` and `bias` and statistics `mean` and `var` are those of `flax.linen.BatchNorm`, momentum is 0.9
    (PyTorch's 0.1) and epsilon 1e-5; statistics are float32, and the running variance the biased one.

    Attributes:
      activation: see `dms_jax.ops.batch_norm.activate`.
      compute: see `Compute`; x has its type already.
      zero_scale: `scale` is 0 at first, instead of 1: the result is the residual alone.
    """

    activation: Activation = "none"
    compute: Compute = Compute()
    zero_scale: bool = False

    @nn.compact
    def __call__(
        self, x: jax.Array, *, train: bool, slope: jax.Array | None = None, residual: jax.Array | None = None
    ) -> jax.Array:
        """Map x [B, H, W, C] (and residual, of the same shape) to [B, H, W, C] of x's type."""
        channels = x.shape[-1:]
        initial = nn.initializers.zeros_init() if self.zero_scale else nn.initializers.ones_init()
        scale = self.param("scale", initial, channels)
        bias = self.param("bias", nn.initializers.zeros_init(), channels)
        mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
        variance = self.variable("batch_stats", "var", jnp.ones, channels)
        if not train:
            return normalize(
                x, mean.value, variance.value, scale, bias, activation=self.activation, slope=slope, residual=residual
            )
        axis_name = None if self.is_initializing() else self.compute.axis_name
        y, batch_mean, batch_variance = batch_normalize(
            x, scale, bias, slope, residual, self.activation, axis_name, plain=self.compute.plain
        )
        if not self.is_initializing():
            mean.value = MOMENTUM * mean.value + (1 - MOMENTUM) * batch_mean
            variance.value = MOMENTUM * variance.value + (1 - MOMENTUM) * batch_variance
        return y


class PReLUSlope(nn.Module):
    """The one learned slope of a PReLU (He et al., 2015), 0.25 at first, as `flax.linen.PReLU` keeps it."""

    @nn.compact
    def __call__(self) -> jax.Array:
        """The slope, float32 []."""
        return self.param("negative_slope", lambda key: jnp.asarray(0.25, jnp.float32))


def conv_norm(
    conv: Conv | TransposedConv,
    norm: str,
    *maps: jax.Array,
    train: bool,
    activation: Activation = "none",
    slope: jax.Array | None = None,
    residual: jax.Array | None = None,
    zero_scale: bool = False,
) -> jax.Array:
    """act(BatchNorm(conv(maps)) + residual), called within a module's `__call__`.

    Args:
      conv: says how to compute.
      norm: name of the BatchNorm.
      *maps: [B, H, W, C_i].
      train: BatchNorm uses the batch's statistics and updates its averages.
      activation: see `dms_jax.ops.batch_norm.activate`.
      slope: of "prelu".
      residual: of the result's shape, or None.
      zero_scale: see `BatchNorm`.

    Raises:
      ValueError: training, with the normalisation folded.
    """
    x = conv(*maps)
    if not conv.compute.folded:
        return BatchNorm(activation, conv.compute, zero_scale, name=norm)(
            x, train=train, slope=slope, residual=residual
        )
    if train:
        raise ValueError("A network whose BatchNorm is folded predicts only: train the one that it was folded from.")
    return activate(x if residual is None else x + residual, activation, slope)


def prior_logit(prior: float | None) -> float:
    """The logit of a probability, kept away from 0 and 1; 0 without one."""
    if prior is None:
        return 0.0
    share = float(np.clip(prior, 1e-4, 1 - 1e-4))
    return float(np.log(share / (1 - share)))


class ConvBlock(nn.Module):
    """C(k, o): a k x k convolution without bias, BatchNorm, PReLU with one learned slope.

    Attributes:
      features: output channels o.
      kernel_size: k, odd; the padding keeps the spatial size.
      dilation: spacing of the kernel's taps.
      compute: see `Compute`.
    """

    features: int
    kernel_size: int = 3
    dilation: int = 1
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, *maps: jax.Array, train: bool) -> jax.Array:
        """Map [B, H, W, C_i] each, as if joined along their channels, to [B, H, W, features]."""
        conv = Conv(self.features, self.kernel_size, dilation=self.dilation, compute=self.compute, name="conv")
        slope = PReLUSlope(name="prelu")()
        return conv_norm(conv, "norm", *maps, train=train, activation="prelu", slope=slope)


class TransposedConvBlock(nn.Module):
    """A 4 x 4 transposed convolution of stride 2 without bias, BatchNorm, PReLU: twice the size, then cropped.

    The convolution is PyTorch's `ConvTranspose2d(C, features, 4, 2, padding=1)`, whose output is exactly twice as
    large. BatchNorm sees all of it; the crop (bottom and right) comes last.

    Attributes:
      features: output channels.
      compute: see `Compute`.
    """

    features: int
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: jax.Array, size: tuple[int, int] | None = None, *, train: bool) -> jax.Array:
        """Map [B, h, w, C] to [B, H, W, features] with (H, W) = `size`, or (2h, 2w) where it is None.

        A size beyond (2h, 2w) is reached by `resize_aligned`.
        """
        conv = TransposedConv(self.features, self.compute, name="conv")
        slope = PReLUSlope(name="prelu")()
        x = conv_norm(conv, "norm", x, train=train, activation="prelu", slope=slope)
        if size is None:
            return x
        return resize_aligned(x[:, : size[0], : size[1]], size, plain=self.compute.plain)


def apply_module(module: nn.Module, *arrays: Any, train: bool, remat: bool, **options: Any) -> Any:
    """Call a module on its arrays.

    Args:
      module: with a keyword `train`; already named.
      *arrays: arrays, dataclasses of arrays or None.
      train: handed on.
      remat: do not keep what the module computes on the way for the gradient, but compute it again: less memory, more
        time, the same result.
      **options: handed on; no arrays.
    """
    if not remat:
        return module(*arrays, train=train, **options)
    return nn.remat(lambda module, *arrays: module(*arrays, train=train, **options))(module, *arrays)
