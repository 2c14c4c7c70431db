"""Layers shared by the backbone, the side outputs and the refinement loop."""

from functools import reduce
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dms_jax.models.convolution import Conv, TransposedConv
from dms_jax.models.normalization import Activation, BatchNorm, activate
from dms_jax.models.resize import resize_aligned

Array = jax.Array
Dtype = Any


def conv_norm(
    conv: Conv | TransposedConv,
    norm: str,
    *maps: Array,
    train: bool,
    axis_name: str | None,
    activation: Activation = "none",
    slope: Array | None = None,
    residual: Array | None = None,
) -> Array:
    """act(BatchNorm(conv(maps)) + residual), called within a module's `__call__`.

    Args:
      conv: with a bias where its normalisation has been folded into it (`dms_jax.models.folding`).
      norm: name of the BatchNorm.
      *maps: [B, H, W, C_i].
      train: BatchNorm uses the batch's statistics and updates its averages.
      axis_name: device axis over which BatchNorm averages its statistics, or None.
      activation: see `activate`.
      slope: of "prelu".
      residual: of the result's shape, or None.

    Raises:
      ValueError: training, with the normalisation folded.
    """
    x = conv(*maps)
    if not conv.use_bias:
        return BatchNorm(activation, axis_name, name=norm)(x, train=train, slope=slope, residual=residual)
    if train:
        raise ValueError("A network whose BatchNorm is folded predicts only: train the one that it was folded from.")
    return activate(x if residual is None else x + residual, activation, slope)


class PReLUSlope(nn.Module):
    """The one learned slope of a PReLU (He et al., 2015), 0.25 at first, as `flax.linen.PReLU` keeps it."""

    @nn.compact
    def __call__(self) -> Array:
        """The slope, float32 []."""
        return self.param("negative_slope", lambda key: jnp.asarray(0.25, jnp.float32))


class ConvBlock(nn.Module):
    """C(k, o): a k x k convolution without bias, BatchNorm, PReLU with one learned slope.

    Attributes:
      features: output channels o.
      kernel_size: k, odd; the padding keeps the spatial size.
      dilation: spacing of the kernel's taps.
      folded: BatchNorm is folded into the convolution.
      dtype: type of the computation; parameters are float32.
      axis_name: device axis over which BatchNorm averages its statistics, or None.
    """

    features: int
    kernel_size: int = 3
    dilation: int = 1
    folded: bool = False
    dtype: Dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, *maps: Array, train: bool) -> Array:
        """Map [B, H, W, C_i] each, as if joined along their channels, to [B, H, W, features]."""
        conv = Conv(
            self.features,
            self.kernel_size,
            dilation=self.dilation,
            use_bias=self.folded,
            dtype=self.dtype,
            name="conv",
        )
        slope = PReLUSlope(name="prelu")()
        return conv_norm(conv, "norm", *maps, train=train, axis_name=self.axis_name, activation="prelu", slope=slope)


@jax.custom_vjp
def max_pool(x: Array) -> Array:
    """3 x 3 max-pool of stride 2 and padding 1: [B, H, W, C] to [B, ceil(H / 2), ceil(W / 2), C].

    Where several pixels of a window are the largest, its gradient is shared among them.
    """
    return reduce(jnp.maximum, _windows(x))


def _windows(x: Array) -> list[Array]:
    """The nine pixels under a 3 x 3 window of stride 2, padding 1: [B, ceil(H / 2), ceil(W / 2), C] each."""
    batch, height, width, channels = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)
    rows, columns = (height + 1) // 2, (width + 1) // 2
    return [
        jax.lax.slice(padded, (0, i, j, 0), (batch, i + 2 * rows - 1, j + 2 * columns - 1, channels), (1, 2, 2, 1))
        for i in range(3)
        for j in range(3)
    ]


def _max_pool_forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
    y = max_pool(x)
    return y, (x, y)


def _max_pool_backward(saved: tuple[Array, Array], g: Array) -> tuple[Array]:
    x, y = saved
    share = g / sum((window == y).astype(jnp.float32) for window in _windows(x))
    # Computed once: XLA would rather count again for each of the pixels.
    share = jax.lax.optimization_barrier(share)
    # Pixels 2a and 2a + 1 of a row lie in window a, and 2a + 1 also in window a + 1: [B, rows, 2, columns, 2, C].
    batch, rows, columns, channels = y.shape
    _, height, width, _ = x.shape
    x = jnp.pad(x, ((0, 0), (0, 2 * rows - height), (0, 2 * columns - width), (0, 0)))
    x = x.reshape(batch, rows, 2, columns, 2, channels)
    # Nothing to share behind the last window.
    padded = [jnp.pad(z, ((0, 0), (0, 1), (0, 1), (0, 0))) for z in (y, share)]
    is_odd = jnp.array([False, True])
    total = jnp.zeros(x.shape, share.dtype)
    for down in (0, 1):
        for right in (0, 1):
            largest, its_share = (z[:, down : down + rows, None, right : right + columns, None] for z in padded)
            inside = (is_odd | (not down))[:, None, None, None] & (is_odd | (not right))[:, None]
            total = total + jnp.where(inside & (x == largest), its_share, 0)
    return (total.reshape(batch, 2 * rows, 2 * columns, channels)[:, :height, :width].astype(x.dtype),)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def applied(module: nn.Module, *arrays: Any, train: bool, remat: bool, **options: Any) -> Any:
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


class TransposedConvBlock(nn.Module):
    """A 4 x 4 transposed convolution of stride 2 without bias, BatchNorm, PReLU: twice the size, then cropped.

    The convolution is PyTorch's `ConvTranspose2d(C, features, 4, 2, padding=1)`, whose output is exactly twice as
    large. BatchNorm sees all of it; the crop (bottom and right) comes last.

    Attributes:
      features: output channels.
      folded: BatchNorm is folded into the convolution.
      dtype: type of the computation; parameters are float32.
      axis_name: device axis over which BatchNorm averages its statistics, or None.
    """

    features: int
    folded: bool = False
    dtype: Dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, size: tuple[int, int] | None = None, *, train: bool) -> Array:
        """Map [B, h, w, C] to [B, H, W, features] with (H, W) = `size`, or (2h, 2w) where it is None.

        A size beyond (2h, 2w) is reached by `resize_aligned`.
        """
        conv = TransposedConv(self.features, use_bias=self.folded, dtype=self.dtype, name="conv")
        slope = PReLUSlope(name="prelu")()
        x = conv_norm(conv, "norm", x, train=train, axis_name=self.axis_name, activation="prelu", slope=slope)
        if size is None:
            return x
        return resize_aligned(x[:, : size[0], : size[1]], size)
