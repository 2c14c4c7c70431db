"""Two compilations of one function: the fallback stands in where the primary does not work."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dms_jax.runtime import cuda_graphs
from dms_jax.runtime.compilation import is_known_option
from dms_jax.runtime.cuda_graphs import CALLS_UNTIL_PROVEN, WithFallback, compile_recorded, jit_prediction, program
from dms_jax.runtime.devices import data_mesh, replicate


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


def test_what_must_be_done_before_is_done_before() -> None:
    order: list[str] = []

    def traced(total: dict[str, jax.Array], x: jax.Array) -> dict[str, jax.Array]:
        jax.debug.callback(lambda: order.append("first"))
        return added(total, x)

    function = WithFallback(jax.jit(traced), jax.jit(added), prepare=lambda: order.append("prepared"))
    total = {"a": jnp.zeros(2)}
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

    monkeypatch.setattr(cuda_graphs, "load_convolutions", load)
    cuda_graphs._load_convolutions.cache_clear()
    devices = jax.devices("cpu")[:2]
    function = jit_prediction(added, data_mesh(devices), platform="gpu")
    assert loaded == []
    for _ in range(2):
        # Once in a process is enough, and a run continues where it cannot be done.
        assert function({"a": jnp.zeros(2)}, jnp.ones(2))["a"].tolist() == [1, 1]
    assert [device for device, _ in loaded] == devices
    assert all(options == cuda_graphs._LOADING_OPTIONS for _, options in loaded)
    assert len(caplog.records) == (2 if fails else 0)
    cuda_graphs._load_convolutions.cache_clear()


def test_an_option_that_the_compiler_does_not_know_is_a_failure_too() -> None:
    first = jax.jit(scaled, compiler_options={"xla_gpu_of_tomorrow": True})
    function = WithFallback(first, jax.jit(scaled))
    assert float(function(2.0, jnp.float32(3))) == 6
    assert float(program(function, 2.0, jnp.float32(3))(2.0, jnp.float32(3))) == 6


def added(total: dict[str, jax.Array], x: jax.Array) -> dict[str, jax.Array]:
    return {name: value + x for name, value in total.items()}


def test_a_cpu_compiles_once() -> None:
    assert not isinstance(jit_prediction(scaled, data_mesh(jax.devices("cpu")[:1])), WithFallback)


@pytest.mark.parametrize("deterministic", [True, False])
def test_the_compiler_knows_what_is_asked_of_a_gpu(deterministic: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Options and their values are checked on every platform."""
    mesh = data_mesh(jax.devices("cpu")[:1])
    chosen = jit_prediction(added, mesh, deterministic=deterministic, platform="gpu")
    assert isinstance(chosen, WithFallback)
    total = {"a": jnp.zeros(2)}
    assert program(chosen, total, jnp.ones(2))(total, jnp.ones(2))["a"].tolist() == [1, 1]
    assert not caplog.records
    assert all(is_known_option(name, value) for name, value in cuda_graphs._LOADING_OPTIONS.items())


def donating(**options: Any) -> Any:
    return jax.jit(added, donate_argnums=0, compiler_options=options or None)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The devices on which convolutions were loaded."""
    devices: list[Any] = []
    monkeypatch.setattr(cuda_graphs, "_load_convolutions", devices.extend)
    return devices


def test_a_recorded_program_is_proven_on_zeros_and_leaves_what_it_is_given(
    loaded: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mesh = data_mesh(jax.devices("cpu")[:2])
    total, x = replicate({"a": jnp.full(2, 3.0)}, mesh), replicate(jnp.ones(2), mesh)
    seen: list[Any] = []
    compile_once = jax.stages.Lowered.compile

    def compiled(lowered: jax.stages.Lowered, options: Any = None) -> Any:
        made = compile_once(lowered, options)

        def call(tree: Any, array: Any) -> Any:
            seen.append((options, tree["a"].tolist(), array.tolist(), tree["a"].sharding))
            return made(tree, array)

        return call

    monkeypatch.setattr(jax.stages.Lowered, "compile", compiled)
    function = compile_recorded(donating(), mesh, total, x, on_lowered=lambda: seen.append("lowered"), platform="gpu")
    assert seen == ["lowered", *[(cuda_graphs.GRAPHS, [0, 0], [0, 0], total["a"].sharding)] * CALLS_UNTIL_PROVEN]
    assert loaded == list(mesh.devices.flat)
    assert function(total, x)["a"].tolist() == [4, 4]
    assert not caplog.records


@pytest.mark.parametrize("fails", ["compiled", "run"])
def test_a_program_that_cannot_be_recorded_is_run_without_graphs(
    fails: str, loaded: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mesh = data_mesh(jax.devices("cpu")[:1])
    arguments = replicate(({"a": jnp.full(2, 3.0)}, jnp.ones(2)), mesh)
    if fails == "compiled":
        monkeypatch.setattr(cuda_graphs, "GRAPHS", {"xla_gpu_of_tomorrow": True})
    else:
        monkeypatch.setattr(cuda_graphs, "CALLS_UNTIL_PROVEN", 1)
        monkeypatch.setattr(jax, "block_until_ready", lambda _: Late().block_until_ready())
    function = compile_recorded(donating(), mesh, *arguments, platform="gpu")
    monkeypatch.undo()
    assert function(*arguments)["a"].tolist() == [4, 4]
    assert [record.getMessage()[:59] for record in caplog.records] == [
        "A program is run without CUDA graphs of its convolutions: I"
    ]


def test_the_recorded_program_keeps_the_functions_own_options(loaded: list[Any]) -> None:
    mesh = data_mesh(jax.devices("cpu")[:1])
    arguments = replicate(({"a": jnp.zeros(2)}, jnp.ones(2)), mesh)
    with pytest.raises(jax.errors.JaxRuntimeError, match="No such compile option"):
        compile_recorded(donating(xla_gpu_of_tomorrow=True), mesh, *arguments, platform="gpu")


def test_a_cpu_records_nothing(loaded: list[Any]) -> None:
    mesh = data_mesh(jax.devices("cpu")[:1])
    arguments = replicate(({"a": jnp.zeros(2)}, jnp.ones(2)), mesh)
    assert compile_recorded(donating(), mesh, *arguments)(*arguments)["a"].tolist() == [1, 1]
    assert not loaded
