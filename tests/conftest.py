"""Several devices on any machine, quick compilation, and the modules beside the tests."""

import atexit
import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from quick_compilation import xla_flags

# Before the first import of jax, here and in whatever the tests start.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
_flags = xla_flags(devices=4) if os.environ["JAX_PLATFORMS"] == "cpu" else "--xla_force_host_platform_device_count=4"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_flags}".strip()

# Arrays of different rank are brought together on purpose, or not at all.
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")

# Several tests compile the same network, or the same small part of it. JAX keeps only what took a second to compile.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# The folder also holds what several test files share (`published_datasets`), and goes when they end.
if "DMS_JAX_TESTS" not in os.environ:
    os.environ["DMS_JAX_TESTS"] = kept = tempfile.mkdtemp(prefix="dms-jax-tests-")
    atexit.register(shutil.rmtree, kept, ignore_errors=True)
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(os.environ["DMS_JAX_TESTS"]) / "compiled"))

# PyTorch's threads spin while they wait for each other: on a core that they share with other tests, for many times as
# long as they compute.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Tracing makes millions of objects that stay: to look through them after every 700 takes a tenth of the tests' time.
gc.set_threshold(200_000, 10, 10)

# How long an example takes says nothing on a machine that does something else beside.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(autouse=True, scope="module")
def _forget_what_was_traced():
    """Drops the objects that a file's networks leave, millions of them.

    dms_jax goes through all objects when it collects garbage and when it looks for what Orbax has left, in later files.
    """
    before = sys.getallocatedblocks()
    yield
    if "jax" in sys.modules and sys.getallocatedblocks() - before > 200_000:
        sys.modules["jax"].clear_caches()
        gc.collect()
