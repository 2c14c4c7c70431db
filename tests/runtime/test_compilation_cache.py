"""Where compiled programs are kept."""

from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from dms_jax.runtime.compilation_cache import keep_compiled_programs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.parametrize("xdg", [True, False])
def test_on_an_accelerator_in_the_users_cache_folder(
    xdg: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg") if xdg else "")
    keep_compiled_programs()
    expected = tmp_path / ("xdg" if xdg else ".cache") / "dms_jax"
    assert jax.config.jax_compilation_cache_dir == str(expected)


def test_the_users_own_choice_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    jax.config.update("jax_compilation_cache_dir", "elsewhere")
    keep_compiled_programs()
    assert jax.config.jax_compilation_cache_dir == "elsewhere"


@pytest.mark.parametrize("folder", [None, "elsewhere"])
@pytest.mark.parametrize("chosen", [None, "1.0"])
def test_small_programs_are_kept_too_unless_the_user_says_otherwise(
    folder: str | None, chosen: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", chosen or "")
    if not chosen:
        monkeypatch.delenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
    keep_compiled_programs()
    assert jax.config.jax_persistent_cache_min_compile_time_secs == (1 if chosen else 0)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.25)
    keep_compiled_programs()
    assert jax.config.jax_persistent_cache_min_compile_time_secs == 0.25


def test_on_a_cpu_nothing_is_kept() -> None:
    before = jax.config.jax_persistent_cache_min_compile_time_secs
    keep_compiled_programs()
    assert jax.config.jax_compilation_cache_dir is None
    assert jax.config.jax_persistent_cache_min_compile_time_secs == before
