"""Average pooling as products with matrices, against PyTorch's."""

import jax
import numpy as np
import pytest

from dms_jax.comparison.deep.average import adaptive_average_pool, average_pool

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

every_size = pytest.mark.parametrize("size", [(1, 1), (2, 7), (9, 8), (19, 19)])


def drawn(size: tuple[int, int]) -> tuple[jax.Array, "torch.Tensor"]:
    x = jax.random.normal(jax.random.key(0), (2, *size, 3))
    return x, torch.from_numpy(np.array(x).transpose(0, 3, 1, 2).copy())


@every_size
@pytest.mark.parametrize("window", [2, 4, 8])
def test_windows(size: tuple[int, int], window: int) -> None:
    x, theirs = drawn(size)
    expected = torch.nn.functional.avg_pool2d(theirs, window, ceil_mode=True, count_include_pad=False)
    np.testing.assert_allclose(average_pool(x, window), expected.permute(0, 2, 3, 1), rtol=1e-5, atol=1e-6)


@every_size
@pytest.mark.parametrize("count", [1, 3, 5])
def test_grids(size: tuple[int, int], count: int) -> None:
    x, theirs = drawn(size)
    expected = torch.nn.functional.adaptive_avg_pool2d(theirs, count)
    np.testing.assert_allclose(adaptive_average_pool(x, count), expected.permute(0, 2, 3, 1), rtol=1e-5, atol=1e-6)
