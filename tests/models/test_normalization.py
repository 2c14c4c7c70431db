"""Batch normalisation with its gradient by hand, against Flax's and JAX's own."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from dms_jax.models.normalization import BatchNorm
from dms_jax.training.step import data_mesh

SHAPE = (8, 5, 6, 4)


def inputs() -> tuple[jax.Array, ...]:
    keys = jax.random.split(jax.random.key(0), 5)
    x = 3 + 2 * jax.random.normal(keys[0], SHAPE)
    scale = 1 + 0.3 * jax.random.normal(keys[1], SHAPE[-1:])
    bias = 0.3 * jax.random.normal(keys[2], SHAPE[-1:])
    return x, scale, bias, jnp.float32(0.3), jax.random.normal(keys[3], SHAPE), jax.random.normal(keys[4], SHAPE)


def ours(activation: str, axis_name: str | None, with_residual: bool) -> Any:
    def function(x: Any, scale: Any, bias: Any, slope: Any, residual: Any) -> Any:
        params = {"scale": scale, "bias": bias}
        statistics = {"mean": jnp.zeros(x.shape[-1]), "var": jnp.ones(x.shape[-1])}
        return BatchNorm(activation, axis_name).apply(
            {"params": params, "batch_stats": statistics},
            x,
            train=True,
            slope=slope if activation == "prelu" else None,
            residual=residual if with_residual else None,
            mutable=["batch_stats"],
        )

    return function


def flaxes(activation: str, with_residual: bool) -> Any:
    def function(x: Any, scale: Any, bias: Any, slope: Any, residual: Any) -> Any:
        norm = nn.BatchNorm(use_running_average=False, momentum=0.9)
        statistics = {"mean": jnp.zeros(x.shape[-1]), "var": jnp.ones(x.shape[-1])}
        y, updates = norm.apply(
            {"params": {"scale": scale, "bias": bias}, "batch_stats": statistics}, x, mutable=["batch_stats"]
        )
        y = y + residual if with_residual else y
        if activation == "relu":
            y = nn.relu(y)
        if activation == "prelu":
            y = jnp.where(y >= 0, y, slope * y)
        return y, updates

    return function


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize(
    ("activation", "with_residual"),
    [("none", False), ("none", True), ("relu", False), ("relu", True), ("prelu", False)],
)
def test_values_gradients_and_statistics_are_those_of_flax(activation: str, with_residual: bool, devices: int) -> None:
    if jax.device_count() < devices:
        pytest.skip("two devices are needed")
    *arguments, g = inputs()
    (expected, statistics), pull_back = jax.vjp(flaxes(activation, with_residual), *arguments)
    gradients = pull_back((g, jax.tree.map(jnp.zeros_like, statistics)))

    mesh = data_mesh(jax.devices()[:devices])
    sharded, whole = P("data"), P()
    specs = (sharded, whole, whole, whole, sharded)
    function = jax.shard_map(
        ours(activation, "data", with_residual), mesh=mesh, in_specs=specs, out_specs=(sharded, whole)
    )
    (result, updates), pull_ours = jax.vjp(jax.jit(function), *arguments)
    np.testing.assert_allclose(result, expected, atol=1e-5)
    for name in ("mean", "var"):
        np.testing.assert_allclose(updates["batch_stats"][name], statistics["batch_stats"][name], rtol=1e-5)
    for one, other in zip(pull_ours((g, jax.tree.map(jnp.zeros_like, updates))), gradients, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5 * max(1, float(jnp.max(jnp.abs(other)))))


def test_a_sum_under_a_prelu_has_no_gradient_by_hand() -> None:
    x, scale, bias, slope, residual, _ = inputs()
    with pytest.raises(ValueError, match="PReLU on a sum"):
        jax.grad(lambda x: ours("prelu", None, True)(x, scale, bias, slope, residual)[0].sum())(x)


def test_running_statistics_normalise_without_a_batch() -> None:
    x, scale, bias, slope, residual, _ = inputs()
    variables = {
        "params": {"scale": scale, "bias": bias},
        "batch_stats": {"mean": jnp.arange(4.0), "var": jnp.arange(1.0, 5.0)},
    }
    result = BatchNorm("prelu").apply(variables, x, train=False, slope=slope, residual=residual)
    y = (x - jnp.arange(4.0)) / np.sqrt(np.arange(1.0, 5.0) + 1e-5) * scale + bias + residual
    np.testing.assert_allclose(result, np.where(y >= 0, y, slope * y), atol=1e-5)
