"""Steps recorded in CUDA graphs, convolutions included, with a program that stands in where that fails.

Launched one by one, the kernels of a prediction take the host longer than the GPU: with the layout of the kernels in
memory, one image's latency went from 3.5 to 2.4 ms on an H100. A training step alone on its host gains hardly anything;
where the host is busy, whole runs lost a tenth to a sixth of their speed without them (benchmarks/README.md).
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from dms_jax.runtime.compilation import UNKNOWN_OPTION, compile_ahead, compiler_options, is_known_option
from dms_jax.runtime.cudnn import load_convolutions
from dms_jax.runtime.devices import platform_of

_LOG = logging.getLogger(__name__)
CALLS_UNTIL_PROVEN = 3
_FAILURES_UNTIL_GIVEN_UP = 2

# What is recorded and launched as one: XLA's defaults, and convolutions.
GRAPHS: dict[str, str | bool] = {
    "xla_gpu_enable_command_buffer": "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,CONVOLUTION,DYNAMIC_SLICE_FUSION"
}
# Of `load_convolutions`: nothing recorded, and algorithms tried rather than looked up, which loads more of cuDNN.
_LOADING_OPTIONS = {"xla_gpu_enable_command_buffer": "", "xla_gpu_per_fusion_autotune_cache_dir": ""}


def jit_prediction(
    function: Callable[..., Any], mesh: Mesh, *, deterministic: bool = False, platform: str | None = None
) -> "jax.stages.Wrapped | WithFallback":
    """`jax.jit` for hundreds of kernels that are waited for, which on a GPU are recorded in CUDA graphs if possible.

    Args:
      function: of a tree and of arrays.
      mesh: that it runs on.
      deterministic: see `dms_jax.runtime.compilation.compiler_options`.
      platform: of the mesh; None asks it.
    """
    options = compiler_options(platform or platform_of(mesh), mesh.size, deterministic=deterministic, latency=True)
    # Processes that fell back each on its own would wait for each other for ever.
    if options is None or jax.process_count() > 1:
        return jax.jit(function, compiler_options=options)
    return WithFallback(
        jax.jit(function, compiler_options=options | GRAPHS),
        jax.jit(function, compiler_options=options),
        prepare=partial(_load_convolutions, tuple(mesh.devices.flat)),
    )


def compile_recorded(
    function: jax.stages.Wrapped,
    mesh: Mesh,
    *arguments: Any,
    on_lowered: Callable[[], object] = lambda: None,
    platform: str | None = None,
) -> jax.stages.Compiled:
    """Compile a jitted function that donates a tree; on a GPU recorded in CUDA graphs, if that proves to work.

    To prove it, the program is run on zeros, before anything can be lost in it; it needs memory for them.

    Args:
      function: of a tree, which it donates, and of arrays; its result is another such tree.
      mesh: that it runs on.
      *arguments: shapes, types and shardings of the tree and of the arrays.
      on_lowered: see `dms_jax.runtime.compilation.compile_ahead`.
      platform: of the mesh; None asks it.
    """
    # Processes that fell back each on its own would wait for each other for ever.
    if (platform or platform_of(mesh)) != "gpu" or jax.process_count() > 1:
        return compile_ahead(function, *arguments, on_lowered=on_lowered)
    with ThreadPoolExecutor(1) as thread:
        # While Python traces the function, the device has nothing else to do.
        loaded = thread.submit(_load_convolutions, tuple(mesh.devices.flat))
        lowered = function.lower(*arguments)
        on_lowered()
        loaded.result()
    try:
        recorded = lowered.compile(dict(GRAPHS))
        _prove(recorded, *arguments)
    except jax.errors.JaxRuntimeError as error:
        _LOG.warning("A program is run without CUDA graphs of its convolutions: %s", error)
        return lowered.compile()
    return recorded


def _prove(compiled: jax.stages.Compiled, tree: Any, *arrays: Any) -> None:
    """Call a program with zeros of the given shapes until XLA has recorded what it records."""
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), (tree, *arrays))
    result, *batch = jax.device_put(zeros, jax.tree.map(lambda x: x.sharding, (tree, *arrays)))
    for _ in range(CALLS_UNTIL_PROVEN):
        result = jax.block_until_ready(compiled(result, *batch))


@cache
def _load_convolutions(devices: tuple[jax.Device, ...]) -> None:
    options = {name: value for name, value in _LOADING_OPTIONS.items() if is_known_option(name, value)}
    for device in devices:
        try:
            load_convolutions(device, options)
        except jax.errors.JaxRuntimeError as error:
            _LOG.warning("Convolutions could not be tried on %s before they are recorded: %s", device, error)


def program(function: Callable[..., Any], *arguments: Any) -> jax.stages.Compiled:
    """What a call of a jitted function, or of `jit_prediction`'s, runs: its text, and how much memory it needs."""
    chosen: Any = function.chosen(*arguments) if isinstance(function, WithFallback) else function
    return chosen if isinstance(chosen, jax.stages.Compiled) else chosen.lower(*arguments).compile()


class WithFallback:
    """A function compiled in two ways: the primary is called where it works, the fallback where it has failed.

    Not every kernel of cuDNN's can be recorded in a CUDA graph, which shows when a program is run: XLA may run it once
    by single launches, and record it the second time. The first calls for each shape are therefore waited for. Where
    the primary fails, it is tried once more after the fallback has run, if that can: cuDNN may be left unable to run
    anything until the process ends, and then its error is raised. So is what fails later, or for want of memory.

    Args:
      primary: a jitted function of a tree and of arrays.
      fallback: the same function.
      prepare: called before the primary is; more than once.
    """

    def __init__(
        self,
        primary: jax.stages.Wrapped,
        fallback: jax.stages.Wrapped,
        *,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self._primary, self._fallback, self._prepare = primary, fallback, prepare
        self._calls: dict[Any, int] = {}
        self._failures: dict[Any, int] = {}

    def __call__(self, tree: Any, *arrays: Any) -> Any:
        """The function's result."""
        key = _shapes(arrays)
        if self._is_given_up(key):
            return self._fallback(tree, *arrays)
        calls = self._calls.get(key, 0)
        if calls == CALLS_UNTIL_PROVEN:
            return self._primary(tree, *arrays)
        self._prepare()
        try:
            result = jax.block_until_ready(self._primary(tree, *arrays))
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" in str(error):
                raise
            self._note_failure(key, error)
            # Waited for: its kernels are loaded when the primary is tried again.
            return jax.block_until_ready(self._fallback(tree, *arrays))
        self._calls[key] = calls + 1
        return result

    def lower(self, *arguments: Any) -> jax.stages.Lowered:
        """The primary, traced for arguments of these shapes, types and shardings."""
        return self._primary.lower(*arguments)

    def chosen(self, *arguments: Any) -> jax.stages.Wrapped:
        """What a call with such arguments would run."""
        return self._fallback if self._is_given_up(_shapes(arguments[1:])) else self._primary

    def _is_given_up(self, key: Any) -> bool:
        return self._failures.get(key, 0) >= _FAILURES_UNTIL_GIVEN_UP

    def _note_failure(self, key: Any, error: Exception) -> None:
        is_final = UNKNOWN_OPTION in str(error)
        self._failures[key] = _FAILURES_UNTIL_GIVEN_UP if is_final else self._failures.get(key, 0) + 1
        if self._is_given_up(key):
            _LOG.warning("A program is run without CUDA graphs of its convolutions: %s", error)
        else:
            _LOG.info("A program could not be recorded in CUDA graphs, and is tried once more: %s", error)


def _shapes(arrays: tuple[Any, ...]) -> tuple[Any, ...]:
    # Without the tree: it is long, and always the same.
    return tuple((x.shape, x.dtype) for x in jax.tree.leaves(arrays))
