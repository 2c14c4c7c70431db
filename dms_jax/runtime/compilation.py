"""How XLA is asked to compile the steps."""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp

from dms_jax.errors import UserError

Options = dict[str, str | bool | int]

_LOG = logging.getLogger(__name__)
UNKNOWN_OPTION = "No such compile option"

# Of an NVIDIA GPU.
_GPU_OPTIONS: Options = {
    # A map that is bfloat16 in the network is kept as that between kernels, not also as the float32 before rounding.
    "xla_allow_excess_precision": False,
}
# Where there is one GPU alone: it has nobody to wait for, and each of the thousands of trial compilations pays for it.
_ONE_GPU_OPTIONS: Options = {"xla_gpu_enable_latency_hiding_scheduler": False}
# The first algorithm that always gives the same result, instead of the fastest of all that were tried.
_DETERMINISTIC_OPTIONS: Options = {"xla_gpu_exclude_nondeterministic_ops": True}
# No other thread's programs between those of one: less to be checked at each launch.
_LATENCY_OPTIONS: Options = {"xla_gpu_require_exclusive_lock": True}


def compiler_options(
    platform: str, devices: int = 1, *, deterministic: bool = False, latency: bool = False
) -> Options | None:
    """Options of `jax.jit` for a program; None for the defaults.

    Args:
      platform: that it runs on; see `dms_jax.runtime.devices.platform_of`.
      devices: how many of them share it.
      deterministic: the same results each time, to the last bit: several per cent slower, compiled in a third of the
        time. On a CPU they are the same anyway.
      latency: for a program that is waited for.

    Raises:
      UserError: this version of XLA cannot be asked for the same results each time.
    """
    if platform != "gpu":
        return None
    wanted = _GPU_OPTIONS | (_ONE_GPU_OPTIONS if devices == 1 else {}) | (_LATENCY_OPTIONS if latency else {})
    options = {}
    for name, value in wanted.items():
        if is_known_option(name, value):
            options[name] = value
        else:
            _LOG.warning("XLA has no option %s here: programs may be slower, or take longer to compile.", name)
    if deterministic:
        if not all(is_known_option(name, value) for name, value in _DETERMINISTIC_OPTIONS.items()):
            raise UserError(
                "config.deterministic: this version of XLA cannot promise it: use another, or leave it out."
            )
        options |= _DETERMINISTIC_OPTIONS
    return options


@cache
def is_known_option(name: str, value: str | bool | int) -> bool:
    """Whether this version of XLA has the option: such options come and go."""
    try:
        jax.jit(lambda: jnp.zeros(()), compiler_options={name: value}).lower().compile()
    except jax.errors.JaxRuntimeError as error:
        if UNKNOWN_OPTION not in str(error):
            raise
        return False
    return True


def compile_ahead(
    function: jax.stages.Wrapped, *arguments: Any, on_lowered: Callable[[], object] = lambda: None
) -> jax.stages.Compiled:
    """The function, compiled for arguments of these shapes, types and shardings alone (`jax.ShapeDtypeStruct`).

    `on_lowered` is called once Python has done its part: from then on, another thread may trace without delay.
    """
    lowered = function.lower(*arguments)
    on_lowered()
    return lowered.compile()
