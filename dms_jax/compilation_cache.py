"""Compiled programs that outlive the process."""

import os
from pathlib import Path

import jax


def keep_compiled_programs() -> None:
    """Let JAX keep compiled programs in `$XDG_CACHE_HOME/dms_jax` (`~/.cache/dms_jax`), if it keeps none elsewhere.

    The second run of a network then starts in seconds. `JAX_COMPILATION_CACHE_DIR` names another folder, and
    `JAX_ENABLE_COMPILATION_CACHE=false` keeps nothing. On a CPU nothing is kept: XLA refuses there, on some processors,
    what it compiled itself (openxla/xla issue 44565). For entry points: it changes JAX's configuration.
    """
    if jax.config.jax_compilation_cache_dir or jax.default_backend() == "cpu":
        return
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dms_jax"
    jax.config.update("jax_compilation_cache_dir", str(folder))
