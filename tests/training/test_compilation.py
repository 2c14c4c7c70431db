"""Two compilations of one function: the second stands in where the first does not work."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dms_jax.errors import UserError
from dms_jax.training import compilation
from dms_jax.training.compilation import WithFallback, compile_ahead, compiler_options, is_gpu, jit_step, program
from dms_jax.training.step import data_mesh


class Counted:
    """A function that notes how often it is called, and fails from a certain call on, for ever or a number of times."""

    def __init__(self, function: Callable[..., Any], fails_at: int = 100, times: int = 100) -> None:
        self.function, self.fails_at, self.works_again, self.calls = function, fails_at, fails_at + times, 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        if self.fails_at <= self.calls < self.works_again:
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
    for size in (2, 3, 2, 3, 2, 3):
        assert function(2.0, array(size)).tolist() == [2.0] * size
    assert (working.calls, second.calls) == (3, 3)
    assert [record.getMessage() for record in caplog.records] == [
        "A program is run without CUDA graphs of its convolutions: INTERNAL: cudnn"
    ]


def test_a_program_that_fails_when_it_is_recorded_is_replaced_too() -> None:
    first, second = Counted(jax.jit(scaled), fails_at=2), Counted(jax.jit(scaled))
    function = WithFallback(first, second)
    assert [float(function(2.0, jnp.float32(x))) for x in range(4)] == [0, 2, 4, 6]
    assert (first.calls, second.calls) == (3, 3)


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_the_first_is_tried_once_more_after_the_second_has_run(fails_at: int, caplog: pytest.LogCaptureFixture) -> None:
    first, second = Counted(jax.jit(scaled), fails_at, times=1), Counted(jax.jit(scaled))
    function = WithFallback(first, second)
    assert [float(function(2.0, jnp.float32(x))) for x in range(6)] == [0, 2, 4, 6, 8, 10]
    assert (first.calls, second.calls) == (6, 1)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_want_of_memory_is_the_callers() -> None:
    def first(factor: float, x: jax.Array) -> jax.Array:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    with pytest.raises(jax.errors.JaxRuntimeError, match="Out of memory"):
        WithFallback(first, jax.jit(scaled))(2.0, jnp.ones(2))


@pytest.mark.parametrize("ahead", [False, True])
def test_what_must_be_done_before_is_done_before(ahead: bool) -> None:
    order: list[str] = []

    def traced(total: dict[str, jax.Array], x: jax.Array) -> dict[str, jax.Array]:
        jax.debug.callback(lambda: order.append("first"))
        return added(total, x)

    function = WithFallback(jax.jit(traced), jax.jit(added), prepare=lambda: order.append("prepared"))
    total = {"a": jnp.zeros(2)}
    function = compile_ahead(function, total, jnp.ones(2)) if ahead else function
    for _ in range(5):
        total = function(total, jnp.ones(2))
    jax.effects_barrier()
    assert order[0] == "prepared"
    assert order.count("first") == 5
    # Not at every call: it would cost time.
    assert order[-2:] == ["first", "first"]


@pytest.mark.parametrize("fails", [False, True])
def test_convolutions_are_loaded_on_every_device_before_anything_is_recorded(
    fails: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loaded: list[Any] = []

    def load(device: jax.Device, options: dict[str, str]) -> None:
        loaded.append((device, options))
        if fails:
            raise jax.errors.JaxRuntimeError("INTERNAL: no convolution")

    monkeypatch.setattr(compilation, "is_gpu", lambda mesh: True)
    monkeypatch.setattr(compilation, "load_convolutions", load)
    compilation._load_convolutions.cache_clear()
    devices = jax.devices("cpu")[:2]
    function = jit_step(added, data_mesh(devices))
    assert loaded == []
    for _ in range(2):
        # Once in a process is enough, and a run goes on where it cannot be done.
        assert function({"a": jnp.zeros(2)}, jnp.ones(2))["a"].tolist() == [1, 1]
    assert [device for device, _ in loaded] == devices
    assert all(options == compilation._LOADING_OPTIONS for _, options in loaded)
    assert len(caplog.records) == (2 if fails else 0)
    compilation._load_convolutions.cache_clear()


def test_an_option_that_the_compiler_does_not_know_is_a_failure_too() -> None:
    first = jax.jit(scaled, compiler_options={"xla_gpu_of_tomorrow": True})
    function = WithFallback(first, jax.jit(scaled))
    assert float(function(2.0, jnp.float32(3))) == 6
    assert float(program(function, 2.0, jnp.float32(3))(2.0, jnp.float32(3))) == 6


def added(total: dict[str, jax.Array], x: jax.Array) -> dict[str, jax.Array]:
    return {name: value + x for name, value in total.items()}


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_what_the_first_was_given_to_keep_is_still_there_for_the_second(fails_at: int) -> None:
    first, second = (jax.jit(added, donate_argnums=0) for _ in range(2))
    function = WithFallback(Consuming(first, fails_at), second, donates=True)
    total = {"a": jnp.zeros(2), "b": jnp.ones(2)}
    for _ in range(5):
        total = function(total, jnp.ones(2))
    assert {name: value.tolist() for name, value in total.items()} == {"a": [5, 5], "b": [6, 6]}


def test_what_is_donated_is_gone_after_every_call() -> None:
    jitted = jax.jit(added, donate_argnums=0)
    function = WithFallback(jitted, jitted, donates=True)
    for _ in range(5):
        total = {"a": jnp.zeros(2)}
        function(total, jnp.ones(2))
        assert total["a"].is_deleted()


def test_where_there_is_no_memory_for_a_copy_there_may_be_for_the_program() -> None:
    def first(total: dict[str, jax.Array], x: jax.Array) -> Any:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    function = WithFallback(first, jax.jit(added, donate_argnums=0), donates=True)
    assert function({"a": jnp.zeros(2)}, jnp.ones(2))["a"].tolist() == [1, 1]


class Consuming(Counted):
    """Fails after it has used up what was donated to it."""

    def __call__(self, total: dict[str, jax.Array], x: jax.Array) -> Any:
        if self.calls + 1 >= self.fails_at:
            jax.tree.map(lambda value: value.delete(), total)
        return super().__call__(total, x)


def test_compiled_ahead_it_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = data_mesh(jax.devices("cpu")[:1])
    abstract = jax.ShapeDtypeStruct((3,), jnp.float32)
    for gpu in (False, True):
        monkeypatch.setattr(compilation, "is_gpu", lambda mesh, gpu=gpu: gpu)
        ahead = compile_ahead(jit_step(added, mesh, donates=True), {"a": abstract}, abstract)
        total = {"a": jnp.zeros(3)}
        for _ in range(5):
            total = ahead(total, jnp.ones(3))
        assert total["a"].tolist() == [5, 5, 5]
        assert program(ahead, total, jnp.ones(3)) is program(ahead, total, jnp.ones(3))


def test_where_the_copy_cannot_be_compiled_the_second_way_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise jax.errors.JaxRuntimeError("INTERNAL: no copy")

    fails.lower = fails
    monkeypatch.setattr(compilation, "_copy", fails)
    abstract = jax.ShapeDtypeStruct((3,), jnp.float32)
    ahead = compile_ahead(
        WithFallback(jax.jit(added), jax.jit(added, donate_argnums=0), donates=True), {"a": abstract}, abstract
    )
    assert ahead({"a": jnp.zeros(3)}, jnp.ones(3))["a"].tolist() == [1, 1, 1]


def test_what_does_not_compile_ahead_falls_back() -> None:
    first = jax.jit(added, compiler_options={"xla_gpu_of_tomorrow": True})
    abstract = jax.ShapeDtypeStruct((3,), jnp.float32)
    ahead = compile_ahead(WithFallback(first, jax.jit(added)), {"a": abstract}, abstract)
    assert ahead({"a": jnp.zeros(3)}, jnp.ones(3))["a"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("donates", [True, False])
@pytest.mark.parametrize("deterministic", [True, False])
def test_the_compiler_knows_what_is_asked_of_a_gpu(
    donates: bool, deterministic: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Options and their values are checked on every platform."""
    monkeypatch.setattr(compilation, "is_gpu", lambda mesh: True)
    chosen = jit_step(added, data_mesh(jax.devices("cpu")[:1]), donates=donates, deterministic=deterministic)
    assert isinstance(chosen, WithFallback)
    total = {"a": jnp.zeros(2)}
    assert program(chosen, total, jnp.ones(2))(total, jnp.ones(2))["a"].tolist() == [1, 1]
    assert not caplog.records
    assert all(compilation._is_known(name, value) for name, value in compilation._LOADING_OPTIONS.items())


def test_options_that_the_compiler_does_not_know_are_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compilation, "is_gpu", lambda mesh: True)
    monkeypatch.setitem(compilation._GPU_OPTIONS, "xla_gpu_of_tomorrow", True)
    options = compiler_options(data_mesh(jax.devices("cpu")[:1]))
    assert options == {"xla_allow_excess_precision": False, "xla_gpu_enable_latency_hiding_scheduler": False}
    assert [record.getMessage().split(" here:")[0] for record in caplog.records] == [
        "XLA has no option xla_gpu_of_tomorrow"
    ]


def test_determinism_is_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "is_gpu", lambda mesh: True)
    monkeypatch.setitem(compilation._DETERMINISTIC_OPTIONS, "xla_gpu_determinism_of_tomorrow", True)
    with pytest.raises(UserError, match=r"^config\.deterministic: this version of XLA cannot promise it: use another"):
        compiler_options(data_mesh(jax.devices("cpu")[:1]), deterministic=True)


def test_several_gpus_hide_their_communication(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "is_gpu", lambda mesh: True)
    assert compiler_options(data_mesh(jax.devices("cpu")[:2])) == {"xla_allow_excess_precision": False}


def test_a_cpu_compiles_once_and_with_the_defaults() -> None:
    mesh = data_mesh(jax.devices("cpu")[:1])
    assert not is_gpu(mesh)
    assert compiler_options(mesh) is None
    assert not isinstance(jit_step(scaled, mesh), WithFallback)
