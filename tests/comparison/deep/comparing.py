"""A network of the comparison against its PyTorch version, the weights carried over by a table of names."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch_peer

from dms_jax.comparison.deep import ComparisonNetwork
from dms_jax.models import Network, SaliencyOutput

TOLERANCE = 1e-4


def parameters(model: ComparisonNetwork, size: tuple[int, int] = (64, 64)) -> int:
    """The number of a network's parameters, counted without making them."""
    images = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), images)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))


def assert_is_a_network(model: ComparisonNetwork, outputs: int) -> None:
    """It is what training and prediction ask for, of images of any size, and answers in float32."""
    assert isinstance(model, Network)
    assert model.num_outputs == outputs
    assert not model.has_class_heads
    assert hash(model) == hash(model.clone())
    half = model.clone(dtype=jnp.bfloat16)
    for size in ((64, 64), (33, 70)):
        images = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
        output, variables = jax.eval_shape(lambda x: half.init_with_output(jax.random.key(0), x, train=False), images)
        assert isinstance(output, SaliencyOutput)
        assert [(x.shape, x.dtype) for x in output.saliency] == [((2, *size, 1), jnp.float32)] * outputs
        assert output.classes == ()
        assert {x.dtype for x in output.features.values()} == {jnp.dtype("bfloat16")}
        assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def assert_agrees(model: ComparisonNetwork, net: Any, names: Mapping[str, str], *, folds: bool = True) -> None:
    """The network and its PyTorch version give the same maps; with `folds`, also the network with BatchNorm folded."""
    size = (45, 61)
    import torch

    _randomise(net)
    variables = torch_peer.carry_over_by(net, names)
    images = np.random.default_rng(0).standard_normal((2, *size, 3), np.float32)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, *size, 3)), train=False))
    assert jax.tree.map(jnp.shape, {"batch_stats": {}, **shapes}) == jax.tree.map(jnp.shape, variables)
    channels_first = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    folded, fold = model.for_prediction()

    @jax.jit
    def predict(variables: Any, images: jax.Array) -> tuple[Any, Any]:
        output = model.apply(variables, images, train=False)
        return output.saliency, folded.apply(fold(variables), images, train=False).saliency if folds else None

    with torch.no_grad():
        expected = [x.numpy().transpose(0, 2, 3, 1) for x in net.eval()(channels_first)]
    ours, ours_folded = predict(variables, images)
    _assert_close(ours, expected)
    if folds:
        _assert_close(ours_folded, expected)


def assert_trains_alike(
    model: ComparisonNetwork, net: Any, names: Mapping[str, str], *, gradients: bool = False
) -> None:
    """On a batch's own statistics the maps are PyTorch's, and so may be their squares' gradients; in float64."""
    import torch

    _randomise(net)
    variables = torch_peer.carry_over_by(net, names)
    images = np.random.default_rng(0).standard_normal((2, 45, 61, 3))
    expected = net.double().train()(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    model = model.clone(dtype=jnp.float64)

    def loss(params: Any, variables: Any, images: jax.Array) -> Any:
        output, _ = model.apply({**variables, "params": params}, images, train=True, mutable=["batch_stats"])
        return sum(jnp.mean(jnp.square(x)) for x in output.saliency), output.saliency

    with jax.enable_x64(True):
        variables = jax.tree.map(lambda x: x.astype(np.float64), variables)
        measure = jax.jit(jax.value_and_grad(loss, has_aux=True) if gradients else loss)
        result, found = measure(variables["params"], variables, images)
    _assert_close(found if not gradients else result[1], [x.detach().numpy().transpose(0, 2, 3, 1) for x in expected])
    if gradients:
        sum(torch.mean(x**2) for x in expected).backward()
        theirs = torch_peer.carry_over_by(net, names, gradients=True)["params"]
        largest = max(np.abs(x).max() for x in jax.tree.leaves(theirs))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 * largest), found, theirs)


def _randomise(net: Any) -> None:
    """Weights of He's scale, so that no map is flat for want of normalisation, and biases that are not 0."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    torch_peer.randomise(net)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                if module.bias is not None:
                    module.bias.normal_(0, 0.1)


def _assert_close(ours: Any, theirs: list[np.ndarray]) -> None:
    assert len(ours) == len(theirs)
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert a.shape == b.shape
        # What is the same everywhere says nothing of the network.
        assert b.std() > 1e-3 * np.abs(b).max(), f"map {i} is flat"
        error = np.abs(np.asarray(a) - b).max() / np.abs(b).max()
        assert error < TOLERANCE, f"map {i}: relative error {error:.1e}"
