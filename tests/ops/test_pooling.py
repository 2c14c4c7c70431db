"""The max-pool and its gradient, against its plain twin and PyTorch's."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import twins

from dms_jax.ops.pooling import halving_max_pool, max_pool

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

every_size = pytest.mark.parametrize("size", [(1, 1), (2, 1), (4, 7), (9, 8), (8, 6), (7, 5)])


def nchw(x: np.ndarray) -> "torch.Tensor":
    return torch.from_numpy(np.array(x).transpose(0, 3, 1, 2).copy())


def nhwc(x: "torch.Tensor") -> np.ndarray:
    return x.detach().numpy().transpose(0, 2, 3, 1)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (4, 7), (9, 8), (48, 47)])
def test_max_pool_is_that_of_pytorch(size: tuple[int, int], plain: bool) -> None:
    x = twins.drawn_single((2, *size, 3))[0] - 5
    reference = nchw(x).requires_grad_()
    expected = torch.nn.functional.max_pool2d(reference, 3, 2, 1)
    (seed,) = twins.drawn_single(nhwc(expected).shape, seed=1)
    expected.backward(nchw(seed))
    result, (gradient,) = twins.with_gradients(partial(max_pool, plain=plain), seed, x)
    np.testing.assert_array_equal(result, nhwc(expected))
    np.testing.assert_allclose(gradient, nhwc(reference.grad), atol=1e-6)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (4, 7), (9, 8)])
def test_equal_pixels_are_told_apart_as_by_pytorch(size: tuple[int, int], plain: bool) -> None:
    x = np.random.default_rng(0).integers(0, 3, (2, *size, 3)).astype(np.float32)
    reference = nchw(x).requires_grad_()
    expected = torch.nn.functional.max_pool2d(reference, 3, 2, 1)
    (seed,) = twins.drawn_single(nhwc(expected).shape, seed=1)
    expected.backward(nchw(seed))
    _, (gradient,) = twins.with_gradients(partial(max_pool, plain=plain), seed, x)
    np.testing.assert_allclose(gradient, nhwc(reference.grad), atol=1e-6)


@every_size
def test_it_has_the_derivatives_of_its_plain_twin(size: tuple[int, int]) -> None:
    twins.assert_twins(max_pool, partial(max_pool, plain=True), [x - 5 for x in twins.drawn((2, *size, 3))])


@pytest.mark.parametrize("plain", [False, True])
def test_the_first_of_equal_pixels_has_the_gradient(plain: bool) -> None:
    function = partial(max_pool, plain=plain)
    (gradient,) = jax.vjp(function, jnp.ones((1, 3, 3, 1)))[1](jnp.ones((1, 2, 2, 1)))
    np.testing.assert_array_equal(gradient[0, :, :, 0], [[1, 1, 0], [1, 1, 0], [0, 0, 0]])


def test_a_map_that_its_gradient_computes_again_need_not_be_rounded_as_before() -> None:
    """Compiled like this, XLA computes x * scale + bias in one step of rounding here and in two there."""
    x, scale, bias = twins.drawn((2, 24, 24, 8), (1, 1, 1, 8), (1, 1, 1, 8))
    x, scale, bias = (jnp.asarray(a, jnp.float32) for a in (x, 1 + 0.3 * scale, bias))

    def gradient(x: jax.Array, plain: bool) -> jax.Array:
        y, pull_back = jax.vjp(lambda x: max_pool(jax.nn.relu(x * scale + bias), plain=plain), x)
        return pull_back(jnp.ones_like(y))[0]

    quick = jax.jit(partial(gradient, plain=False), compiler_options={"xla_backend_optimization_level": 0})
    assert twins.relative_error(quick(x), gradient(x, plain=True)) < 1e-6


@pytest.mark.parametrize("plain", [False, True])
def test_it_keeps_the_type(plain: bool) -> None:
    x = jnp.asarray(*twins.drawn_single((2, 7, 6, 3)), jnp.bfloat16)
    y, pull_back = jax.vjp(partial(max_pool, plain=plain), x)
    assert y.dtype == pull_back(y)[0].dtype == jnp.bfloat16
    np.testing.assert_array_equal(y.astype(jnp.float32), max_pool(x.astype(jnp.float32)))


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 7), (9, 8), (48, 47)])
def test_halving_is_that_of_pytorch(size: tuple[int, int], plain: bool) -> None:
    # Some pixels of a window are equal, and all are negative: padding is never the largest.
    x = np.random.default_rng(0).integers(-9, 0, (2, *size, 3)).astype(np.float32)
    reference = nchw(x).requires_grad_()
    expected = torch.nn.functional.max_pool2d(reference, 2, ceil_mode=True)
    (seed,) = twins.drawn_single(nhwc(expected).shape, seed=1)
    expected.backward(nchw(seed))
    result, (gradient,) = twins.with_gradients(partial(halving_max_pool, plain=plain), seed, x)
    np.testing.assert_array_equal(result, nhwc(expected))
    np.testing.assert_allclose(gradient, nhwc(reference.grad), atol=1e-6)


@every_size
def test_halving_has_the_derivatives_of_its_plain_twin(size: tuple[int, int]) -> None:
    pair = (halving_max_pool, partial(halving_max_pool, plain=True))
    twins.assert_twins(*pair, [x - 5 for x in twins.drawn((2, *size, 3))])


def test_halving_keeps_the_type() -> None:
    x = jnp.asarray(*twins.drawn_single((2, 7, 6, 3)), jnp.bfloat16)
    y, pull_back = jax.vjp(halving_max_pool, x)
    assert y.dtype == pull_back(y)[0].dtype == jnp.bfloat16
