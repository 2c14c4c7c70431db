"""Convolutions as matrix products: what a CPU computes fastest, and the same as the convolutions.

XLA's CPU backend multiplies matrices, and convolves many channels, at the speed of the processor. It does not so with
a few channels in a group, and the gradient of a grouped convolution's kernel takes it seconds a layer.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

LAYOUT = ("NHWC", "HWIO", "NHWC")
# Found by timing the layers of a full-size network on two cores (AVX-512).
_FEWEST_CHANNELS_OF_A_GROUP = 8
_CHANNELS_OF_A_WIDE_GROUP = 128
_CHANNELS_OF_A_PRODUCT = 16
_WINOGRAD_CHANNELS = 64
_WINOGRAD_PIXELS = 1024


def direct(x: Array, kernel: Array, stride: int, dilation: int, groups: int) -> Array:
    """The convolution as XLA knows it.

    Args:
      x: [B, H, W, C].
      kernel: [k, k, C / groups, D], k odd.
      stride: spatial stride.
      dilation: spacing of the kernel's taps.
      groups: groups of channels.

    Returns:
      [B, ceil(H / stride), ceil(W / stride), D].
    """
    padding = dilation * (kernel.shape[0] // 2)
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        ((padding, padding), (padding, padding)),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=LAYOUT,
        feature_group_count=groups,
    )


@partial(jax.jit, static_argnums=(2, 3, 4))
def as_products(x: Array, kernel: Array, stride: int, dilation: int, groups: int) -> Array:
    """`direct` in the formulation that suits a CPU."""
    if merged := merged_groups(kernel, groups, _CHANNELS_OF_A_WIDE_GROUP):
        return as_products(x, widened(kernel, groups, merged), stride, dilation, merged)
    if _is_pointwise(kernel, groups):
        return pointwise(x, kernel, stride)
    if _suits_winograd(x, kernel, stride, dilation, groups):
        return winograd(x, kernel)
    return direct(x, kernel, stride, dilation, groups)


@partial(jax.jit, static_argnums=(3, 4, 5))
def gradients_as_products(
    x: Array, kernel: Array, g: Array, stride: int, dilation: int, groups: int
) -> tuple[Array, Array]:
    """The gradients of `as_products` by x and by the kernel, of a cotangent g of its result."""
    if merged := merged_groups(kernel, groups, _CHANNELS_OF_A_WIDE_GROUP):
        wide, narrow = jax.vjp(lambda kernel: widened(kernel, groups, merged), kernel)
        dx, d_wide = gradients_as_products(x, wide, g, stride, dilation, merged)
        return dx, *narrow(d_wide)
    if _is_pointwise(kernel, groups):
        return jax.vjp(partial(pointwise, stride=stride), x, kernel)[1](g)
    if _suits_winograd(x, kernel, stride, dilation, groups):
        # The gradient by x is a convolution with the kernel turned around.
        return winograd(g, kernel[::-1, ::-1].swapaxes(2, 3)), *jax.vjp(partial(winograd, x), kernel)[1](g)
    if groups > 1 and dilation == 1:
        (dx,) = jax.vjp(lambda x: direct(x, kernel, stride, dilation, groups), x)[1](g)
        return dx, grouped_kernel_gradient(x, g, kernel.shape[0], stride, groups)
    return jax.vjp(lambda x, kernel: direct(x, kernel, stride, dilation, groups), x, kernel)[1](g)


def _is_pointwise(kernel: Array, groups: int) -> bool:
    return kernel.shape[0] == 1 and groups == 1


def _suits_winograd(x: Array, kernel: Array, stride: int, dilation: int, groups: int) -> bool:
    return (
        kernel.shape[0] == 3
        and (stride, dilation, groups) == (1, 1, 1)
        and min(kernel.shape[2:]) >= _WINOGRAD_CHANNELS
        and _pixels(x) >= _WINOGRAD_PIXELS
        # Its sums and differences of pixels want more digits than bfloat16 has.
        and jnp.finfo(x.dtype).bits >= 32
    )


def _pixels(x: Array) -> int:
    """Pixels of the maps x [B, H, W, C]; of one of them where B is still open, in a program that `jax.export` makes."""
    batch, height, width, _ = x.shape
    return (batch if isinstance(batch, int) else 1) * height * width


def merged_groups(kernel: Array, groups: int, wide: int) -> int:
    """How many groups to merge the groups into, for `widened`; 0 where they are large enough as they are.

    Args:
      kernel: [k, k, C / groups, D].
      groups: groups of channels.
      wide: how many channels a group should have at least.
    """
    channels = kernel.shape[2]
    if groups == 1 or channels >= _FEWEST_CHANNELS_OF_A_GROUP:
        return 0
    return groups // _divisor(groups, -(-wide // channels))


def _divisor(number: int, least: int) -> int:
    """The number's least divisor that is not less than `least`, or the number itself."""
    return next((d for d in range(least, number) if number % d == 0), number)


def widened(kernel: Array, groups: int, merged: int) -> Array:
    """The kernel of the same convolution with fewer, larger groups: zero between channels of different groups.

    Args:
      kernel: [k, k, C / groups, D].
      groups: groups of channels.
      merged: groups afterwards; a divisor of `groups`.

    Returns:
      [k, k, C / merged, D].
    """
    k, _, channels, features = kernel.shape
    each = groups // merged
    kernel = kernel.reshape(k, k, 1, channels, merged, each, features // groups)
    # Chosen, not multiplied by 0 and 1: the gradient of that product, beside the convolution's, is computed by jaxlib
    # 0.10.2 with code that crashed on an AMD EPYC with AVX2 and no AVX-512; that of 0.12 did not.
    same = jnp.eye(each, dtype=bool)[None, None, :, None, None, :, None]
    return jnp.where(same, kernel, 0).reshape(k, k, each * channels, features)


def pointwise(x: Array, kernel: Array, stride: int) -> Array:
    """A 1 x 1 convolution as one product. x: [B, H, W, C]; kernel: [1, 1, C, D]."""
    return jnp.einsum("bhwc,cd->bhwd", x[:, ::stride, ::stride], kernel[0, 0])


def winograd(x: Array, kernel: Array) -> Array:
    """A 3 x 3 convolution of stride 1 with 16 products for four pixels instead of 36.

    F(2 x 2, 3 x 3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016: with tiles d of
    4 x 4 pixels, two apart, Y = A^T [(G g G^T) * (B^T d B)] A; the elementwise product, summed over the channels of
    all tiles, is a matrix product for each of the 16 elements. All its factors are 0, 1/2 and 1: its rounding is about
    that of the plain sum.

    Args:
      x: [B, H, W, C].
      kernel: [3, 3, C, D].

    Returns:
      [B, H, W, D].
    """
    batch, height, width, channels = x.shape
    rows, columns = (height + 1) // 2, (width + 1) // 2
    x = jnp.pad(x, ((0, 0), (1, 1 + 2 * rows - height), (1, 1 + 2 * columns - width), (0, 0)))
    x = x.reshape(batch, rows + 1, 2, columns + 1, 2, channels)
    products = []
    tile_rows = _tile_transform(x[:, :-1, 0], x[:, :-1, 1], x[:, 1:, 0], x[:, 1:, 1])
    for tile_row, kernel_row in zip(tile_rows, _kernel_transform(*kernel), strict=True):
        tile = _tile_transform(
            tile_row[:, :, :-1, 0], tile_row[:, :, :-1, 1], tile_row[:, :, 1:, 0], tile_row[:, :, 1:, 1]
        )
        taps = _kernel_transform(*kernel_row)
        products.append([d.reshape(-1, channels) @ g for d, g in zip(tile, taps, strict=True)])
    columns_done = [_output_transform(*column) for column in zip(*products, strict=True)]
    done = [jnp.stack(_output_transform(*row), axis=1) for row in zip(*columns_done, strict=True)]
    y = jnp.stack(done, axis=1).reshape(batch, rows, columns, 2, 2, -1).transpose(0, 1, 3, 2, 4, 5)
    return y.reshape(batch, 2 * rows, 2 * columns, -1)[:, :height, :width]


def _tile_transform(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, ...]:
    """B^T of Lavin and Gray, applied to four pixels."""
    return a - c, b + c, c - b, b - d


def _kernel_transform(a: Array, b: Array, c: Array) -> tuple[Array, ...]:
    """G, applied to three taps."""
    return a, (a + b + c) / 2, (a - b + c) / 2, c


def _output_transform(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, Array]:
    """A^T, applied to four products."""
    return a + b + c, b - c - d


def grouped_kernel_gradient(x: Array, g: Array, size: int, stride: int, groups: int) -> Array:
    """The gradient of a grouped convolution's kernel as one batch of products for each of its taps.

    Groups are taken together until a product has enough channels; what it computes between groups is dropped.

    Args:
      x: [B, H, W, C].
      g: the cotangent of the result, [B, ceil(H / stride), ceil(W / stride), D].
      size: of the kernel, odd.
      stride: spatial stride.
      groups: groups of channels.

    Returns:
      [size, size, C / groups, D].
    """
    batch, rows, columns, features = g.shape
    channels = x.shape[-1] // groups
    each = _divisor(groups, -(-_CHANNELS_OF_A_PRODUCT // channels))
    padding = size // 2
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    g = g.reshape(-1, groups // each, features * each // groups)
    taps = []
    for i in range(size):
        for j in range(size):
            last = (batch, i + stride * (rows - 1) + 1, j + stride * (columns - 1) + 1, x.shape[-1])
            under_tap = jax.lax.slice(x, (0, i, j, 0), last, (1, stride, stride, 1))
            product = jnp.einsum("ngc,ngd->gcd", under_tap.reshape(-1, groups // each, each * channels), g)
            product = product.reshape(groups // each, each, channels, each, features // groups)
            taps.append(jnp.einsum("gecef->cgef", product).reshape(channels, features))
    return jnp.stack(taps).reshape(size, size, channels, features)
