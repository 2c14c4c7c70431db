"""How XLA is asked to compile the steps."""

import logging
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh

Options = dict[str, str | bool | int]

_LOG = logging.getLogger(__name__)
_CALLS_UNTIL_PROVEN = 3

# Of an NVIDIA GPU.
_GPU_OPTIONS: Options = {
    # A map that is bfloat16 in the network is kept as that between kernels, not also as the float32 before rounding.
    "xla_allow_excess_precision": False,
}
# What is recorded in CUDA graphs and launched as one: XLA's defaults, and convolutions, with which a whole prediction
# is one launch.
_GRAPHS = "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,CONVOLUTION,DYNAMIC_SLICE_FUSION"


def is_gpu(mesh: Mesh) -> bool:
    """Whether the devices of a mesh are GPUs."""
    return mesh.devices.flat[0].platform == "gpu"


def compiler_options(mesh: Mesh) -> Options | None:
    """Options of `jax.jit` for a program that runs on the devices of a mesh; None for the defaults."""
    return _GPU_OPTIONS if is_gpu(mesh) else None


def jit_for_latency(function: Callable[..., Any], mesh: Mesh) -> "jax.stages.Wrapped | WithFallback":
    """`jax.jit` for a program of many small kernels, which takes a GPU less time than it takes to launch them."""
    jitted = jax.jit(function, compiler_options=compiler_options(mesh))
    if not is_gpu(mesh):
        return jitted
    graphs = {**_GPU_OPTIONS, "xla_gpu_enable_command_buffer": _GRAPHS}
    return WithFallback(jax.jit(function, compiler_options=graphs), jitted)


class WithFallback:
    """A function compiled in two ways: called in the first where that works, and in the second where it has failed.

    Not every kernel of cuDNN's can be recorded in a CUDA graph, which shows when a program is run: XLA may run it once
    by single launches, and record it the second time. The first calls for each shape are therefore waited for. What
    fails later, or for want of memory, is raised.

    Args:
      first: a jitted function of variables and arrays that donates none of its arguments.
      second: the same function.
    """

    def __init__(self, first: jax.stages.Wrapped, second: jax.stages.Wrapped) -> None:
        self._first, self._second = first, second
        self._calls: dict[Any, int] = {}
        self._failed: set[Any] = set()

    def __call__(self, *arguments: Any) -> Any:
        """The function's result."""
        key = _shapes(arguments)
        if key in self._failed:
            return self._second(*arguments)
        calls = self._calls.get(key, 0)
        if calls == _CALLS_UNTIL_PROVEN:
            return self._first(*arguments)
        try:
            result = jax.block_until_ready(self._first(*arguments))
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" in str(error):
                raise
            _LOG.warning("A program is run without CUDA graphs of its convolutions: %s", error)
            self._failed.add(key)
            return self._second(*arguments)
        self._calls[key] = calls + 1
        return result

    def lower(self, *arguments: Any) -> jax.stages.Lowered:
        """As `jax.stages.Wrapped.lower`, of what a call with such arguments would run."""
        chosen = self._second if _shapes(arguments) in self._failed else self._first
        return chosen.lower(*arguments)


def _shapes(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    # The first argument is a tree of variables, which is long and always the same.
    return tuple((x.shape, x.dtype) for x in jax.tree.leaves(arguments[1:]))
