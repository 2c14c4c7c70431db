"""Bilinear resizing with aligned corners ("up" in the paper's eq. 1)."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from dms_jax.ops.dispatch import by_platform

_MOST_LOOKUPS = 16  # a pixel, along one axis


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


def map_size(x: Array) -> tuple[int, int]:
    """(H, W) of maps [B, H, W, C]."""
    _, height, width, _ = x.shape
    return height, width


def resize_aligned(x: Array, size: tuple[int, int], *, plain: bool = False) -> Array:
    """Bilinear resize with aligned corners.

    Args:
      x: [B, h, w, C], floating point.
      size: (H, W) of the result.
      plain: two products with `aligned_corner_weights`, and JAX's own derivatives.

    Returns:
      [B, H, W, C] of x's type; x itself where the size is already right.
    """
    if x.shape[1:3] == tuple(size):
        return x
    return by_products(x, _tables(x, size)) if plain else _resize(x, tuple(size))


def _tables(x: Array, size: tuple[int, int]) -> list[np.ndarray]:
    return [aligned_corner_weights(*sizes) for sizes in zip(x.shape[1:3], size, strict=True)]


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _resize(x: Array, size: tuple[int, int]) -> Array:
    # On an accelerator, a few reads a pixel disappear in whatever uses the result; a CPU multiplies faster than it
    # looks up. Autodiff would make a scatter of a lookup: transposed, it is a lookup again.
    return _interpolate(x, _tables(x, size))


def _forward(x: Array, size: tuple[int, int]) -> tuple[Array, tuple[int, int]]:
    return _resize(x, size), map_size(x)


def _backward(size: tuple[int, int], source: tuple[int, int], g: Array) -> tuple[Array]:
    return (_interpolate(g, [aligned_corner_weights(*sizes).T for sizes in zip(source, size, strict=True)]),)


_resize.defvjp(_forward, _backward)


def _interpolate(x: Array, weights: Sequence[np.ndarray]) -> Array:
    if max(np.count_nonzero(w, axis=1).max() for w in weights) > _MOST_LOOKUPS:
        return by_products(x, weights)
    return by_platform(x, cpu=partial(by_products, weights=weights), default=partial(by_lookup, weights=weights))


def by_products(x: Array, weights: Sequence[np.ndarray]) -> Array:
    """x [B, h, w, C] multiplied by weights [H, h] and [W, w] along its axes, as matrix products."""
    # Accelerators multiply float32 matrices in lower precision by default: saliency logits deserve better.
    precision = jax.lax.Precision.HIGHEST
    x = jnp.einsum("oh,bhwc->bowc", jnp.asarray(weights[0], x.dtype), x, precision=precision)
    return jnp.einsum("ow,bhwc->bhoc", jnp.asarray(weights[1], x.dtype), x, precision=precision)


def by_lookup(x: Array, weights: Sequence[np.ndarray]) -> Array:
    """`by_products` where few weights of a row are not 0, as sums over these, in float32."""
    y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    for axis, matrix in enumerate(weights, 1):
        # The columns of the weights that are not 0 come first, in their order; the rest of each row are zeros.
        columns = np.argsort(matrix == 0, axis=1, kind="stable")[:, : np.count_nonzero(matrix, axis=1).max()]
        values = np.take_along_axis(matrix, columns, axis=1)
        shape = [-1 if i == axis else 1 for i in range(4)]
        y = sum(jnp.take(y, c, axis, mode="clip") * v.reshape(shape) for c, v in zip(columns.T, values.T, strict=True))
    return y.astype(x.dtype)
