"""Optimisers of stacked kernels: the same updates as of each kernel by itself."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

from dms_jax.training.optimizer import OptimizerConfig, create_optimizer
from dms_jax.training.stacking import on_stacked_kernels, stack_kernels, unstack_kernels

STEPS = 20


def tree(seed: int) -> dict[str, Any]:
    """Kernels of three shapes, two of which are there more than once, and what is no kernel of a matrix."""
    rng = np.random.default_rng(seed)
    conv, wide, dense = (3, 3, 2, 4), (1, 1, 4, 6), (6, 5)
    shapes = {
        "backbone": {f"block{n}": {"conv": {"kernel": conv}, "norm": {"scale": (4,)}} for n in range(3)},
        "classes": {"kernel": dense, "bias": (5,)},
        "side": [{"kernel": wide}, {"kernel": wide}],
        "vector": {"kernel": (7,)},
        "slope": (),
    }
    leaves, structure = jax.tree.flatten(shapes, is_leaf=lambda x: isinstance(x, tuple))
    return jax.tree.unflatten(structure, [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in leaves])


def test_kernels_of_a_shape_are_one_array() -> None:
    stacked = stack_kernels(tree(0))
    assert {name: group["kernel"].shape for name, group in stacked.stacks.items()} == {
        "3x3x2x4": (3, 3, 3, 2, 4),
        "6x5": (1, 6, 5),
        "1x1x4x6": (2, 1, 1, 4, 6),
    }
    np.testing.assert_array_equal(
        stacked.stacks["3x3x2x4"]["kernel"][2], tree(0)["backbone"]["block2"]["conv"]["kernel"]
    )
    assert sorted(x.shape for x in jax.tree.leaves(stacked.rest)) == [(), (4,), (4,), (4,), (5,), (7,)]


def test_a_tree_comes_back_as_it_was() -> None:
    whole = tree(1)
    back = unstack_kernels(stack_kernels(whole), whole)
    jax.tree.map(np.testing.assert_array_equal, back, whole)


def test_an_optimizer_sees_the_same_numbers() -> None:
    # Adam goes by each number alone: stacks must not change anything at all.
    moves = []
    for optimizer in (optax.adamw(0.1), on_stacked_kernels(optax.adamw(0.1))):
        params = tree(0)
        state = optimizer.init(params)
        for step in range(3):
            updates, state = optimizer.update(tree(step + 1), state, params)
            params = optax.apply_updates(params, updates)
        moves.append(params)
    jax.tree.map(np.testing.assert_array_equal, *moves)


def test_muon_is_that_of_each_kernel_by_itself() -> None:
    def matrix(path: Any, x: jax.Array) -> Any:
        is_matrix = getattr(path[-1], "key", None) == "kernel" and x.ndim >= 2
        return optax.contrib.MuonDimensionNumbers(tuple(range(x.ndim - 1)), x.ndim - 1) if is_matrix else None

    config = OptimizerConfig("muon", learning_rate=0.1, weight_decay=0.05, power=1.0)
    apart = optax.contrib.muon(
        lambda step: 0.1 * (1 - step / STEPS),
        weight_decay=0.05,
        adam_b1=0.9,
        muon_weight_dimension_numbers=lambda params: jax.tree_util.tree_map_with_path(matrix, params),
        consistent_rms=0.2,
    )
    trained = []
    for optimizer in (create_optimizer(config, STEPS), apart):
        params = tree(0)
        state = optimizer.init(params)
        update = jax.jit(optimizer.update)
        for step in range(4):
            updates, state = update(tree(step + 1), state, params)
            params = optax.apply_updates(params, updates)
        trained.append(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *trained)
    moved = jax.tree.map(lambda a, b: float(jnp.max(jnp.abs(a - b))), trained[0], tree(0))
    assert min(jax.tree.leaves(moved)) > 0.01
