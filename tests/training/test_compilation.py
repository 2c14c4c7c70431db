"""Two compilations of one function: the second stands in where the first does not work."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from dms_jax.training.compilation import WithFallback, compiler_options, is_gpu, jit_for_latency
from dms_jax.training.step import data_mesh


class Counted:
    """A function that notes how often it is called, and fails from a certain call on."""

    def __init__(self, function: Callable[..., Any], fails_at: int = 100) -> None:
        self.function, self.fails_at, self.calls = function, fails_at, 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        if self.calls >= self.fails_at:
            raise jax.errors.JaxRuntimeError("INTERNAL: cudnn")
        return self.function(*arguments)


def doubled(x: jax.Array) -> jax.Array:
    return 2 * x


def test_the_first_is_used_while_it_works() -> None:
    first, second = Counted(jax.jit(doubled)), Counted(jax.jit(doubled))
    function = WithFallback(first, second)
    assert [float(function(jnp.float32(x))) for x in (1, 2)] == [2, 4]
    assert (first.calls, second.calls) == (2, 0)


def test_the_second_is_used_for_good_once_a_first_run_has_failed() -> None:
    first, second = Counted(jax.jit(doubled), fails_at=2), Counted(jax.jit(doubled))
    function = WithFallback(first, second)
    shapes = [(2,), (3,), (2,)]
    assert [function(jnp.ones(shape)).tolist() for shape in shapes] == [[2.0] * shape[0] for shape in shapes]
    assert (first.calls, second.calls) == (2, 2)


def test_an_option_that_the_compiler_does_not_know_is_a_failure_too() -> None:
    first = jax.jit(doubled, compiler_options={"xla_gpu_of_tomorrow": True})
    function = WithFallback(first, jax.jit(doubled))
    assert float(function(jnp.float32(3))) == 6
    assert float(function.lower(jnp.float32(3)).compile()(jnp.float32(3))) == 6


def test_a_failure_of_a_proven_program_is_the_callers() -> None:
    function = WithFallback(Counted(jax.jit(doubled), fails_at=2), jax.jit(doubled))
    function(jnp.ones(2))
    with pytest.raises(jax.errors.JaxRuntimeError, match="cudnn"):
        function(jnp.ones(2))


def test_a_cpu_compiles_once_and_with_the_defaults() -> None:
    mesh = data_mesh(jax.devices("cpu")[:1])
    assert not is_gpu(mesh)
    assert compiler_options(mesh) is None
    assert not isinstance(jit_for_latency(doubled, mesh), WithFallback)
