"""Average pooling in windows of any size, as products with matrices."""

import jax
import numpy as np

from dms_jax.ops.resize import by_products, map_size


def average_pool(x: jax.Array, size: int) -> jax.Array:
    """Means in windows of size x size pixels beside each other: [B, H, W, C] to [B, ceil(H / size), ceil(W / size), C].

    Windows at the bottom and at the right may be smaller (PyTorch's `avg_pool2d` with `ceil_mode=True` and
    `count_include_pad=False`).
    """
    return by_products(x, [_window_means(length, size) for length in map_size(x)])


def adaptive_average_pool(x: jax.Array, count: int) -> jax.Array:
    """Means in count x count windows, which may overlap by a pixel: [B, H, W, C] to [B, count, count, C].

    Window i begins at floor(i H / count) and ends before ceil((i + 1) H / count), as PyTorch's.
    """
    return by_products(x, [_adaptive_means(length, count) for length in map_size(x)])


def _window_means(length: int, size: int) -> np.ndarray:
    edges = [(start, min(start + size, length)) for start in range(0, length, size)]
    return _means(length, edges)


def _adaptive_means(length: int, count: int) -> np.ndarray:
    edges = [(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]
    return _means(length, edges)


def _means(length: int, edges: list[tuple[int, int]]) -> np.ndarray:
    weights = np.zeros((len(edges), length), np.float32)
    for row, (start, stop) in zip(weights, edges, strict=True):
        row[start:stop] = 1 / (stop - start)
    return weights
