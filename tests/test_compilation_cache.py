"""Where compiled programs are kept."""

from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from dms_jax.compilation_cache import keep_compiled_programs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


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


def test_on_a_cpu_nothing_is_kept() -> None:
    keep_compiled_programs()
    assert jax.config.jax_compilation_cache_dir is None
