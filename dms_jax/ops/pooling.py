"""Max-pooling with gradients that read each window once."""

from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


def max_pool(x: Array, *, plain: bool = False) -> Array:
    """3 x 3 max-pool of stride 2 and padding 1: [B, H, W, C] to [B, ceil(H / 2), ceil(W / 2), C].

    Where several pixels of a window are the largest, the first of them has its gradient.

    Args:
      x: [B, H, W, C], floating point.
      plain: `jax.lax.reduce_window` with JAX's own derivatives.
    """
    return _plain_max_pool(x) if plain else _max_pool(x)


def _plain_max_pool(x: Array) -> Array:
    return jax.lax.reduce_window(
        x, np.array(-np.inf, x.dtype), jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (1, 1), (1, 1), (0, 0))
    )


@jax.custom_vjp
def _max_pool(x: Array) -> Array:
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


def _place_of_largest(windows: list[Array]) -> Array:
    """Which of the pixels of each window is the largest, the first of several: int8, of the shape of each.

    To find it by comparing them with the pool's result would ask for the same rounding of both, which XLA does not give
    where it computes them once more for the comparison.
    """
    largest, *others = windows
    place = jnp.zeros(largest.shape, jnp.int8)
    for i, window in enumerate(others, 1):
        place = jnp.where(window > largest, i, place)
        largest = jnp.maximum(largest, window)
    # Computed once: XLA would rather search again for each of the pixels.
    return jax.lax.optimization_barrier(place)


def _max_pool_forward(x: Array) -> tuple[Array, Array]:
    return _max_pool(x), x


def _max_pool_backward(x: Array, g: Array) -> tuple[Array]:
    place = _place_of_largest(_windows(x))
    # Pixels 2a and 2a + 1 of a row lie in window a, second and third, and 2a + 1 also in window a + 1, first:
    # [B, rows, 2, columns, 2, C].
    batch, rows, columns, channels = g.shape
    _, height, width, _ = x.shape
    # Nothing behind the last window.
    padded = [jnp.pad(z, ((0, 0), (0, 1), (0, 1), (0, 0))) for z in (place, g)]
    is_odd = np.array([0, 1], np.int8)
    total = jnp.zeros((batch, rows, 2, columns, 2, channels), jnp.promote_types(g.dtype, jnp.float32))
    for down in (0, 1):
        for right in (0, 1):
            its_place, its_g = (z[:, down : down + rows, None, right : right + columns, None] for z in padded)
            row = (1 + is_odd - 2 * down).reshape(1, 1, 2, 1, 1, 1)
            column = (1 + is_odd - 2 * right).reshape(1, 1, 1, 1, 2, 1)
            inside = (row >= 0) & (column >= 0)
            total = total + jnp.where(inside & (its_place == 3 * row + column), its_g, 0)
    return (total.reshape(batch, 2 * rows, 2 * columns, channels)[:, :height, :width].astype(x.dtype),)


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)


def halving_max_pool(x: Array, *, plain: bool = False) -> Array:
    """2 x 2 max-pool of stride 2: [B, H, W, C] to [B, ceil(H / 2), ceil(W / 2), C] (PyTorch's with `ceil_mode=True`).

    Where several pixels of a window are the largest, the first of them has its gradient.

    Args:
      x: [B, H, W, C], floating point.
      plain: `jax.lax.reduce_window` with JAX's own derivatives.
    """
    return _plain_halving_max_pool(x) if plain else _halving_max_pool(x)


def _plain_halving_max_pool(x: Array) -> Array:
    padding = ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0))
    return jax.lax.reduce_window(x, np.array(-np.inf, x.dtype), jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), padding)


@jax.custom_vjp
def _halving_max_pool(x: Array) -> Array:
    return reduce(jnp.maximum, _quarters(x))


def _quarters(x: Array) -> list[Array]:
    """The four pixels of each 2 x 2 window, row by row: [B, ceil(H / 2), ceil(W / 2), C] each."""
    batch, height, width, channels = x.shape
    rows, columns = (height + 1) // 2, (width + 1) // 2
    padded = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), constant_values=-jnp.inf)
    windows = padded.reshape(batch, rows, 2, columns, 2, channels)
    return [windows[:, :, i, :, j] for i in range(2) for j in range(2)]


def _halving_max_pool_forward(x: Array) -> tuple[Array, Array]:
    return _halving_max_pool(x), x


def _halving_max_pool_backward(x: Array, g: Array) -> tuple[Array]:
    place = _place_of_largest(_quarters(x))
    # No two windows share a pixel, so that there is nothing to add up.
    own = np.arange(4, dtype=np.int8).reshape(1, 1, 2, 1, 2, 1)
    dx = jnp.where(place[:, :, None, :, None] == own, g[:, :, None, :, None], 0)
    batch, rows, columns, channels = g.shape
    _, height, width, _ = x.shape
    return (dx.reshape(batch, 2 * rows, 2 * columns, channels)[:, :height, :width].astype(x.dtype),)


_halving_max_pool.defvjp(_halving_max_pool_forward, _halving_max_pool_backward)
