"""Two compilations of one function: the second stands in where the first does not work."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dms_jax.training import compilation
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


class Late:
    """A result whose error shows when it is waited for."""

    def block_until_ready(self) -> None:
        raise jax.errors.JaxRuntimeError("INTERNAL: cudnn")


def scaled(factor: float, x: jax.Array) -> jax.Array:
    return factor * x


def test_the_first_is_used_while_it_works() -> None:
    first, second = Counted(jax.jit(scaled)), Counted(jax.jit(scaled))
    function = WithFallback(first, second)
    assert [float(function(2.0, jnp.float32(x))) for x in range(5)] == [0, 2, 4, 6, 8]
    assert (first.calls, second.calls) == (5, 0)


@pytest.mark.parametrize("array", [np.ones, jnp.ones])
def test_the_second_is_used_for_the_shapes_that_the_first_has_failed_on(
    array: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    working, second = Counted(jax.jit(scaled)), Counted(jax.jit(scaled))

    def first(factor: float, x: jax.Array) -> jax.Array:
        return working(factor, x) if len(x) < 3 else Late()

    function = WithFallback(first, second)
    for size in (2, 3, 2, 3):
        assert function(2.0, array(size)).tolist() == [2.0] * size
    assert (working.calls, second.calls) == (2, 2)
    assert [record.getMessage() for record in caplog.records] == [
        "A program is run without CUDA graphs of its convolutions: INTERNAL: cudnn"
    ]


def test_a_program_that_fails_when_it_is_recorded_is_replaced_too() -> None:
    first, second = Counted(jax.jit(scaled), fails_at=2), Counted(jax.jit(scaled))
    function = WithFallback(first, second)
    assert [float(function(2.0, jnp.float32(x))) for x in range(4)] == [0, 2, 4, 6]
    assert (first.calls, second.calls) == (2, 3)


def test_want_of_memory_is_the_callers() -> None:
    def first(factor: float, x: jax.Array) -> jax.Array:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    with pytest.raises(jax.errors.JaxRuntimeError, match="Out of memory"):
        WithFallback(first, jax.jit(scaled))(2.0, jnp.ones(2))


def test_an_option_that_the_compiler_does_not_know_is_a_failure_too() -> None:
    first = jax.jit(scaled, compiler_options={"xla_gpu_of_tomorrow": True})
    function = WithFallback(first, jax.jit(scaled))
    assert float(function(2.0, jnp.float32(3))) == 6
    assert float(function.lower(2.0, jnp.float32(3)).compile()(2.0, jnp.float32(3))) == 6


def test_the_compiler_knows_what_is_asked_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "is_gpu", lambda mesh: True)
    chosen = jit_for_latency(scaled, data_mesh(jax.devices("cpu")[:1]))
    assert isinstance(chosen, WithFallback)
    # Options and their values are checked on every platform.
    assert float(chosen.lower(2.0, jnp.float32(3)).compile()(2.0, jnp.float32(3))) == 6


def test_a_cpu_compiles_once_and_with_the_defaults() -> None:
    mesh = data_mesh(jax.devices("cpu")[:1])
    assert not is_gpu(mesh)
    assert compiler_options(mesh) is None
    assert not isinstance(jit_for_latency(scaled, mesh), WithFallback)
