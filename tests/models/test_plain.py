"""Plain networks: the same predictions and derivatives as the fast ones, and forward mode too."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import twins
from tiny_network import FIELDS

from dms_jax.models import DMS, SDMS, Compute
from dms_jax.models.dms import BDMS_SCHEDULE, SDMS_SCHEDULE
from dms_jax.models.layers import ConvBlock, TransposedConvBlock
from dms_jax.models.refinement import ResidualRefinementBlock
from dms_jax.models.resnext import Bottleneck
from dms_jax.models.side_outputs import SideOutput
from dms_jax.ops.pooling import max_pool

SIZE = (48, 45)


def predictions(model: DMS, params: Any, batch_stats: Any, images: jax.Array, *, train: bool) -> tuple[Any, Any]:
    """All logits, and the running statistics afterwards."""
    variables = {"params": params, "batch_stats": batch_stats}
    output, updates = model.apply(variables, images, train=train, mutable=["batch_stats"])
    return (output.saliency, output.classes), updates["batch_stats"]


def like(tree: Any, seed: int) -> Any:
    """A standard normal array for each of a tree, of its type."""
    leaves, structure = jax.tree.flatten(tree)
    arrays = twins.drawn(*(x.shape for x in leaves), seed=seed)
    return structure.unflatten([a.astype(x.dtype) for a, x in zip(arrays, leaves, strict=True)])


def dot(a: Any, b: Any) -> float:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return float(sum(np.vdot(np.asarray(x, np.float64), np.asarray(y, np.float64)) for x, y in pairs))


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(
    "schedule",
    [
        ("HF", "MF", "reset LF"),
        # Further steps of the same kinds.
        pytest.param(SDMS_SCHEDULE, marks=pytest.mark.slow),
        pytest.param(BDMS_SCHEDULE, marks=pytest.mark.slow),
    ],
)
def test_forward_mode_of_the_plain_network_is_reverse_mode_of_the_fast_one(
    schedule: tuple[str, ...], train: bool
) -> None:
    """With J the derivative of all logits by all parameters and pixels, <v, J u> = <J^T v, u>."""
    with jax.enable_x64(True):
        fast, plain = (DMS(**FIELDS, schedule=schedule, dtype=jnp.float64, plain=plain) for plain in (False, True))
        (images,) = twins.drawn((2, *SIZE, 3))
        variables = twins.random_variables(fast, images)
        batch_stats, point = variables["batch_stats"], (variables["params"], images)

        @jax.jit
        def forward(point: Any, u: Any) -> Any:
            return jax.jvp(lambda p, x: predictions(plain, p, batch_stats, x, train=train), point, u)

        @jax.jit
        def reverse(point: Any, v: Any) -> Any:
            function = lambda p, x: predictions(fast, p, batch_stats, x, train=train)  # noqa: E731
            logits, pull_back, statistics = jax.vjp(function, *point, has_aux=True)
            return logits, statistics, pull_back(v)

        u = like(point, seed=3)
        (logits, statistics), (tangents, tangents_of_statistics) = forward(point, u)
        v = like(logits, seed=4)
        fast_logits, fast_statistics, cotangents = reverse(point, v)
    assert twins.relative_error(logits, fast_logits) < 1e-12
    assert twins.relative_error(statistics, fast_statistics) < 1e-12
    assert not any(x.any() for x in jax.tree.leaves(tangents_of_statistics))
    # Logits are float32.
    assert dot(v, tangents) == pytest.approx(dot(cotangents, u), rel=1e-6)


@pytest.mark.slow
def test_second_derivatives_in_training_are_those_of_the_plain_network() -> None:
    with jax.enable_x64(True):
        fast, plain = (SDMS(**FIELDS, dtype=jnp.float64, plain=plain) for plain in (False, True))
        (images,) = twins.drawn((2, *SIZE, 3))
        variables = twins.random_variables(fast, images)
        v = like(variables["params"], seed=3)

        def product(model: SDMS) -> Any:
            def loss(params: Any) -> jax.Array:
                logits, _ = predictions(model, params, variables["batch_stats"], images, train=True)
                return sum(jnp.mean(x**2) for x in jax.tree.leaves(logits))

            return jax.jit(lambda params: twins.hessian_times(loss, params, v))(variables["params"])

        assert twins.relative_error(product(fast), product(plain)) <= 1e-10


class Stem(nn.Module):
    """The backbone's beginning."""

    compute: Compute

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = ConvBlock(2, 3, compute=self.compute)(x, train=train)
        return max_pool(x, plain=self.compute.plain)


class Step(nn.Module):
    """What a step does to the map before it."""

    compute: Compute

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        larger = TransposedConvBlock(2, self.compute)(x, (7, 7), train=train)
        return ResidualRefinementBlock(2, compute=self.compute)(larger, larger[..., :1], train=train)


PIECES = {
    "stem": lambda compute: Stem(compute),
    "bottleneck": lambda compute: Bottleneck(4, 4, stride=2, groups=2, compute=compute),
    "side output": lambda compute: SideOutput(2, compute=compute),
    "side output with ASPP": lambda compute: SideOutput(2, aspp=True, compute=compute),
    "step": lambda compute: Step(compute),
}


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", PIECES)
def test_the_jacobian_in_forward_mode_is_that_of_the_fast_module_in_reverse_mode(name: str, train: bool) -> None:
    with jax.enable_x64(True):
        fast, plain = (PIECES[name](Compute(jnp.float64, plain=plain)) for plain in (False, True))
        (x,) = twins.drawn((2, 3, 4, 3))
        variables = twins.random_variables(fast, x)
        assert jax.tree.structure(variables) == jax.tree.structure(twins.random_variables(plain, x))

        def function(module: nn.Module) -> Any:
            def apply(params: Any, x: jax.Array) -> jax.Array:
                return module.apply({**variables, "params": params}, x, train=train, mutable=["batch_stats"])[0]

            return apply

        point = variables["params"], x
        forward = jax.jit(jax.jacfwd(function(plain), argnums=(0, 1)))(*point)
        reverse = jax.jit(jax.jacrev(function(fast), argnums=(0, 1)))(*point)
        # The logits of a step are float32.
        assert twins.relative_error(forward, reverse) < (1e-6 if name == "step" else 1e-12)
        with pytest.raises(TypeError, match="forward-mode"):
            jax.eval_shape(jax.jacfwd(function(fast), argnums=(0, 1)), *point)


def test_a_plain_network_predicts_plainly() -> None:
    model, _ = SDMS(**FIELDS, plain=True).for_prediction()
    assert model.folded
    assert model.plain
    assert model.compute == Compute(folded=True, plain=True)
