"""Kernels in a program of two devices, which share a batch: the gradient of a parameter is the sum over both."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import pytest
import twins

from dms_jax.ops.convolution import convolve, convolve_transposed
from dms_jax.ops.pooling import max_pool
from dms_jax.ops.resize import resize_aligned
from dms_jax.ops.sharding import as_varying, varying_axes
from dms_jax.runtime.devices import DATA_AXIS

IMAGES = (4, 6, 5)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (convolve, [(*IMAGES, 4), (3, 3, 4, 5)]),
        (partial(convolve, groups=2), [(*IMAGES, 4), (3, 3, 2, 6)]),
        (partial(convolve, groups=2), [(*IMAGES, 16), (3, 3, 8, 16)]),
        (partial(convolve, stride=2), [(*IMAGES, 3), (7, 7, 3, 4)]),
        (convolve_transposed, [(*IMAGES, 3), (4, 4, 5, 3)]),
        (max_pool, [(*IMAGES, 3)]),
        (partial(resize_aligned, size=(11, 9)), [(*IMAGES, 3)]),
    ],
    ids=["conv", "groups of 2", "groups of 8", "stem", "transposed", "max-pool", "resize"],
)
def test_two_devices_have_the_derivatives_of_one(
    function: Callable[..., jax.Array], shapes: list[tuple[int, ...]], plain: bool
) -> None:
    parameters = [False] * (len(shapes) - 1)
    two = twins.on_two_devices(partial(function, plain=plain), [True, *parameters])
    twins.assert_twins(two, partial(function, plain=True), twins.drawn(*shapes))


def test_a_parameter_varies_where_the_array_does() -> None:
    seen = {}

    def function(x: jax.Array, parameter: jax.Array) -> jax.Array:
        marked = as_varying(parameter, x)
        seen["parameter"], seen["marked"] = varying_axes(parameter), varying_axes(marked)
        seen["again"] = as_varying(marked, x) is marked
        seen["other"] = as_varying(parameter, parameter) is parameter
        return x * marked

    twins.on_two_devices(function, [True, False])(jnp.ones(4), jnp.float32(2))
    assert seen == {"parameter": frozenset(), "marked": {DATA_AXIS}, "again": True, "other": True}
    assert as_varying(None, jnp.ones(4)) is None
    assert varying_axes(jnp.ones(4)) == frozenset()
