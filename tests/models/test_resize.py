"""Both ways to resize with aligned corners, and their gradient, against PyTorch's."""

import jax
import numpy as np
import pytest

from dms_jax.models.resize import aligned_corner_weights, by_lookup, by_products, resize_aligned

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

SIZES = [((1, 1), (4, 3)), ((5, 7), (9, 7)), ((10, 10), (19, 19)), ((3, 4), (75, 9)), ((38, 19), (1, 4))]


@pytest.mark.parametrize("way", [by_lookup, by_products])
@pytest.mark.parametrize(("source", "size"), SIZES)
def test_each_way_and_its_transpose_are_those_of_pytorch(
    way: object, source: tuple[int, int], size: tuple[int, int]
) -> None:
    x = jax.random.normal(jax.random.key(0), (2, *source, 3))
    g = jax.random.normal(jax.random.key(1), (2, *size, 3))
    image = torch.from_numpy(np.array(x).transpose(0, 3, 1, 2).copy()).requires_grad_()
    expected = torch.nn.functional.interpolate(image, size=size, mode="bilinear", align_corners=True)
    expected.backward(torch.from_numpy(np.array(g).transpose(0, 3, 1, 2).copy()))
    weights = [aligned_corner_weights(*sizes) for sizes in zip(source, size, strict=True)]
    np.testing.assert_allclose(way(x, weights), expected.detach().numpy().transpose(0, 2, 3, 1), atol=1e-5)
    gradient = image.grad.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(way(g, [w.T for w in weights]), gradient, atol=1e-4)
    (ours,) = jax.vjp(lambda x: resize_aligned(x, size), x)[1](g)
    np.testing.assert_allclose(ours, gradient, atol=1e-4)
