"""Convolutions with PyTorch's padding, each in the formulation that its platform computes fastest.

The parameters and the results are the same whichever it is; `by_platform` chooses.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from dms_jax.ops.cpu_convolution import (
    LAYOUT,
    as_products,
    direct,
    gradients_as_products,
    merged_groups,
    widened,
)
from dms_jax.ops.dispatch import by_platform
from dms_jax.ops.sharding import as_varying

# A layer by itself on an H100: groups of 4 channels took a quarter less time as groups of 32, groups of 8 more.
_CHANNELS_OF_A_WIDE_GROUP = 32
# With as many pixels as a usual batch has, the windows of `product_of_windows` are smaller than the kernel.
_BATCH_OF_WINDOWS = 16
_SMALLEST_KERNEL_OF_WINDOWS = 7


def convolve(
    x: Array, kernel: Array, *, stride: int = 1, dilation: int = 1, groups: int = 1, plain: bool = False
) -> Array:
    """A k x k convolution, k odd, with a padding of half the kernel.

    Args:
      x: [B, H, W, C].
      kernel: [k, k, C / groups, D].
      stride: spatial stride.
      dilation: spacing of the kernel's taps.
      groups: groups of channels.
      plain: `jax.lax.conv_general_dilated` with JAX's own derivatives.

    Returns:
      [B, ceil(H / stride), ceil(W / stride), D].
    """
    if plain:
        return direct(x, kernel, stride, dilation, groups)
    if stride == 2 and dilation == 1 and groups == 1 and x.shape[-1] < 8:
        return strided_by_phases(x, kernel)
    if _suits_windows(x, kernel, stride, dilation, groups):
        return product_of_windows(x, kernel)
    return _convolve(x, as_varying(kernel, x), stride, dilation, groups)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
@partial(jax.jit, static_argnums=(2, 3, 4))
def _convolve(x: Array, kernel: Array, *geometry: int) -> Array:
    return by_platform(
        x,
        kernel,
        cpu=lambda *arrays: as_products(*arrays, *geometry),
        default=lambda *arrays: in_wide_groups(*arrays, *geometry),
    )


def _convolve_forward(x: Array, kernel: Array, *geometry: int) -> tuple[Array, tuple[Array, Array]]:
    return _convolve(x, kernel, *geometry), (x, kernel)


def _convolve_backward(*arguments: Any) -> tuple[Array, Array]:
    *geometry, (x, kernel), g = arguments
    return _convolve_gradients(x, kernel, g, *geometry)


@partial(jax.jit, static_argnums=(3, 4, 5))
def _convolve_gradients(x: Array, kernel: Array, g: Array, *geometry: int) -> tuple[Array, Array]:
    return by_platform(
        x,
        kernel,
        g,
        cpu=lambda *arrays: gradients_as_products(*arrays, *geometry),
        default=lambda x, kernel, g: jax.vjp(lambda x, kernel: in_wide_groups(x, kernel, *geometry), x, kernel)[1](g),
    )


_convolve.defvjp(_convolve_forward, _convolve_backward)


def in_wide_groups(x: Array, kernel: Array, stride: int, dilation: int, groups: int) -> Array:
    """`direct` in the formulation that suits a GPU: groups of a few channels leave its matrix units idle."""
    if merged := merged_groups(kernel, groups, _CHANNELS_OF_A_WIDE_GROUP):
        return direct(x, widened(kernel, groups, merged), stride, dilation, merged)
    return direct(x, kernel, stride, dilation, groups)


def strided_by_phases(x: Array, kernel: Array) -> Array:
    """A convolution of stride 2 as one of stride 1 on the four phases of x, side by side as channels.

    The three channels of an image leave a matrix unit mostly idle; twelve do less so, with a kernel of half the size.

    Along one axis, padded by p = k // 2, output m is the sum over i of x[2m + i - p] k[i]. With the kernel padded at
    its front so that p is even, tap i = 2j + a meets phase a of x at m + j - p / 2.

    Args:
      x: [B, H, W, C].
      kernel: [k, k, C, D], k odd.

    Returns:
      [B, ceil(H / 2), ceil(W / 2), D].
    """
    size, _, channels, features = kernel.shape
    front = size // 2 % 2
    taps = (size + front + 1) // 2
    before = (size // 2 + front) // 2
    back = 2 * taps - size - front
    kernel = jnp.pad(kernel, ((front, back), (front, back), (0, 0), (0, 0)))
    kernel = kernel.reshape(taps, 2, taps, 2, channels, features).transpose(0, 2, 1, 3, 4, 5)
    x = jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)))
    batch, height, width, _ = x.shape
    x = x.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    return jax.lax.conv_general_dilated(
        x.reshape(batch, height // 2, width // 2, 4 * channels),
        kernel.reshape(taps, taps, 4 * channels, features),
        (1, 1),
        ((before, taps - 1 - before),) * 2,
        dimension_numbers=LAYOUT,
    )


def _suits_windows(x: Array, kernel: Array, stride: int, dilation: int, groups: int) -> bool:
    """Whether a convolution is wide enough for `product_of_windows`: a large kernel, more features than pixels."""
    size, features = kernel.shape[0], kernel.shape[3]
    return (
        size >= _SMALLEST_KERNEL_OF_WINDOWS
        and (stride, dilation, groups) == (1, 1, 1)
        and _BATCH_OF_WINDOWS * x.shape[1] * x.shape[2] <= features
    )


def product_of_windows(x: Array, kernel: Array) -> Array:
    """A k x k convolution of stride 1 as one product of the windows of all pixels, side by side, with the kernel.

    For a wide layer on a small map, as the first of VGG16's classifier is ("fc6" of FCN-8s: 512 channels, 7 x 7, 4096
    features). With gradients, in bfloat16 on an H200, 1.60 instead of 2.71 ms for 16 maps of 10 x 10; in float32 on
    two CPU cores, 2.9 instead of 10.7 s: `benchmarks/leads.py --only wide`.

    Args:
      x: [B, H, W, C].
      kernel: [k, k, C, D], k odd.

    Returns:
      [B, H, W, D].
    """
    size, (height, width) = kernel.shape[0], x.shape[1:3]
    padding = size // 2
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    windows = [x[:, i : i + height, j : j + width] for i in range(size) for j in range(size)]
    return jnp.concatenate(windows, -1) @ kernel.reshape(-1, kernel.shape[3])


def convolve_transposed(x: Array, kernel: Array, *, plain: bool = False) -> Array:
    """PyTorch's `conv_transpose2d` of stride 2 and padding 1.

    Args:
      x: [B, h, w, C].
      kernel: [4, 4, D, C].
      plain: `jax.lax.conv_transpose` with JAX's own derivatives.

    Returns:
      [B, 2h, 2w, D].
    """
    if plain:
        return _direct_transposed(x, kernel)
    # XLA's CPU backend multiplies with the zeros that the stride puts between the pixels, one by one.
    return by_platform(x, as_varying(kernel, x), cpu=transposed_conv_by_phases, default=transposed_conv)


@jax.custom_vjp
def transposed_conv(x: Array, kernel: Array) -> Array:
    """`convolve_transposed` in the formulation that suits a GPU.

    It is the transpose of a 4 x 4 convolution of stride 2, and its gradients are that convolution and the gradient of
    its kernel: written out, they become the kernels that exist for these; what autodiff makes of it does not.
    """
    return _direct_transposed(x, kernel)


def _direct_transposed(x: Array, kernel: Array) -> Array:
    return jax.lax.conv_transpose(x, kernel, (2, 2), "SAME", dimension_numbers=LAYOUT, transpose_kernel=True)


def _halving_conv(y: Array, kernel: Array) -> Array:
    return jax.lax.conv_general_dilated(y, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=LAYOUT)


def _transposed_conv_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return transposed_conv(x, kernel), (x, kernel)


def _transposed_conv_backward(saved: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    x, kernel = saved
    dx, pull_back = jax.vjp(lambda k: _halving_conv(g, k), kernel)
    return dx, *pull_back(x)


transposed_conv.defvjp(_transposed_conv_forward, _transposed_conv_backward)


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
            row.append(jax.lax.conv_general_dilated(x, taps, (1, 1), padding, dimension_numbers=LAYOUT))
        rows.append(jnp.stack(row, axis=3).reshape(batch, height, 2 * width, features))
    return jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, features)
