"""Convolutions in other formulations, against PyTorch's."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dms_jax.models.convolution import Conv, convolve, strided_by_phases, transposed_conv, transposed_conv_by_phases

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
functional = torch.nn.functional


def to_torch(x: jax.Array, order: tuple[int, ...]) -> "torch.Tensor":
    return torch.from_numpy(np.array(x).transpose(order).copy()).requires_grad_()


def from_torch(x: "torch.Tensor", order: tuple[int, ...]) -> np.ndarray:
    return x.detach().numpy().transpose(order)


def assert_same_with_gradients(
    function: Callable[..., jax.Array],
    reference: Callable[..., "torch.Tensor"],
    kernel_shape: tuple[int, ...],
    size: tuple[int, int],
    *,
    gradient_tolerance: float,
) -> None:
    """Compare a function of two random pictures of three channels and a random kernel with PyTorch's."""
    x = jax.random.normal(jax.random.key(0), (2, *size, 3))
    kernel = jax.random.normal(jax.random.key(1), kernel_shape)
    image, weight = to_torch(x, (0, 3, 1, 2)), to_torch(kernel, (3, 2, 0, 1))
    expected = reference(image, weight)
    result, pull_back = jax.vjp(function, x, kernel)
    np.testing.assert_allclose(result, from_torch(expected, (0, 2, 3, 1)), atol=1e-4)
    g = jax.random.normal(jax.random.key(2), result.shape)
    expected.backward(to_torch(g, (0, 3, 1, 2)).detach())
    dx, dk = pull_back(g)
    np.testing.assert_allclose(dx, from_torch(image.grad, (0, 2, 3, 1)), atol=gradient_tolerance)
    np.testing.assert_allclose(dk, from_torch(weight.grad, (2, 3, 1, 0)), atol=gradient_tolerance)


@pytest.mark.parametrize("size", [(1, 1), (7, 8), (12, 11)])
@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
def test_strided_convolution_by_phases_is_that_of_pytorch(kernel_size: int, size: tuple[int, int]) -> None:
    reference = partial(functional.conv2d, stride=2, padding=kernel_size // 2)
    shape = (kernel_size, kernel_size, 3, 5)
    assert_same_with_gradients(strided_by_phases, reference, shape, size, gradient_tolerance=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (4, 7), (9, 8)])
@pytest.mark.parametrize("function", [transposed_conv, transposed_conv_by_phases])
def test_transposed_convolution_is_that_of_pytorch(function: Callable[..., jax.Array], size: tuple[int, int]) -> None:
    reference = partial(functional.conv_transpose2d, stride=2, padding=1)
    assert_same_with_gradients(function, reference, (4, 4, 5, 3), size, gradient_tolerance=1e-3)


def test_several_maps_are_convolved_as_if_they_were_joined() -> None:
    a = jax.random.normal(jax.random.key(0), (2, 6, 5, 4))
    b = jax.random.normal(jax.random.key(1), (2, 6, 5, 1))
    conv = Conv(3, 3)
    variables = conv.init(jax.random.key(2), a, b)
    assert variables["params"]["kernel"].shape == (3, 3, 5, 3)
    joined = conv.apply(variables, jnp.concatenate((a, b), axis=-1))
    np.testing.assert_allclose(conv.apply(variables, a, b), joined, atol=1e-5)


def test_a_strided_convolution_of_groups_and_few_channels_keeps_its_groups() -> None:
    x = jax.random.normal(jax.random.key(0), (1, 8, 7, 6))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 3, 4))
    image, weight = to_torch(x, (0, 3, 1, 2)), to_torch(kernel, (3, 2, 0, 1))
    expected = functional.conv2d(image, weight, stride=2, padding=1, groups=2)
    result = convolve(x, kernel, stride=2, groups=2)
    np.testing.assert_allclose(result, from_torch(expected, (0, 2, 3, 1)), atol=1e-5)
