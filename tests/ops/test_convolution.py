"""Convolutions in other formulations, against their plain twins and PyTorch's."""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np
import pytest
import twins

from dms_jax.ops.convolution import (
    convolve,
    convolve_transposed,
    in_wide_groups,
    strided_by_phases,
    transposed_conv,
    transposed_conv_by_phases,
)

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
functional = torch.nn.functional


def to_torch(x: np.ndarray, order: tuple[int, ...]) -> "torch.Tensor":
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
    """Compare a function of two random images of three channels and a random kernel with PyTorch's."""
    x, kernel = twins.drawn_single((2, *size, 3), kernel_shape)
    image, weight = to_torch(x, (0, 3, 1, 2)), to_torch(kernel, (3, 2, 0, 1))
    expected = reference(image, weight)
    (g,) = twins.drawn_single(from_torch(expected, (0, 2, 3, 1)).shape, seed=1)
    expected.backward(to_torch(g, (0, 3, 1, 2)).detach())
    result, (dx, dk) = twins.with_gradients(function, g, x, kernel)
    np.testing.assert_allclose(result, from_torch(expected, (0, 2, 3, 1)), atol=1e-4)
    np.testing.assert_allclose(dx, from_torch(image.grad, (0, 2, 3, 1)), atol=gradient_tolerance)
    np.testing.assert_allclose(dk, from_torch(weight.grad, (2, 3, 1, 0)), atol=gradient_tolerance)


@pytest.mark.parametrize("size", [(1, 1), (7, 8), (12, 11)])
@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
def test_strided_convolution_by_phases_is_that_of_pytorch(kernel_size: int, size: tuple[int, int]) -> None:
    reference = partial(functional.conv2d, stride=2, padding=kernel_size // 2)
    shape = (kernel_size, kernel_size, 3, 5)
    assert_same_with_gradients(strided_by_phases, reference, shape, size, gradient_tolerance=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (4, 7), (9, 8)])
@pytest.mark.parametrize(
    "function", [transposed_conv, transposed_conv_by_phases, partial(convolve_transposed, plain=True)]
)
def test_transposed_convolution_is_that_of_pytorch(function: Callable[..., jax.Array], size: tuple[int, int]) -> None:
    reference = partial(functional.conv_transpose2d, stride=2, padding=1)
    assert_same_with_gradients(function, reference, (4, 4, 5, 3), size, gradient_tolerance=1e-3)


def test_a_strided_convolution_of_groups_and_few_channels_keeps_its_groups() -> None:
    x, kernel = twins.drawn_single((1, 8, 7, 6), (3, 3, 3, 4))
    image, weight = to_torch(x, (0, 3, 1, 2)), to_torch(kernel, (3, 2, 0, 1))
    expected = functional.conv2d(image, weight, stride=2, padding=1, groups=2)
    for plain in (False, True):
        result = convolve(x, kernel, stride=2, groups=2, plain=plain)
        np.testing.assert_allclose(result, from_torch(expected, (0, 2, 3, 1)), atol=1e-5)


# Kernel size, input and output channels, stride, dilation, groups, and the image's size.
GEOMETRIES = {
    "pointwise": (1, 7, 5, 1, 1, 1, (6, 5)),
    "pointwise, strided": (1, 7, 5, 2, 1, 1, (7, 6)),
    "few channels": (3, 5, 4, 1, 1, 1, (6, 5)),
    "strided": (3, 9, 4, 2, 1, 1, (7, 6)),
    "dilated": (3, 5, 4, 1, 2, 1, (8, 7)),
    "dilated further than the image": (3, 5, 4, 1, 6, 1, (5, 4)),
    "winograd": (3, 64, 64, 1, 1, 1, (32, 33)),
    "stem": (7, 3, 4, 2, 1, 1, (10, 13)),
    "small stem": (3, 3, 4, 2, 1, 1, (7, 6)),
    "groups of 2": (3, 8, 12, 1, 1, 4, (6, 5)),
    "groups of 2, strided": (3, 8, 12, 2, 1, 4, (7, 6)),
    "groups of 2, dilated": (3, 8, 8, 1, 2, 4, (8, 7)),
    "groups of 1": (3, 6, 6, 1, 1, 6, (6, 5)),
    "groups of 3, strided, few channels": (3, 6, 4, 2, 1, 2, (8, 7)),
    "groups of 4, some merged": (3, 160, 160, 1, 1, 40, (4, 3)),
    "groups of 8": (3, 16, 32, 1, 1, 2, (6, 5)),
    "groups of 8, strided": (3, 16, 32, 2, 1, 2, (7, 6)),
    "groups of 8, dilated": (3, 16, 16, 1, 2, 2, (8, 7)),
    "groups of 16": (5, 32, 32, 1, 1, 2, (6, 5)),
    "groups of 8, pointwise": (1, 16, 16, 1, 1, 2, (6, 5)),
    "wide": (7, 3, 100, 1, 1, 1, (2, 3)),
    "almost wide": (7, 3, 95, 1, 1, 1, (2, 3)),
}


def assert_twin_of_the_plain_convolution(function: Callable[..., jax.Array], name: str) -> None:
    k, channels, features, stride, dilation, groups, size = GEOMETRIES[name]
    batch = 1 if name == "winograd" else 2
    arrays = twins.drawn((batch, *size, channels), (k, k, channels // groups, features))
    options = {"stride": stride, "dilation": dilation, "groups": groups}
    twins.assert_twins(partial(function, **options), partial(convolve, **options, plain=True), arrays)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_convolution_has_the_derivatives_of_its_plain_twin(name: str) -> None:
    assert_twin_of_the_plain_convolution(convolve, name)


@pytest.mark.parametrize("name", [name for name in GEOMETRIES if name.startswith("groups")])
def test_what_a_gpu_makes_of_groups_has_the_derivatives_of_its_plain_twin(name: str) -> None:
    assert_twin_of_the_plain_convolution(in_wide_groups, name)


@pytest.mark.parametrize("size", [(1, 1), (4, 7)])
@pytest.mark.parametrize("function", [convolve_transposed, transposed_conv, transposed_conv_by_phases])
def test_a_transposed_convolution_has_the_derivatives_of_its_plain_twin(
    function: Callable[..., jax.Array], size: tuple[int, int]
) -> None:
    arrays = twins.drawn((2, *size, 3), (4, 4, 5, 3))
    twins.assert_twins(function, partial(convolve_transposed, plain=True), arrays)


@pytest.mark.parametrize("size", [(1, 1), (4, 7), (9, 8)])
@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
def test_the_plain_convolution_is_that_of_pytorch(kernel_size: int, size: tuple[int, int]) -> None:
    for stride, dilation in ((1, 1), (2, 1), (1, 2)):
        options = {"stride": stride, "dilation": dilation}
        padding = dilation * (kernel_size // 2)
        assert_same_with_gradients(
            partial(convolve, **options, plain=True),
            partial(functional.conv2d, **options, padding=padding),
            (kernel_size, kernel_size, 3, 5),
            size,
            gradient_tolerance=1e-3,
        )
