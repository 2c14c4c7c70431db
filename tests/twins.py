"""Fast functions and networks against their plain twins: values, gradients and second derivatives, in float64."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from dms_jax.runtime.devices import DATA_AXIS, data_mesh


def drawn(*shapes: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    """Standard normal arrays, float64."""
    random = np.random.default_rng(seed)
    return [random.standard_normal(shape) for shape in shapes]


def drawn_single(*shapes: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    """Standard normal arrays, float32. By NumPy: JAX would compile the drawing of each shape."""
    return [np.asarray(a, np.float32) for a in drawn(*shapes, seed=seed)]


def with_gradients(
    function: Callable[..., jax.Array], cotangent: np.ndarray, *arrays: np.ndarray
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    """A function's value y and the gradients of <cotangent, y> by its arrays: one program instead of dozens."""

    @jax.jit
    def compute(cotangent: jax.Array, *arrays: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        y, pull_back = jax.vjp(function, *arrays)
        return y, pull_back(cotangent)

    return compute(cotangent, *arrays)


def random_variables(model: nn.Module, images: Any, *, seed: int = 1) -> Any:
    """Variables in which nothing is at its initial 0 or 1, float64: kernels by He's scale, the others in 0.5..1.5."""
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    random = np.random.default_rng(seed)

    def draw(path: Any, x: jax.ShapeDtypeStruct) -> np.ndarray:
        if "kernel" in str(path[-1]):
            return random.normal(0, np.sqrt(2 / np.prod(x.shape[:-1])), x.shape)
        return random.uniform(0.5, 1.5, x.shape)

    return jax.tree_util.tree_map_with_path(draw, variables)


def relative_error(found: Any, expected: Any) -> float:
    """|found - expected| / |expected|, by the Euclidean norm of two trees' leaves together."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, expected)
    pairs = list(zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True))
    difference = sum(np.sum(np.square(np.asarray(a, np.float64) - np.asarray(b, np.float64))) for a, b in pairs)
    size = sum(np.sum(np.square(np.asarray(b, np.float64))) for _, b in pairs)
    assert size > 0, "Nothing to compare with: all zeros."
    return float(np.sqrt(difference / size))


def hessian_times(loss: Callable[[Any], jax.Array], point: Any, direction: Any) -> Any:
    """The gradient of <gradient of the loss, direction>: reverse mode twice, which a custom gradient allows."""

    def along(point: Any) -> jax.Array:
        products = jax.tree.map(jnp.vdot, jax.grad(loss)(point), direction)
        return sum(jax.tree.leaves(products))

    return jax.grad(along)(point)


def derivatives(function: Callable[..., jax.Array], arrays: Sequence[np.ndarray]) -> dict[str, Any]:
    """A function's value y, the gradients of <g, y> by its arrays, and the Hessian of <g, y^2> times v; g, v random."""

    @jax.jit
    def compute(arrays: tuple[jax.Array, ...]) -> dict[str, Any]:
        y, pull_back = jax.vjp(function, *arrays)
        (g,) = drawn(y.shape, seed=1)
        v = tuple(drawn(*(x.shape for x in arrays), seed=2))
        second = hessian_times(lambda arrays: jnp.vdot(g, jnp.square(function(*arrays))), arrays, v)
        return {"value": y, "gradients": pull_back(jnp.asarray(g, y.dtype)), "second derivatives": second}

    return jax.device_get(compute(tuple(map(jnp.asarray, arrays))))


def assert_twins(
    fast: Callable[..., jax.Array],
    plain: Callable[..., jax.Array],
    arrays: Sequence[np.ndarray],
    *,
    tolerance: float = 1e-13,
    second_tolerance: float | None = None,
) -> None:
    """Compare two functions of some arrays in float64: each result's relative error is within the tolerance."""
    with jax.enable_x64(True):
        found, expected = derivatives(fast, arrays), derivatives(plain, arrays)
    for name in expected:
        limit = (second_tolerance or tolerance) if name == "second derivatives" else tolerance
        pairs = zip(jax.tree.leaves(found[name]), jax.tree.leaves(expected[name]), strict=True)
        for i, (one, other) in enumerate(pairs):
            assert one.dtype == other.dtype == np.float64
            error = relative_error(one, other)
            assert error <= limit, f"{name}, {i}: relative error {error:.1e}"


def on_two_devices(function: Callable[..., jax.Array], divided: Sequence[bool]) -> Callable[..., jax.Array]:
    """A function of arrays some of which are divided among two devices, as its result is; the others are on both."""
    if jax.device_count() < 2:
        pytest.skip("two devices are needed")
    specs = tuple(P(DATA_AXIS) if is_divided else P() for is_divided in divided)
    return jax.shard_map(function, mesh=data_mesh(jax.devices()[:2]), in_specs=specs, out_specs=P(DATA_AXIS))
