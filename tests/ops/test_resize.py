"""Both ways to resize with aligned corners, and their derivatives, against the plain twin and PyTorch's."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import twins

from dms_jax.ops import resize
from dms_jax.ops.resize import aligned_corner_weights, by_lookup, by_products, resize_aligned

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

SIZES = [((1, 1), (4, 3)), ((5, 7), (9, 7)), ((10, 10), (19, 19)), ((3, 4), (75, 9)), ((38, 19), (1, 4))]


@pytest.mark.parametrize("way", [by_lookup, by_products])
@pytest.mark.parametrize(("source", "size"), SIZES)
def test_each_way_and_its_transpose_are_those_of_pytorch(
    way: object, source: tuple[int, int], size: tuple[int, int]
) -> None:
    x, g = twins.drawn_single((2, *source, 3), (2, *size, 3))
    image = torch.from_numpy(np.array(x).transpose(0, 3, 1, 2).copy()).requires_grad_()
    expected = torch.nn.functional.interpolate(image, size=size, mode="bilinear", align_corners=True)
    expected.backward(torch.from_numpy(np.array(g).transpose(0, 3, 1, 2).copy()))
    weights = [aligned_corner_weights(*sizes) for sizes in zip(source, size, strict=True)]
    resized = jax.jit(partial(way, weights=weights))(x)
    np.testing.assert_allclose(resized, expected.detach().numpy().transpose(0, 2, 3, 1), atol=1e-5)
    gradient = image.grad.numpy().transpose(0, 2, 3, 1)
    transposed = jax.jit(partial(way, weights=[w.T for w in weights]))(g)
    np.testing.assert_allclose(transposed, gradient, atol=1e-4)
    _, (ours,) = twins.with_gradients(partial(resize_aligned, size=size), g, x)
    np.testing.assert_allclose(ours, gradient, atol=1e-4)


@pytest.mark.parametrize(("source", "size"), SIZES)
def test_it_has_the_derivatives_of_its_plain_twin(source: tuple[int, int], size: tuple[int, int]) -> None:
    fast, plain = (partial(resize_aligned, size=size, plain=plain) for plain in (False, True))
    twins.assert_twins(fast, plain, twins.drawn((2, *source, 3)))


@pytest.mark.parametrize(("source", "size"), SIZES)
def test_what_a_gpu_makes_of_it_has_the_derivatives_of_its_plain_twin(
    source: tuple[int, int], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = []
    monkeypatch.setattr(resize, "by_platform", lambda *arrays, cpu, default: chosen.append(default) or default(*arrays))
    fast, plain = (partial(resize_aligned, size=size, plain=plain) for plain in (False, True))
    twins.assert_twins(fast, plain, twins.drawn((2, *source, 3)))
    assert by_lookup in {way.func for way in chosen}


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("source", [(1, 1), (1, 4), (5, 7), (10, 10), (38, 19)])
@pytest.mark.parametrize("size", [(1, 1), (4, 1), (9, 13), (75, 75)])
def test_resize_is_bilinear_with_aligned_corners(source: tuple[int, int], size: tuple[int, int], plain: bool) -> None:
    (x,) = twins.drawn_single((2, *source, 3))
    image = torch.from_numpy(np.array(x).transpose(0, 3, 1, 2).copy())
    expected = torch.nn.functional.interpolate(image, size=size, mode="bilinear", align_corners=True)
    result = jax.jit(partial(resize_aligned, size=size, plain=plain))(x)
    np.testing.assert_allclose(result, expected.numpy().transpose(0, 2, 3, 1), atol=1e-5)


def test_resize_to_the_same_size_is_the_same_array() -> None:
    x = jnp.ones((1, 4, 5, 1))
    assert resize_aligned(x, (4, 5)) is x
    assert resize_aligned(x, (4, 5), plain=True) is x


def test_interpolation_weights_of_each_pixel_sum_to_one() -> None:
    for in_size, out_size in ((1, 9), (9, 1), (19, 38), (38, 75), (75, 300)):
        np.testing.assert_allclose(aligned_corner_weights(in_size, out_size).sum(axis=1), 1.0, rtol=1e-6)
