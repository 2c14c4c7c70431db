"""Layers against PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dms_jax.models.layers import ConvBlock, TransposedConvBlock, max_pool
from dms_jax.models.resize import aligned_corner_weights, resize_aligned
from dms_jax.models.resnext import ResNeXt

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


def nchw(x: jax.Array) -> "torch.Tensor":
    return torch.from_numpy(np.array(x).transpose(0, 3, 1, 2).copy())


def nhwc(x: "torch.Tensor") -> np.ndarray:
    return x.detach().numpy().transpose(0, 2, 3, 1)


@pytest.mark.parametrize("source", [(1, 1), (1, 4), (5, 7), (10, 10), (38, 19)])
@pytest.mark.parametrize("size", [(1, 1), (4, 1), (9, 13), (75, 75)])
def test_resize_is_bilinear_with_aligned_corners(source: tuple[int, int], size: tuple[int, int]) -> None:
    x = jax.random.normal(jax.random.key(0), (2, *source, 3))
    expected = torch.nn.functional.interpolate(nchw(x), size=size, mode="bilinear", align_corners=True)
    np.testing.assert_allclose(resize_aligned(x, size), nhwc(expected), atol=1e-5)


def test_resize_to_the_same_size_is_the_same_array() -> None:
    x = jnp.ones((1, 4, 5, 1))
    assert resize_aligned(x, (4, 5)) is x


def test_interpolation_weights_of_each_pixel_sum_to_one() -> None:
    for in_size, out_size in ((1, 9), (9, 1), (19, 38), (38, 75), (75, 300)):
        np.testing.assert_allclose(aligned_corner_weights(in_size, out_size).sum(axis=1), 1.0, rtol=1e-6)


@pytest.mark.parametrize("size", [(5, 6), (9, 11), (10, 12), None])
def test_transposed_block_is_that_of_pytorch_then_cropped(size: tuple[int, int] | None) -> None:
    x = jax.random.normal(jax.random.key(0), (2, 5, 6, 3))
    block = TransposedConvBlock(4)
    variables = block.init(jax.random.key(1), x, size, train=False)
    reference = torch.nn.ConvTranspose2d(3, 4, 4, 2, 1, bias=False)
    kernel = np.array(variables["params"]["conv"]["kernel"])
    reference.weight.data = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
    expected = torch.nn.functional.prelu(reference(nchw(x)) / np.sqrt(1 + 1e-5), torch.tensor(0.25))
    height, width = size or (10, 12)
    result = block.apply(variables, x, size, train=False)
    np.testing.assert_allclose(result, nhwc(expected[..., :height, :width]), atol=1e-5)


def test_transposed_block_reaches_sizes_beyond_twice() -> None:
    x = jax.random.normal(jax.random.key(0), (1, 5, 6, 3))
    result, _ = TransposedConvBlock(4).init_with_output(jax.random.key(1), x, (20, 23), train=False)
    assert result.shape == (1, 20, 23, 4)


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (3, 2), (3, 6)])
def test_training_updates_of_batch_norm_follow_pytorch(kernel: int, dilation: int) -> None:
    x = 3 + 2 * jax.random.normal(jax.random.key(0), (4, 14, 15, 3))
    block = ConvBlock(5, kernel, dilation=dilation)
    variables = block.init(jax.random.key(1), x, train=False)
    assert float(variables["params"]["prelu"]["negative_slope"]) == 0.25
    reference = torch.nn.Sequential(
        torch.nn.Conv2d(3, 5, kernel, padding=dilation * (kernel // 2), dilation=dilation, bias=False),
        torch.nn.BatchNorm2d(5),
        torch.nn.PReLU(),
    )
    weights = np.array(variables["params"]["conv"]["kernel"])
    reference[0].weight.data = torch.from_numpy(weights.transpose(3, 2, 0, 1).copy())
    expected = reference.train()(nchw(x))
    result, updates = block.apply(variables, x, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(result, nhwc(expected), atol=1e-4)
    statistics = updates["batch_stats"]["norm"]
    np.testing.assert_allclose(statistics["mean"], reference[1].running_mean, atol=1e-5)
    # PyTorch keeps the unbiased variance, n / (n - 1) larger.
    n = 4 * 14 * 15
    moved = (np.asarray(reference[1].running_var) - 0.9) * (n - 1) / n + 0.9
    np.testing.assert_allclose(statistics["var"], moved, rtol=1e-4)


def test_initial_scale_of_the_backbone_is_he_normal_by_fan_out() -> None:
    variables = ResNeXt(stage_sizes=(1, 1, 1, 1)).init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False)
    kernel = variables["params"]["stage3_block1"]["conv2"]["kernel"]
    assert kernel.shape == (3, 3, 16, 512)
    np.testing.assert_allclose(jnp.std(kernel), np.sqrt(2 / (512 * 9)), rtol=0.02)
    assert abs(float(jnp.mean(kernel))) < 1e-3


@pytest.mark.parametrize("size", [(1, 1), (4, 7), (9, 8), (48, 47)])
def test_max_pool_is_that_of_pytorch(size: tuple[int, int]) -> None:
    x = jax.random.normal(jax.random.key(0), (2, *size, 3)) - 5
    reference = nchw(x).requires_grad_()
    expected = torch.nn.functional.max_pool2d(reference, 3, 2, 1)
    seed = jax.random.normal(jax.random.key(1), nhwc(expected).shape)
    expected.backward(nchw(seed))
    result, pull_back = jax.vjp(max_pool, x)
    np.testing.assert_array_equal(result, nhwc(expected))
    np.testing.assert_allclose(*pull_back(seed), nhwc(reference.grad), atol=1e-6)


def test_equal_pixels_share_the_gradient_of_a_max_pool() -> None:
    (gradient,) = jax.vjp(max_pool, jnp.ones((1, 3, 3, 1)))[1](jnp.ones((1, 2, 2, 1)))
    assert float(gradient.sum()) == pytest.approx(4)
    assert float(gradient[0, 1, 1, 0]) == pytest.approx(1)  # in all four windows, each of four pixels
    assert float(gradient[0, 0, 0, 0]) == pytest.approx(0.25)
