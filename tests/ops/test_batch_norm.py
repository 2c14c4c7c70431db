"""Batch normalisation with its gradient by hand, against its plain twin and written out."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import twins

from dms_jax.ops.batch_norm import Activation, activate, batch_normalize, normalize
from dms_jax.runtime.devices import DATA_AXIS

SHAPE = (4, 5, 6, 3)
every_use = pytest.mark.parametrize(
    ("activation", "with_residual"),
    [("none", False), ("none", True), ("relu", False), ("relu", True), ("prelu", False)],
)


def arrays(activation: Activation, with_residual: bool) -> list[np.ndarray]:
    """A map, scale, bias and, where they are used, slope and residual: all far from their initial values."""
    x, scale, bias, residual = twins.drawn(SHAPE, SHAPE[-1:], SHAPE[-1:], SHAPE)
    given = [3 + 2 * x, 1 + 0.3 * scale, 0.3 * bias]
    if activation == "prelu":
        given.append(np.float64(0.3))
    if with_residual:
        given.append(residual)
    return given


def normalized(
    activation: Activation, with_residual: bool, axis_name: str | None = None, *, plain: bool = False
) -> Callable[..., jax.Array]:
    """The normalised map as a function of `arrays`."""

    def function(x: jax.Array, scale: jax.Array, bias: jax.Array, *others: jax.Array) -> jax.Array:
        slope = others[0] if activation == "prelu" else None
        residual = others[-1] if with_residual else None
        return batch_normalize(x, scale, bias, slope, residual, activation, axis_name, plain=plain)[0]

    return function


def on_two_devices(
    activation: Activation, with_residual: bool, axis_name: str | None, plain: bool
) -> Callable[..., jax.Array]:
    """`normalized` where two devices share the batch; scale, bias and slope are the same on both."""
    divided = [True, False, False, *[False] * (activation == "prelu"), *[True] * with_residual]
    return twins.on_two_devices(normalized(activation, with_residual, axis_name, plain=plain), divided)


@every_use
def test_it_has_the_derivatives_of_its_plain_twin(activation: Activation, with_residual: bool) -> None:
    fast, plain = (normalized(activation, with_residual, plain=plain) for plain in (False, True))
    twins.assert_twins(fast, plain, arrays(activation, with_residual), tolerance=1e-12, second_tolerance=1e-10)


@pytest.mark.parametrize("plain", [False, True])
@every_use
def test_two_devices_have_the_derivatives_of_one(activation: Activation, with_residual: bool, plain: bool) -> None:
    one = normalized(activation, with_residual, plain=True)
    two = on_two_devices(activation, with_residual, DATA_AXIS, plain)
    twins.assert_twins(two, one, arrays(activation, with_residual), tolerance=1e-12, second_tolerance=1e-10)


@pytest.mark.parametrize("plain", [False, True])
def test_without_an_axis_each_device_normalises_by_its_own_images(plain: bool) -> None:
    given = arrays("relu", True)
    two = on_two_devices("relu", True, None, plain)

    def halves(x: jax.Array, scale: jax.Array, bias: jax.Array, residual: jax.Array) -> jax.Array:
        one = normalized("relu", True, plain=True)
        return jnp.concatenate([one(x[:2], scale, bias, residual[:2]), one(x[2:], scale, bias, residual[2:])])

    twins.assert_twins(two, halves, given, tolerance=1e-12, second_tolerance=1e-10)


@pytest.mark.parametrize("plain", [False, True])
@every_use
def test_it_is_what_the_paper_says(activation: Activation, with_residual: bool, plain: bool) -> None:
    x, scale, bias, *others = given = arrays(activation, with_residual)
    y = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5) * scale + bias
    if with_residual:
        y = y + others[-1]
    expected = {"none": y, "relu": np.maximum(y, 0), "prelu": np.where(y >= 0, y, 0.3 * y)}[activation]
    single = [np.asarray(a, np.float32) for a in given]
    np.testing.assert_allclose(normalized(activation, with_residual, plain=plain)(*single), expected, atol=1e-5)


@pytest.mark.parametrize("plain", [False, True])
def test_mean_and_variance_are_those_of_the_batch_and_have_no_gradient(plain: bool) -> None:
    x, scale, bias = (np.asarray(a, np.float32) for a in arrays("none", False))
    function = partial(batch_normalize, activation="none", axis_name=None, plain=plain, slope=None, residual=None)
    _, mean, variance = function(x, scale, bias)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(variance, x.var((0, 1, 2)), rtol=1e-5)
    assert mean.dtype == variance.dtype == jnp.float32
    gradient = jax.grad(lambda x: sum(jnp.sum(moment**2) for moment in function(x, scale, bias)[1:]))(x)
    assert not gradient.any()


@pytest.mark.parametrize("plain", [False, True])
def test_bfloat16_is_normalised_in_float32(plain: bool) -> None:
    x, scale, bias, residual = (np.asarray(a, np.float32) for a in arrays("relu", True))
    x, residual = jnp.asarray(x, jnp.bfloat16), jnp.asarray(residual, jnp.bfloat16)

    def function(x: jax.Array, residual: jax.Array) -> tuple[jax.Array, jax.Array]:
        return batch_normalize(x, scale, bias, None, residual, "relu", None, plain=plain)[:2]

    (y, mean), pull_back = jax.vjp(function, x, residual)
    dx, d_residual = pull_back((jnp.ones_like(y), jnp.zeros_like(mean)))
    assert {a.dtype for a in (y, dx, d_residual)} == {jnp.dtype("bfloat16")}
    assert mean.dtype == jnp.float32
    expected, _ = function(x.astype(jnp.float32), residual.astype(jnp.float32))
    np.testing.assert_array_equal(y.astype(jnp.float32), expected.astype(jnp.bfloat16).astype(jnp.float32))


def test_a_sum_under_a_prelu_has_a_gradient_only_where_it_is_plain() -> None:
    x, scale, bias, slope, residual = arrays("prelu", True)
    with pytest.raises(ValueError, match="PReLU on a sum"):
        jax.grad(lambda x: normalized("prelu", True)(x, scale, bias, slope, residual).sum())(x)

    def by_parts(x: jax.Array, scale: jax.Array, bias: jax.Array, slope: jax.Array, residual: jax.Array) -> jax.Array:
        return activate(normalized("none", True, plain=True)(x, scale, bias, residual), "prelu", slope)

    twins.assert_twins(normalized("prelu", True, plain=True), by_parts, [x, scale, bias, slope, residual])


def test_given_statistics_normalise_without_a_batch() -> None:
    x, scale, bias, slope, residual = (np.asarray(a, np.float32) for a in arrays("prelu", True))
    mean, variance = np.arange(3, dtype=np.float32), np.arange(1, 4, dtype=np.float32)
    result = normalize(x, mean, variance, scale, bias, activation="prelu", slope=slope, residual=residual)
    y = (x - mean) / np.sqrt(variance + 1e-5) * scale + bias + residual
    np.testing.assert_allclose(result, np.where(y >= 0, y, slope * y), atol=1e-5)
