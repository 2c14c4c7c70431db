"""Layers against PyTorch's and Flax's."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import twins
from jax.sharding import PartitionSpec as P

from dms_jax.models import Compute
from dms_jax.models.layers import BatchNorm, Conv, ConvBlock, TransposedConvBlock
from dms_jax.models.resnext import ResNeXt
from dms_jax.runtime.devices import DATA_AXIS, data_mesh

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def nchw(x: jax.Array) -> "torch.Tensor":
    return torch.from_numpy(np.array(x).transpose(0, 3, 1, 2).copy())


def nhwc(x: "torch.Tensor") -> np.ndarray:
    return x.detach().numpy().transpose(0, 2, 3, 1)


@pytest.mark.parametrize("size", [(5, 6), (9, 11), (10, 12), None])
def test_transposed_block_is_that_of_pytorch_then_cropped(size: tuple[int, int] | None) -> None:
    (x,) = twins.drawn_single((2, 5, 6, 3))
    block = TransposedConvBlock(4)
    variables = jax.jit(lambda: block.init(jax.random.key(1), x, size, train=False))()
    reference = torch.nn.ConvTranspose2d(3, 4, 4, 2, 1, bias=False)
    kernel = np.array(variables["params"]["conv"]["kernel"])
    reference.weight.data = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
    expected = torch.nn.functional.prelu(reference(nchw(x)) / np.sqrt(1 + 1e-5), torch.tensor(0.25))
    height, width = size or (10, 12)
    result = jax.jit(lambda v: block.apply(v, x, size, train=False))(variables)
    np.testing.assert_allclose(result, nhwc(expected[..., :height, :width]), atol=1e-5)


def test_transposed_block_reaches_sizes_beyond_twice() -> None:
    (x,) = twins.drawn_single((1, 5, 6, 3))
    block = TransposedConvBlock(4)
    result, _ = jax.jit(lambda: block.init_with_output(jax.random.key(1), x, (20, 23), train=False))()
    assert result.shape == (1, 20, 23, 4)


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (3, 2), (3, 6)])
def test_training_updates_of_batch_norm_follow_pytorch(kernel: int, dilation: int) -> None:
    x = 3 + 2 * twins.drawn_single((4, 14, 15, 3))[0]
    block = ConvBlock(5, kernel, dilation=dilation)
    variables = jax.jit(lambda: block.init(jax.random.key(1), x, train=False))()
    assert float(variables["params"]["prelu"]["negative_slope"]) == 0.25
    reference = torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, kernel, padding=dilation * (kernel // 2), dilation=dilation, bias=False),
        torch.nn.BatchNorm2d(5),
        torch.nn.PReLU(),
    )
    weights = np.array(variables["params"]["conv"]["kernel"])
    reference[0].weight.data = torch.from_numpy(weights.transpose(3, 2, 0, 1).copy())
    expected = reference.train()(nchw(x))
    result, updates = jax.jit(lambda v: block.apply(v, x, train=True, mutable=["batch_stats"]))(variables)
    np.testing.assert_allclose(result, nhwc(expected), atol=1e-4)
    statistics = updates["batch_stats"]["norm"]
    np.testing.assert_allclose(statistics["mean"], reference[1].running_mean, atol=1e-5)
    # PyTorch keeps the unbiased variance, n / (n - 1) larger.
    n = 4 * 14 * 15
    moved = (np.asarray(reference[1].running_var) - 0.9) * (n - 1) / n + 0.9
    np.testing.assert_allclose(statistics["var"], moved, rtol=1e-4)


def test_initial_scale_of_the_backbone_is_he_normal_by_fan_out() -> None:
    model = ResNeXt(stage_sizes=(1, 1, 1, 1))

    # As a program of its own, which draws no other kernel.
    @jax.jit
    def initial() -> jax.Array:
        variables = model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False)
        return variables["params"]["stage3_block1"]["conv2"]["kernel"]

    kernel = initial()
    assert kernel.shape == (3, 3, 16, 512)
    np.testing.assert_allclose(jnp.std(kernel), np.sqrt(2 / (512 * 9)), rtol=0.02)
    assert abs(float(jnp.mean(kernel))) < 1e-3


@pytest.mark.parametrize("plain", [False, True])
def test_several_maps_are_convolved_as_if_they_were_joined(plain: bool) -> None:
    a, b = twins.drawn_single((2, 6, 5, 4), (2, 6, 5, 1))
    conv = Conv(3, 3, compute=Compute(plain=plain))
    variables = conv.init(jax.random.key(2), a, b)
    assert variables["params"]["kernel"].shape == (3, 3, 5, 3)
    joined = conv.apply(variables, jnp.concatenate((a, b), axis=-1))
    np.testing.assert_allclose(conv.apply(variables, a, b), joined, atol=1e-5)


def batch_norm_inputs() -> list[jax.Array]:
    """A map, scale, bias, slope, residual and cotangent."""
    shapes = [(8, 5, 6, 4), (4,), (4,), (8, 5, 6, 4), (8, 5, 6, 4)]
    x, scale, bias, residual, g = (jnp.asarray(a, jnp.float32) for a in twins.drawn(*shapes))
    return [3 + 2 * x, 1 + 0.3 * scale, 0.3 * bias, jnp.float32(0.3), residual, g]


def ours(activation: str, with_residual: bool, plain: bool) -> Any:
    def function(x: Any, scale: Any, bias: Any, slope: Any, residual: Any) -> Any:
        params = {"scale": scale, "bias": bias}
        statistics = {"mean": jnp.zeros(x.shape[-1]), "var": jnp.ones(x.shape[-1])}
        return BatchNorm(activation, Compute(axis_name=DATA_AXIS, plain=plain)).apply(
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


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize(
    ("activation", "with_residual"),
    [("none", False), ("none", True), ("relu", False), ("relu", True), ("prelu", False)],
)
def test_batch_norm_and_its_gradients_and_statistics_are_those_of_flax(
    activation: str, with_residual: bool, devices: int, plain: bool
) -> None:
    if jax.device_count() < devices:
        pytest.skip("two devices are needed")
    *arguments, g = batch_norm_inputs()
    (expected, statistics), pull_back = jax.vjp(flaxes(activation, with_residual), *arguments)
    gradients = pull_back((g, jax.tree.map(jnp.zeros_like, statistics)))

    mesh = data_mesh(jax.devices()[:devices])
    sharded, whole = P(DATA_AXIS), P()
    specs = (sharded, whole, whole, whole, sharded)
    function = ours(activation, with_residual, plain)
    function = jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=(sharded, whole))
    (result, updates), pull_ours = jax.vjp(jax.jit(function), *arguments)
    np.testing.assert_allclose(result, expected, atol=1e-5)
    for name in ("mean", "var"):
        np.testing.assert_allclose(updates["batch_stats"][name], statistics["batch_stats"][name], rtol=1e-5)
    for one, other in zip(pull_ours((g, jax.tree.map(jnp.zeros_like, updates))), gradients, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5 * max(1, float(jnp.max(jnp.abs(other)))))


def test_running_statistics_normalise_without_a_batch() -> None:
    x, scale, bias, slope, residual, _ = batch_norm_inputs()
    variables = {
        "params": {"scale": scale, "bias": bias},
        "batch_stats": {"mean": jnp.arange(4.0), "var": jnp.arange(1.0, 5.0)},
    }
    result = BatchNorm("prelu").apply(variables, x, train=False, slope=slope, residual=residual)
    x, scale, bias, residual = map(np.asarray, (x, scale, bias, residual))
    y = (x - np.arange(4.0)) / np.sqrt(np.arange(1.0, 5.0) + 1e-5) * scale + bias + residual
    np.testing.assert_allclose(result, np.where(y >= 0, y, slope * y), atol=1e-5)
