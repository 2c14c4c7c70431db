"""Batch normalisation together with what follows it: an addition and an activation.

One function, because a training step's time on an accelerator goes into how often each map is read and written. Its
gradient is written out by hand: two passes over the map and the cotangent, and nothing kept that is not needed anyway.
"""

import math
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

Array = jax.Array
Activation = Literal["none", "relu", "prelu"]
EPSILON = 1e-5
MOMENTUM = 0.9


def activate(x: Array, activation: Activation, slope: Array | None = None) -> Array:
    """x where it is positive; elsewhere x ("none"), 0 ("relu"), or slope * x ("prelu")."""
    if activation == "none":
        return x
    if activation == "relu":
        return jax.nn.relu(x)
    return jnp.where(x >= 0, x, slope.astype(x.dtype) * x)


def _wide(x: Array) -> Array:
    """The array in float32, or in its own type if that is wider."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


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
    y = (_wide(x) - mean) * (jax.lax.rsqrt(variance + EPSILON) * scale) + bias
    if residual is not None:
        y = y + _wide(residual)
    return activate(y, activation, slope).astype(x.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(5, 6))
@partial(jax.jit, static_argnums=(5, 6))
def batch_normalize(
    x: Array,
    scale: Array,
    bias: Array,
    slope: Array | None,
    residual: Array | None,
    activation: Activation,
    axis_name: str | None,
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

    Returns:
      The result [B, H, W, C] of x's type, and the mean and the (biased) variance, float32 [C], as figures: no gradient
      flows through them from outside.
    """
    mean, variance = _moments(x, axis_name)
    y = normalize(x, mean, variance, scale, bias, activation=activation, slope=slope, residual=residual)
    return y, mean, variance


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
    sums = jnp.concatenate(jax.lax.optimization_barrier(sums), axis=1)
    # Divided here, for all devices: after the exchange that would be a kernel of its own, for which all wait.
    devices = 1 if axis_name is None else jax.lax.axis_size(axis_name)
    return jnp.sum(sums * (1 / max(pixels * devices, 1)), 0).reshape(len(maps), channels)


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
    # Not by `batch_normalize`, whose results an outer derivative would take for constants of x.
    mean, variance = _moments(x, axis_name)
    y = normalize(x, mean, variance, scale, bias, activation=activation, slope=slope, residual=residual)
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
        centred = _wide(x) - mean
        z = centred * factor + bias
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
    dx = factor * (d - d_mean - centred * (inverse * inverse * product_mean))
    # The sums over all devices are known here already: where the parameters are the same on all of them, so are these
    # gradients, and nothing is left to be exchanged. Where each device has its own gradient, to be added up outside of
    # this function, each gives an equal part: what it has added itself would have to be kept.
    pixels = x.size // x.shape[-1]

    def gradient(mean: Array, parameter: Array) -> Array:
        if axis_name is not None and axis_name not in varying_axes(parameter):
            return (pixels * jax.lax.axis_size(axis_name) * mean).astype(parameter.dtype)
        return as_varying((pixels * mean).astype(parameter.dtype), parameter)

    return (
        dx.astype(x.dtype),
        gradient(inverse * product_mean, scale),
        gradient(d_mean, bias),
        jnp.sum(of_slope).astype(slope.dtype) if activation == "prelu" else None,
        d_residual,
    )


batch_normalize.defvjp(_forward, _backward)


class BatchNorm(nn.Module):
    """Batch normalisation, the addition of a residual, and an activation.

    Parameters `scale` and `bias` and statistics `mean` and `var` are those of `flax.linen.BatchNorm`, momentum is 0.9
    (PyTorch's 0.1) and epsilon 1e-5; statistics are float32, and the running variance the biased one.

    Attributes:
      activation: see `activate`.
      axis_name: device axis over which the statistics are averaged, or None.
    """

    activation: Activation = "none"
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool, slope: Array | None = None, residual: Array | None = None) -> Array:
        """Map x [B, H, W, C] (and residual, of the same shape) to [B, H, W, C] of x's type."""
        channels = x.shape[-1:]
        scale = self.param("scale", nn.initializers.ones_init(), channels)
        bias = self.param("bias", nn.initializers.zeros_init(), channels)
        mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
        variance = self.variable("batch_stats", "var", jnp.ones, channels)
        if not train:
            return normalize(
                x, mean.value, variance.value, scale, bias, activation=self.activation, slope=slope, residual=residual
            )
        axis_name = None if self.is_initializing() else self.axis_name
        slope = as_varying(slope, x)
        if axis_name is None:
            scale, bias = as_varying(scale, x), as_varying(bias, x)
        y, batch_mean, batch_variance = batch_normalize(x, scale, bias, slope, residual, self.activation, axis_name)
        if not self.is_initializing():
            mean.value = MOMENTUM * mean.value + (1 - MOMENTUM) * batch_mean
            variance.value = MOMENTUM * variance.value + (1 - MOMENTUM) * batch_variance
        return y


def as_varying(parameter: Array | None, x: Array) -> Array | None:
    """The parameter (or its gradient), marked as differing between devices where x does: its gradients are added up.

    JAX does so by itself for its own functions, but not for those whose gradient is written by hand.
    """
    if parameter is None:
        return None
    axes = tuple(varying_axes(x) - varying_axes(parameter))
    return jax.lax.pcast(parameter, axes, to="varying") if axes else parameter


def varying_axes(x: Array) -> frozenset[str]:
    """The mapped axes along which an array may differ."""
    return jax.typeof(x).manual_axis_type.varying
