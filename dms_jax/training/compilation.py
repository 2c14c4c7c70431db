"""How XLA is asked to compile the steps."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh

Options = dict[str, str | bool | int]

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
    """A function compiled in two ways: called in the first for as long as that works, then in the second.

    Not every kernel of cuDNN's can be recorded in a CUDA graph, which shows when a program is first run.

    Args:
      first: a jitted function that donates none of its arguments.
      second: the same function.
    """

    def __init__(self, first: jax.stages.Wrapped, second: jax.stages.Wrapped) -> None:
        self._first: jax.stages.Wrapped | None = first
        self._second = second
        self._proven: set[Any] = set()

    def __call__(self, *arguments: Any) -> Any:
        """The function's result."""
        if self._first is None:
            return self._second(*arguments)
        # Of the arrays among the arguments: trees of variables are always the same, and long.
        shapes = tuple(x.shape for x in arguments if isinstance(x, jax.Array))
        if shapes in self._proven:
            return self._first(*arguments)
        try:
            result = jax.block_until_ready(self._first(*arguments))
        except jax.errors.JaxRuntimeError:
            self._first = None
            return self._second(*arguments)
        self._proven.add(shapes)
        return result

    def lower(self, *arguments: Any) -> jax.stages.Lowered:
        """As `jax.stages.Wrapped.lower`, of the function in use."""
        return (self._first or self._second).lower(*arguments)
