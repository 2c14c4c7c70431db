"""Layers shared by the backbone, the side outputs and the refinement loop."""

from functools import reduce
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
Dtype = Any

he_normal_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
# A transposed kernel is stored [h, w, out, in]: the axes swap their roles.
he_normal_fan_out_transposed = nn.initializers.variance_scaling(2.0, "fan_out", "normal", in_axis=-1, out_axis=-2)
# He's scale on a single output channel would start the saliency logits at a spread of about ten. A small one lets
# them start at their bias, and every refinement at the map that it refines.
saliency_kernel_init = nn.initializers.normal(0.01)

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def aligned_corner_weights(in_size: int, out_size: int) -> np.ndarray:
    """Matrix [out_size, in_size] of bilinear interpolation with aligned corners along one axis.

    Output pixel i lies at input position i * (in_size - 1) / (out_size - 1); an output of one pixel lies at 0.
    """
    scale = (in_size - 1) / (out_size - 1) if out_size > 1 else 0.0
    position = np.arange(out_size) * scale
    low = np.minimum(position.astype(np.int64), in_size - 1)
    high = np.minimum(low + 1, in_size - 1)
    fraction = position - low
    weights = np.zeros((out_size, in_size))
    np.add.at(weights, (np.arange(out_size), low), 1.0 - fraction)
    np.add.at(weights, (np.arange(out_size), high), fraction)
    return weights.astype(np.float32)


def resize_aligned(x: Array, size: tuple[int, int]) -> Array:
    """Bilinear resize with aligned corners ("up" in the paper's eq. 1), as two small matrix products.

    Args:
      x: [B, h, w, C], floating point.
      size: (H, W) of the result.

    Returns:
      [B, H, W, C] of x's type; x itself where the size is already right.
    """
    height, width = size
    # Accelerators multiply float32 matrices in lower precision by default: saliency logits deserve better.
    precision = jax.lax.Precision.HIGHEST
    if x.shape[1] != height:
        rows = jnp.asarray(aligned_corner_weights(x.shape[1], height), x.dtype)
        x = jnp.einsum("oh,bhwc->bowc", rows, x, precision=precision)
    if x.shape[2] != width:
        columns = jnp.asarray(aligned_corner_weights(x.shape[2], width), x.dtype)
        x = jnp.einsum("ow,bhwc->bhoc", columns, x, precision=precision)
    return x


def batch_norm(*, train: bool, dtype: Dtype, axis_name: str | None, name: str) -> nn.BatchNorm:
    """Batch normalisation with the defaults of the network: momentum 0.9 (PyTorch's 0.1), epsilon 1e-5."""
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=1e-5,
        dtype=dtype,
        axis_name=axis_name,
        name=name,
    )


class ConvBlock(nn.Module):
    """C(k, o): a k x k convolution without bias, BatchNorm, PReLU with one learned slope.

    Attributes:
      features: output channels o.
      kernel_size: k, odd; the padding keeps the spatial size.
      dilation: spacing of the kernel's taps.
      dtype: type of the computation; parameters are float32.
      axis_name: device axis over which BatchNorm averages its statistics, or None.
    """

    features: int
    kernel_size: int = 3
    dilation: int = 1
    dtype: Dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """Map [B, H, W, C] to [B, H, W, features]."""
        padding = self.dilation * (self.kernel_size // 2)
        x = nn.Conv(
            self.features,
            (self.kernel_size, self.kernel_size),
            padding=((padding, padding), (padding, padding)),
            kernel_dilation=self.dilation,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=he_normal_fan_out,
            name="conv",
        )(x)
        x = batch_norm(train=train, dtype=self.dtype, axis_name=self.axis_name, name="norm")(x)
        return nn.PReLU(negative_slope_init=0.25, name="prelu")(x)


class TransposedConv(nn.Module):
    """PyTorch's `ConvTranspose2d(C, features, 4, 2, padding=1, bias=False)`.

    The parameter `kernel` is [4, 4, features, C], that of `flax.linen.ConvTranspose(..., transpose_kernel=True)`.

    Attributes:
      features: output channels.
      dtype: type of the computation; the kernel is float32.
    """

    features: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map [B, h, w, C] to [B, 2h, 2w, features]."""
        shape = (4, 4, self.features, x.shape[-1])
        kernel = self.param("kernel", he_normal_fan_out_transposed, shape)
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        # XLA's CPU backend multiplies with the zeros that the stride puts between the pixels, one by one.
        return jax.lax.platform_dependent(x, kernel, cpu=transposed_conv_by_phases, default=transposed_conv)


def transposed_conv(x: Array, kernel: Array) -> Array:
    """Transposed convolution of stride 2, torch padding 1: x [B, h, w, C], kernel [4, 4, D, C] to [B, 2h, 2w, D]."""
    return jax.lax.conv_transpose(x, kernel, (2, 2), "SAME", dimension_numbers=_LAYOUT, transpose_kernel=True)


def transposed_conv_by_phases(x: Array, kernel: Array) -> Array:
    """`transposed_conv` as four 2 x 2 convolutions, one for each phase of the stride.

    Along one axis, out[2m] = in[m-1] k[3] + in[m] k[1] and out[2m+1] = in[m] k[2] + in[m+1] k[0].
    """
    batch, height, width, _ = x.shape
    features = kernel.shape[2]
    # Of an even and of an odd output pixel: the taps, and the padding that brings their inputs under them.
    phases = (((3, 1), (1, 0)), ((2, 0), (0, 1)))
    rows = []
    for row_taps, row_padding in phases:
        row = []
        for column_taps, column_padding in phases:
            taps = kernel[jnp.array(row_taps)[:, None], jnp.array(column_taps)[None, :]].swapaxes(2, 3)
            padding = (row_padding, column_padding)
            row.append(jax.lax.conv_general_dilated(x, taps, (1, 1), padding, dimension_numbers=_LAYOUT))
        rows.append(jnp.stack(row, axis=3).reshape(batch, height, 2 * width, features))
    return jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, features)


def max_pool_by_slices(x: Array) -> Array:
    """The larger of the nine pixels under a 3 x 3 window of stride 2, padding 1: [B, H, W, C] to [B, H/2, W/2, C]."""
    batch, height, width, channels = x.shape
    size = ((height + 1) // 2, (width + 1) // 2)
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)
    slices = [
        jax.lax.slice(padded, (0, i, j, 0), (batch, i + 2 * size[0] - 1, j + 2 * size[1] - 1, channels), (1, 2, 2, 1))
        for i in range(3)
        for j in range(3)
    ]
    return reduce(jnp.maximum, slices)


def max_pool(x: Array) -> Array:
    """3 x 3 max-pool of stride 2 and padding 1: [B, H, W, C] to [B, ceil(H / 2), ceil(W / 2), C]."""

    def by_window(x: Array) -> Array:
        return nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))

    # XLA's CPU backend scatters the gradient of a window pixel by pixel.
    return jax.lax.platform_dependent(x, cpu=max_pool_by_slices, default=by_window)


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
      dtype: type of the computation; parameters are float32.
      axis_name: device axis over which BatchNorm averages its statistics, or None.
    """

    features: int
    dtype: Dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, size: tuple[int, int] | None = None, *, train: bool) -> Array:
        """Map [B, h, w, C] to [B, H, W, features] with (H, W) = `size`, or (2h, 2w) where it is None.

        A size beyond (2h, 2w) is reached by `resize_aligned`.
        """
        x = TransposedConv(self.features, dtype=self.dtype, name="conv")(x)
        x = batch_norm(train=train, dtype=self.dtype, axis_name=self.axis_name, name="norm")(x)
        x = nn.PReLU(negative_slope_init=0.25, name="prelu")(x)
        if size is None:
            return x
        return resize_aligned(x[:, : size[0], : size[1]], size)
