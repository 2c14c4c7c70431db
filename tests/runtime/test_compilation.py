"""What XLA is asked for, platform by platform."""

import jax
import jax.numpy as jnp
import pytest

from dms_jax.errors import UserError
from dms_jax.runtime import compilation
from dms_jax.runtime.compilation import compile_ahead, compiler_options
from dms_jax.runtime.devices import data_mesh, platform_of


@pytest.mark.parametrize("latency", [True, False])
@pytest.mark.parametrize("deterministic", [True, False])
def test_the_compiler_knows_what_is_asked_of_a_gpu(
    latency: bool, deterministic: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Options and their values are checked on every platform."""
    options = compiler_options("gpu", deterministic=deterministic, latency=latency)
    assert options
    assert jax.jit(lambda x: x + 1, compiler_options=options)(jnp.ones(2)).tolist() == [2, 2]
    assert not caplog.records


def test_options_that_the_compiler_does_not_know_are_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(compilation._GPU_OPTIONS, "xla_gpu_of_tomorrow", True)
    options = compiler_options("gpu")
    assert options == {"xla_allow_excess_precision": False, "xla_gpu_enable_latency_hiding_scheduler": False}
    assert [record.getMessage().split(" here:")[0] for record in caplog.records] == [
        "XLA has no option xla_gpu_of_tomorrow"
    ]


def test_determinism_is_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(compilation._DETERMINISTIC_OPTIONS, "xla_gpu_determinism_of_tomorrow", True)
    with pytest.raises(UserError, match=r"^config\.deterministic: this version of XLA cannot promise it: use another"):
        compiler_options("gpu", deterministic=True)


def test_several_gpus_hide_their_communication() -> None:
    assert compiler_options("gpu", 2) == {"xla_allow_excess_precision": False}


def test_a_cpu_compiles_with_the_defaults() -> None:
    assert platform_of(data_mesh(jax.devices("cpu")[:1])) == "cpu"
    assert compiler_options("cpu") is None


def test_python_is_done_before_xla_begins() -> None:
    order: list[str] = []
    function = jax.jit(lambda x: order.append("traced") or x + 1)
    compiled = compile_ahead(function, jax.ShapeDtypeStruct((3,), jnp.float32), on_lowered=lambda: order.append("told"))
    assert order == ["traced", "told"]
    assert compiled(jnp.ones(3)).tolist() == [2, 2, 2]
