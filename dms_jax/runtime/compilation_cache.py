"""Compiled programs that outlive the process."""

import os
from pathlib import Path

import jax

# JAX's, in seconds.
_DEFAULT_LIMIT = 1.0


def keep_compiled_programs() -> None:
    """Let JAX keep compiled programs in `$XDG_CACHE_HOME/dms_jax` (`~/.cache/dms_jax`), if it keeps none elsewhere.

    The second run of a network then starts in seconds. `JAX_COMPILATION_CACHE_DIR` names another folder, and
    `JAX_ENABLE_COMPILATION_CACHE=false` keeps nothing. On a CPU nothing is kept: XLA refuses there, on some processors,
    what it compiled itself (openxla/xla issue 44565). For entry points: it changes JAX's configuration.

    Small programs are kept too, not only those that take a second: there are dozens before a first step. A choice of
    `JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS` or of another limit than JAX's default stands.
    """
    if jax.default_backend() == "cpu":
        return
    limit = "jax_persistent_cache_min_compile_time_secs"
    if limit.upper() not in os.environ and getattr(jax.config, limit) == _DEFAULT_LIMIT:
        jax.config.update(limit, 0.0)
    option = "jax_compilation_cache_dir"
    if getattr(jax.config, option):
        return
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dms_jax"
    jax.config.update(option, str(folder))
