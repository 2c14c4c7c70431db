"""Batch normalisation together with what follows it: an addition and an activation.

One function, because a training step's time on an accelerator goes into how often each map is read and written. Its
custom gradient makes two passes over the map and the cotangent, and keeps nothing that is not needed anyway. With the
custom gradients of `pooling`, `resize` and `convolution`, a training step of 64 images takes 121 ms instead of 138 on
an H100, one of 16 images 35 instead of 42 (benchmarks/README.md).
"""

import math
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array

from dms_jax.ops.sharding import as_varying

Activation = Literal["none", "relu", "prelu"]
EPSILON = 1e-5


def activate(x: Array, activation: Activation, slope: Array | None = None) -> Array:
    """x where it is positive; elsewhere x ("none"), 0 ("relu"), or slope * x ("prelu")."""
    if activation == "none":
        return x
    if activation == "relu":
        return jax.nn.relu(x)
    assert slope is not None  # of "prelu" there is one
    return jnp.where(x >= 0, x, slope.astype(x.dtype) * x)


def _wide(x: Array) -> Array:
    """The array in float32, or in its own type if that is wider."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _per_channel(values: Array, x: Array) -> Array:
    """Values [C] with as many axes as x [..., C]."""
    return values.reshape((1,) * (x.ndim - 1) + values.shape)


def normalize(
    x: Array,
    mean: Array,
    variance: Array,
    scale: Array,
    bias: Array,
    *,
    activation: Activation = "none",
    slope: Array | None = None,
    residual: Array | None = None,
) -> Array:
    """act((x - mean) / sqrt(variance + 1e-5) * scale + bias + residual), in float32, returned in x's type.

    Args:
      x: [..., C].
      mean: float32 [C].
      variance: float32 [C].
      scale: float32 [C].
      bias: float32 [C].
      activation: see `activate`.
      slope: float32 [], of "prelu".
      residual: of x's shape, or None for 0.
    """
    mean, factor, bias = (_per_channel(v, x) for v in (mean, jax.lax.rsqrt(variance + EPSILON) * scale, bias))
    y = (_wide(x) - mean) * factor + bias
    if residual is not None:
        y = y + _wide(residual)
    return activate(y, activation, slope).astype(x.dtype)


def batch_normalize(
    x: Array,
    scale: Array,
    bias: Array,
    slope: Array | None,
    residual: Array | None,
    activation: Activation,
    axis_name: str | None,
    *,
    plain: bool = False,
) -> tuple[Array, Array, Array]:
    """`normalize` by the mean and the variance of the batch itself (Ioffe and Szegedy, 2015, algorithm 1).

    Args:
      x: [B, H, W, C].
      scale: float32 [C].
      bias: float32 [C].
      slope: float32 [], of "prelu"; None otherwise.
      residual: [B, H, W, C] or None; not with "prelu".
      activation: see `activate`.
      axis_name: the mapped axis whose devices share the batch, or None.
      plain: leave differentiation to JAX, in both modes and of any order; slower.

    Returns:
      The result [B, H, W, C] of x's type, and the mean and the (biased) variance, float32 [C], for running averages: no
      gradient flows through them from outside.

    Raises:
      ValueError: a residual is given with "prelu", and the gradient is asked for, unless it is plain.
    """
    if plain:
        y, mean, variance = _normalized_by_batch(x, scale, bias, slope, residual, activation, axis_name)
        return y, jax.lax.stop_gradient(mean), jax.lax.stop_gradient(variance)
    # Where a parameter is the same on all devices and x is not, its gradients have to be added up.
    slope = as_varying(slope, x)
    scale, bias = as_varying(scale, x), as_varying(bias, x)
    return _batch_normalize(x, scale, bias, slope, residual, activation, axis_name)


def _normalized_by_batch(
    x: Array,
    scale: Array,
    bias: Array,
    slope: Array | None,
    residual: Array | None,
    activation: Activation,
    axis_name: str | None,
) -> tuple[Array, Array, Array]:
    mean, variance = _moments(x, axis_name)
    y = normalize(x, mean, variance, scale, bias, activation=activation, slope=slope, residual=residual)
    return y, mean, variance


_batch_normalize = jax.custom_vjp(
    jax.jit(_normalized_by_batch, static_argnames=("activation", "axis_name")), nondiff_argnums=(5, 6)
)


def _moments(x: Array, axis_name: str | None) -> tuple[Array, Array]:
    x = _wide(x)
    mean, mean_of_squares = _over_devices(_shares(axis_name, x, x * x), axis_name)
    return mean, jnp.maximum(mean_of_squares - mean * mean, 0)


def _shares(axis_name: str | None, *maps: Array) -> Array:
    """What this device adds to the mean of each map [..., C] over the pixels of all devices: [number of maps, C].

    In two stages, of about as many terms each where their number can be divided so, and the second for all maps
    together. A GPU sums so many terms in stages anyway, and a small kernel for each map takes as long as one for all.
    """
    channels = maps[0].shape[-1]
    pixels = maps[0].size // channels
    parts = next((d for d in range(math.isqrt(pixels), 0, -1) if pixels % d == 0), 1)
    sums = tuple(jnp.sum(x.reshape(parts, pixels // parts, channels), 1) for x in maps)
    # The barrier keeps the stages apart: else the second draws one map's sums away from the pass that makes all.
    joined = jnp.concatenate(jax.lax.optimization_barrier(sums), axis=1)
    # Divided here, for all devices: after the all-reduce that would be a kernel of its own, for which all wait.
    devices = 1 if axis_name is None else jax.lax.axis_size(axis_name)
    return jnp.sum(joined * (1 / max(pixels * devices, 1)), 0).reshape(len(maps), channels)


def _over_devices(shares: Array, axis_name: str | None) -> Array:
    return shares if axis_name is None else jax.lax.psum(shares, axis_name)


@partial(jax.jit, static_argnums=(5, 6))
def _forward(
    x: Array,
    scale: Array,
    bias: Array,
    slope: Array | None,
    residual: Array | None,
    activation: Activation,
    axis_name: str | None,
) -> tuple[tuple[Array, Array, Array], Any]:
    if residual is not None and activation == "prelu":
        raise ValueError("The gradient of PReLU on a sum is not written: add the residual to its result.")
    # Not by `_batch_normalize`: of its mean and variance, a derivative of this derivative would know nothing.
    y, mean, variance = _normalized_by_batch(x, scale, bias, slope, residual, activation, axis_name)
    # The sign of the result, which the next layer keeps anyway, stands for that of the sum.
    kept = None if residual is None else y
    return (y, mean, variance), (x, mean, variance, scale, bias, slope, kept)


@partial(jax.jit, static_argnums=(0, 1))
def _backward(activation: Activation, axis_name: str | None, saved: Any, cotangents: Any) -> tuple[Array | None, ...]:
    x, mean, variance, scale, bias, slope, kept = saved
    inverse = jax.lax.rsqrt(variance + EPSILON)
    factor = inverse * scale

    def through_activation(x: Array, g: Array) -> tuple[Array, Array, Array]:
        """x without its mean, the cotangent of what the activation was given, and the terms of the slope's gradient."""
        centred = _wide(x) - _per_channel(mean, x)
        z = centred * _per_channel(factor, x) + _per_channel(bias, x)
        if activation == "prelu":
            return centred, jnp.where(z >= 0, 1, slope) * _wide(g), jnp.where(z >= 0, 0, z * _wide(g))
        if activation == "relu":
            g = jnp.where(z > 0 if kept is None else kept > 0, g, 0)
        return centred, _wide(g), jnp.zeros(())

    g = cotangents[0]
    if kept is None:
        # Three uses: two sums and dx. Each computes it again, from x and g, which are there anyway: without the
        # barriers XLA would write it for the others, or a mask already in the forward pass.
        uses = []
        for _ in range(3):
            x = jax.lax.optimization_barrier(x)
            uses.append(through_activation(x, g))
    else:
        uses = [through_activation(x, g)] * 3
    (_, d, _), (centred, d_again, _), last = uses
    d_mean, product_mean = _over_devices(_shares(axis_name, d, d_again * centred), axis_name)
    centred, d, of_slope = last
    d_residual = None
    if kept is not None:
        # Written in any case, and read here.
        d_residual = jax.lax.optimization_barrier(d.astype(x.dtype))
        d = _wide(d_residual)
    offset, tilt = _per_channel(d_mean, x), _per_channel(inverse * inverse * product_mean, x)
    dx = _per_channel(factor, x) * (d - offset - centred * tilt)
    pixels = x.size // x.shape[-1]

    def gradient(mean: Array, parameter: Array) -> Array:
        # Every device has the sums over all of them, and gives an equal part: what it has added itself would have to
        # be kept. The parts are added up where gradients of all parameters are.
        return as_varying((pixels * mean).astype(parameter.dtype), parameter)

    return (
        dx.astype(x.dtype),
        gradient(inverse * product_mean, scale),
        gradient(d_mean, bias),
        jnp.sum(of_slope).astype(slope.dtype) if activation == "prelu" else None,
        d_residual,
    )


_batch_normalize.defvjp(_forward, _backward)
