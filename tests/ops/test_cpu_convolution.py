"""Convolutions as matrix products, against PyTorch's convolutions."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import twins

from dms_jax.ops import cpu_convolution
from dms_jax.ops.convolution import convolve, in_wide_groups, product_of_windows
from dms_jax.ops.cpu_convolution import grouped_kernel_gradient, pointwise, widened, winograd

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def close(result: jax.Array, expected: np.ndarray, tolerance: float) -> None:
    np.testing.assert_allclose(result, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def by_torch(
    x: np.ndarray, kernel: np.ndarray, stride: int = 1, dilation: int = 1, groups: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The convolution, a cotangent, and its gradients by x and by the kernel, in float64."""
    image = torch.from_numpy(np.array(x, np.float64).transpose(0, 3, 1, 2).copy()).requires_grad_()
    weight = torch.from_numpy(np.array(kernel, np.float64).transpose(3, 2, 0, 1).copy()).requires_grad_()
    padding = dilation * (kernel.shape[0] // 2)
    y = torch.nn.functional.conv2d(image, weight, None, stride, padding, dilation, groups)
    g = torch.randn(y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    y.backward(g)
    pixels, taps = (0, 2, 3, 1), (2, 3, 1, 0)
    arrays = (y.detach(), pixels), (g, pixels), (image.grad, pixels), (weight.grad, taps)
    return tuple(a.numpy().transpose(order) for a, order in arrays)


def assert_as_pytorch(
    function: Callable[..., jax.Array], x: np.ndarray, kernel: np.ndarray, tolerance: float, **options: int
) -> None:
    """Compare a function of an image and a kernel, and its gradients, with the convolution of these options."""
    y, g, dx, dk = by_torch(x, kernel, **options)
    result, gradients = twins.with_gradients(function, g.astype(np.float32), x, kernel)
    close(result, y, tolerance)
    for gradient, expected in zip(gradients, (dx, dk), strict=True):
        close(gradient, expected, tolerance)


# Kernel size, input and output channels, stride, dilation, groups; what they have in common with a network's layers.
GEOMETRIES = {
    "pointwise": (1, 24, 40, 1, 1, 1),
    "pointwise, strided": (1, 24, 40, 2, 1, 1),
    "winograd": (3, 64, 96, 1, 1, 1),
    "few channels": (3, 8, 12, 1, 1, 1),
    "dilated": (3, 64, 64, 1, 2, 1),
    "groups of 2, dilated": (3, 8, 8, 1, 2, 4),
    "groups of 16, dilated": (3, 64, 64, 1, 2, 4),
    "all groups merged": (3, 128, 128, 1, 1, 32),
    "groups merged": (3, 256, 256, 2, 1, 64),
    "groups of 8": (3, 64, 128, 1, 1, 8),
    "groups of 8, strided": (3, 64, 64, 2, 1, 8),
    "groups of 16": (5, 64, 64, 1, 1, 4),
    "groups of 16, pointwise": (1, 64, 64, 1, 1, 4),
}


@pytest.mark.parametrize("size", [(33, 32), (8, 9)])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_convolution_and_its_gradients_are_those_of_pytorch(name: str, size: tuple[int, int]) -> None:
    k, channels, features, stride, dilation, groups = GEOMETRIES[name]
    x, kernel = twins.drawn_single((2, *size, channels), (k, k, channels // groups, features))
    options = {"stride": stride, "dilation": dilation, "groups": groups}
    assert_as_pytorch(partial(convolve, **options), x, kernel, 3e-6, **options)


def test_each_geometry_is_computed_in_the_formulation_meant_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    for name in ("pointwise", "winograd", "widened", "grouped_kernel_gradient"):
        function = getattr(cpu_convolution, name)
        monkeypatch.setattr(
            cpu_convolution,
            name,
            lambda *args, function=function, name=name, **options: called.append(name) or function(*args, **options),
        )
    jax.clear_caches()
    chosen = {}
    for name, (k, channels, features, stride, dilation, groups) in GEOMETRIES.items():
        called.clear()
        x, kernel = twins.drawn_single((2, 33, 32, channels), (k, k, channels // groups, features))
        convolution = partial(convolve, stride=stride, dilation=dilation, groups=groups)
        jax.eval_shape(lambda x, kernel, f=convolution: jax.vjp(f, x, kernel)[1](f(x, kernel)), x, kernel)
        chosen[name] = set(called)
    assert chosen == {
        "pointwise": {"pointwise"},
        "pointwise, strided": {"pointwise"},
        "winograd": {"winograd"},
        "few channels": set(),
        "dilated": set(),
        "groups of 2, dilated": {"widened"},
        "groups of 16, dilated": set(),
        "all groups merged": {"widened", "winograd"},
        "groups merged": {"widened", "grouped_kernel_gradient"},
        "groups of 8": {"grouped_kernel_gradient"},
        "groups of 8, strided": {"grouped_kernel_gradient"},
        "groups of 16": {"grouped_kernel_gradient"},
        "groups of 16, pointwise": {"grouped_kernel_gradient"},
    }


def test_small_maps_are_not_given_to_winograd() -> None:
    def products(size: int) -> int:
        x, kernel = twins.drawn_single((1, size, size, 64), (3, 3, 64, 64))
        lowered = jax.jit(convolve).trace(x, kernel).lower(lowering_platforms=("cpu",))
        return lowered.as_text().count("stablehlo.dot_general")

    assert [products(31), products(32)] == [0, 16]


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (2, 3), (5, 8)])
def test_winograd_is_right_for_any_size(size: tuple[int, int]) -> None:
    x, kernel = twins.drawn_single((2, *size, 3), (3, 3, 3, 5))
    assert_as_pytorch(winograd, x, kernel, 1e-6)


def test_winograd_rounds_about_as_much_as_the_plain_sum() -> None:
    x, kernel = twins.drawn_single((1, 20, 20, 256), (3, 3, 256, 64))
    expected = by_torch(x, kernel)[0]
    error = np.abs(np.asarray(jax.jit(winograd)(x, kernel), np.float64) - expected)
    plain = np.abs(np.asarray(cpu_convolution.direct(x, kernel, 1, 1, 1), np.float64) - expected)
    assert np.sqrt((error**2).mean()) < 4 * np.sqrt((plain**2).mean())


def test_bfloat16_is_not_given_to_winograd() -> None:
    x, kernel = (a.astype(jnp.bfloat16) for a in twins.drawn_single((2, 33, 32, 64), (3, 3, 64, 64)))
    expected = cpu_convolution.direct(x, kernel, 1, 1, 1)
    np.testing.assert_array_equal(convolve(x, kernel).astype(np.float32), expected.astype(np.float32))


@pytest.mark.parametrize("merged", [1, 2, 3, 6])
def test_a_widened_kernel_is_the_same_convolution(merged: int) -> None:
    x, kernel = twins.drawn_single((1, 5, 4, 12), (3, 3, 2, 18))
    expected = by_torch(x, kernel, groups=6)[0]
    convolution = jax.jit(lambda x, kernel: cpu_convolution.direct(x, widened(kernel, 6, merged), 1, 1, merged))
    close(convolution(x, kernel), expected, 1e-6)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(7, 6), (1, 1)])
def test_the_gradient_of_a_grouped_kernel_is_that_of_pytorch(size: tuple[int, int], stride: int) -> None:
    x, kernel = twins.drawn_single((2, *size, 12), (3, 3, 3, 8))
    _, g, _, expected = by_torch(x, kernel, stride, groups=4)
    gradient = jax.jit(lambda x, g: grouped_kernel_gradient(x, g, 3, stride, 4))
    close(gradient(x, g.astype(np.float32)), expected, 1e-6)


def test_a_gpu_computes_groups_of_few_channels_in_wider_ones() -> None:
    for groups, wide in ((32, 4), (16, 16), (1, 1)):
        x, kernel = twins.drawn_single((2, 9, 8, 128), (3, 3, 128 // groups, 128))
        assert_as_pytorch(lambda *a, n=groups: in_wide_groups(*a, 1, 1, n), x, kernel, 3e-6, groups=groups)
        lowered = jax.jit(partial(convolve, groups=groups)).trace(x, kernel).lower(lowering_platforms=("cuda",))
        assert f"feature_group_count = {wide} " in lowered.as_text()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (9, 8)])
@pytest.mark.parametrize("kernel_size", [3, 7])
def test_the_product_of_windows_is_the_convolution_of_pytorch(kernel_size: int, size: tuple[int, int]) -> None:
    x, kernel = twins.drawn_single((2, *size, 5), (kernel_size, kernel_size, 5, 7))
    assert_as_pytorch(product_of_windows, x, kernel, 1e-6)


def test_a_wide_layer_on_a_small_map_is_a_product_everywhere() -> None:
    def gradients(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, ...]:
        result, pull_back = jax.vjp(convolve, x, kernel)
        return result, *pull_back(result)

    def convolutions(size: int, features: int, platform: str) -> int:
        x, kernel = twins.drawn_single((2, size, size, 4), (7, 7, 4, features))
        lowered = jax.jit(gradients).trace(x, kernel).lower(lowering_platforms=(platform,))
        return lowered.as_text().count("stablehlo.convolution")

    for platform in ("cpu", "cuda"):
        assert [convolutions(2, features, platform) for features in (63, 64)] == [3, 0]


def test_no_images_are_no_error() -> None:
    for k, groups in ((1, 1), (3, 1), (3, 8)):
        x, kernel = twins.drawn_single((0, 8, 9, 64), (k, k, 64 // groups, 64))
        result, gradients = twins.with_gradients(partial(convolve, groups=groups), x, x, kernel)
        assert result.shape == x.shape
        assert not np.any(gradients[1])


def test_a_pointwise_convolution_is_one_product() -> None:
    x, kernel = twins.drawn_single((2, 5, 4, 3), (1, 1, 3, 7))
    compiled = jax.jit(partial(pointwise, stride=2)).lower(x, kernel).as_text()
    assert compiled.count("dot_general") == 1
    assert "convolution" not in compiled


def test_products_are_for_the_cpu_alone_and_one_exported_program_serves_both() -> None:
    x, kernel = twins.drawn_single((2, 33, 32, 64), (3, 3, 64, 64))

    def gradients(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.vjp(convolve, x, kernel)[1](x)

    lowered = {p: jax.jit(gradients).trace(x, kernel).lower(lowering_platforms=(p,)).as_text() for p in ("cpu", "cuda")}
    assert [lowered["cpu"].count("stablehlo." + name) for name in ("convolution", "dot_general")] == [0, 32]
    assert [lowered["cuda"].count("stablehlo." + name) for name in ("convolution", "dot_general")] == [2, 0]
    exported = jax.export.export(jax.jit(gradients), platforms=("cpu", "cuda"))(x, kernel)
    for result, expected in zip(exported.call(x, kernel), jax.jit(gradients)(x, kernel), strict=True):
        np.testing.assert_array_equal(result, expected)
