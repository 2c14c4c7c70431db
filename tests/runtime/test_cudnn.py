"""What cuDNN is told before it is used; what it does with that needs a GPU."""

import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from dms_jax.runtime import cudnn
from dms_jax.runtime.cudnn import exclude_slow_cudnn_engines, load_convolutions

NAME = "CUDNN_ERRATA_JSON_FILE"


@dataclass(frozen=True)
class Device:
    """A GPU as far as it is asked about."""

    compute_capability: str


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "")
    monkeypatch.delenv(NAME)


def test_slow_engines_are_left_out_on_the_gpus_that_they_were_measured_on() -> None:
    exclude_slow_cudnn_engines(Device("8.0"), jnp.bfloat16, deterministic=False)
    exclude_slow_cudnn_engines(object(), jnp.bfloat16, deterministic=False)
    exclude_slow_cudnn_engines(Device("9.0"), jnp.bfloat16, deterministic=True)
    exclude_slow_cudnn_engines(Device("9.0"), jnp.float32, deterministic=False)
    exclude_slow_cudnn_engines(Device("9.0"), jnp.float32, deterministic=True)
    assert NAME not in os.environ
    exclude_slow_cudnn_engines(Device("9.0"), jnp.dtype("bfloat16"), deterministic=False)
    rules = json.loads(Path(os.environ[NAME]).read_text())["rules"]
    assert {rule["operation"] for rule in rules} == {"ConvFwd", "ConvBwdData", "ConvBwdFilter"}
    # What cuDNN's frontend reads of each: a rule is for an engine, or for its configurations with one choice of a knob.
    assert all(rule.keys() - {"rule_id"} == KEYS for rule in rules)
    assert all(re.fullmatch(r"(k\d+=\d+)?", "".join(rule["knob"])) for rule in rules)
    # Each says something of its own.
    engines = {(rule["operation"], rule["engine"]) for rule in rules if not rule["knob"]}
    choices = [(rule["operation"], rule["engine"], knob) for rule in rules for knob in rule["knob"]]
    assert len({rule["rule_id"] for rule in rules}) == len(rules) == len(engines) + len(set(choices))
    assert not engines & {choice[:2] for choice in choices}


KEYS = {"operation", "engine", "knob", "cudnn_version_start", "cudnn_version_end"}


def test_the_users_own_list_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "mine.json")
    exclude_slow_cudnn_engines(Device("9.0"), jnp.bfloat16, deterministic=False)
    assert os.environ[NAME] == "mine.json"


def test_the_list_is_part_of_the_package() -> None:
    project = Path(__file__).parents[2]
    patterns = tomllib.loads((project / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert cudnn._SLOW_ENGINES.is_file()
    assert cudnn._SLOW_ENGINES.parent == project / "dms_jax" / "runtime"
    assert any(fnmatch(cudnn._SLOW_ENGINES.name, pattern) for pattern in patterns["dms_jax.runtime"])


PROGRAM = """
import jax, jax.numpy as jnp
from dms_jax.runtime.cudnn import load_convolutions

load_convolutions(jax.devices()[0], {})
jax.jit(lambda x: x + 1)(jnp.ones(3))
"""


def test_the_program_that_loads_convolutions_is_compiled_in_every_process(tmp_path: Path) -> None:
    """Taken from a file it would try no algorithms, and load hardly anything."""
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_COMPILATION_CACHE": "true",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
    }
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True, timeout=120)
    kept = [path.name for path in tmp_path.iterdir()]
    assert [name for name in kept if "lambda" in name]
    assert not [name for name in kept if "energy" in name]


def test_other_programs_are_cached_as_before() -> None:
    name = "jax_persistent_cache_min_compile_time_secs"
    before = getattr(jax.config, name)
    load_convolutions(jax.devices()[0], {})
    assert getattr(jax.config, name) == before
