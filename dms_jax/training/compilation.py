"""How XLA is asked to compile the steps."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from dms_jax.errors import UserError
from dms_jax.training.cudnn import load_convolutions

Options = dict[str, str | bool | int]

_LOG = logging.getLogger(__name__)
CALLS_UNTIL_PROVEN = 3
_FAILURES_UNTIL_GIVEN_UP = 2
_UNKNOWN_OPTION = "No such compile option"

# Of an NVIDIA GPU.
_GPU_OPTIONS: Options = {
    # A map that is bfloat16 in the network is kept as that between kernels, not also as the float32 before rounding.
    "xla_allow_excess_precision": False,
}
# Where there is one GPU alone: it has nobody to wait for, and each of the thousands of trial compilations pays for it.
_ONE_GPU_OPTIONS: Options = {"xla_gpu_enable_latency_hiding_scheduler": False}
# The first algorithm that always gives the same result, instead of the fastest of all that were tried.
_DETERMINISTIC_OPTIONS: Options = {"xla_gpu_exclude_nondeterministic_ops": True}
# What is recorded in CUDA graphs and launched as one: XLA's defaults, and convolutions. Launching these one by one
# takes the host about as long as a step of 16 pictures takes the GPU.
GRAPHS: Options = {
    "xla_gpu_enable_command_buffer": "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,CONVOLUTION,DYNAMIC_SLICE_FUSION"
}
# No other thread's programs between those of one: less to be checked at each launch.
_LATENCY_OPTIONS: Options = {"xla_gpu_require_exclusive_lock": True}
# Of `load_convolutions`: nothing recorded, and algorithms tried rather than looked up, which loads more of cuDNN.
_LOADING_OPTIONS = {"xla_gpu_enable_command_buffer": "", "xla_gpu_per_fusion_autotune_cache_dir": ""}


def is_gpu(mesh: Mesh) -> bool:
    """Whether the devices of a mesh are GPUs."""
    return mesh.devices.flat[0].platform == "gpu"


def compiler_options(mesh: Mesh, *, deterministic: bool = False, latency: bool = False) -> Options | None:
    """Options of `jax.jit` for a program that runs on the devices of a mesh; None for the defaults.

    Args:
      mesh: see `dms_jax.training.step.data_mesh`.
      deterministic: the same results each time, to the last bit: several per cent slower, compiled in a third of the
        time. On a CPU they are the same anyway.
      latency: for a program that is waited for.

    Raises:
      UserError: this version of XLA cannot be asked for the same results each time.
    """
    if not is_gpu(mesh):
        return None
    wanted = _GPU_OPTIONS | (_ONE_GPU_OPTIONS if mesh.size == 1 else {}) | (_LATENCY_OPTIONS if latency else {})
    options = {}
    for name, value in wanted.items():
        if _is_known(name, value):
            options[name] = value
        else:
            _LOG.warning("XLA has no option %s here: programs may be slower, or take longer to compile.", name)
    if deterministic:
        if not all(_is_known(name, value) for name, value in _DETERMINISTIC_OPTIONS.items()):
            raise UserError(
                "config.deterministic: this version of XLA cannot promise it: use another, or leave it out."
            )
        options |= _DETERMINISTIC_OPTIONS
    return options


@cache
def _is_known(name: str, value: str | bool | int) -> bool:
    """Whether this version of XLA has the option: such options come and go."""
    try:
        jax.jit(lambda: jnp.zeros(()), compiler_options={name: value}).lower().compile()
    except jax.errors.JaxRuntimeError as error:
        if _UNKNOWN_OPTION not in str(error):
            raise
        return False
    return True


def jit_step(
    function: Callable[..., Any], mesh: Mesh, *, donates: bool = False, deterministic: bool = False
) -> "jax.stages.Wrapped | WithFallback":
    """`jax.jit` for a step of hundreds of kernels, which on a GPU is recorded in CUDA graphs as far as possible.

    Args:
      function: of a tree and of arrays.
      mesh: that it runs on.
      donates: the tree is donated: a training step. Otherwise the program is taken for one that is waited for.
      deterministic: see `compiler_options`.
    """
    options = compiler_options(mesh, deterministic=deterministic, latency=not donates)
    jit = partial(jax.jit, function, donate_argnums=(0,) if donates else ())
    # Processes that fell back each on its own would wait for each other for ever.
    if options is None or jax.process_count() > 1:
        return jit(compiler_options=options)
    return WithFallback(
        jit(compiler_options=options | GRAPHS),
        jit(compiler_options=options),
        donates=donates,
        prepare=partial(_load_convolutions, tuple(mesh.devices.flat)),
    )


@cache
def _load_convolutions(devices: tuple[jax.Device, ...]) -> None:
    options = {name: value for name, value in _LOADING_OPTIONS.items() if _is_known(name, value)}
    for device in devices:
        try:
            load_convolutions(device, options)
        except jax.errors.JaxRuntimeError as error:
            _LOG.warning("Convolutions could not be tried on %s before they are recorded: %s", device, error)


# One program: one for each shape would have to be compiled otherwise, which takes seconds.
_copy = jax.jit(partial(jax.tree.map, jnp.copy))


def _compiled_copy(tree: Any) -> Callable[[Any], Any] | None:
    """`_copy`, compiled for such a tree; None if it cannot be, which shows again where it is needed."""
    try:
        return _copy.lower(tree).compile()
    except jax.errors.JaxRuntimeError as error:
        _LOG.info("The program that copies the state could not be compiled ahead: %s", error)
        return None


def compile_ahead(
    function: "jax.stages.Wrapped | WithFallback", *arguments: Any, when_traced: Callable[[], object] = lambda: None
) -> Callable[..., Any]:
    """The function, compiled for arguments of these shapes, types and shardings alone (`jax.ShapeDtypeStruct`).

    `when_traced` is called once Python has done its part: from then on, another thread may trace without delay.
    """
    if isinstance(function, WithFallback):
        return function.compiled_ahead(*arguments, when_traced=when_traced)
    lowered = function.lower(*arguments)
    when_traced()
    return lowered.compile()


def program(function: Callable[..., Any], *arguments: Any) -> jax.stages.Compiled:
    """What a call of `jit_step`'s or `compile_ahead`'s function runs: its text, and how much memory it needs."""
    chosen = function.chosen(*arguments) if isinstance(function, WithFallback) else function
    return chosen if isinstance(chosen, jax.stages.Compiled) else chosen.lower(*arguments).compile()


class WithFallback:
    """A function compiled in two ways: called in the first where that works, and in the second where it has failed.

    Not every kernel of cuDNN's can be recorded in a CUDA graph, which shows when a program is run: XLA may run it once
    by single launches, and record it the second time. The first calls for each shape are therefore waited for, and of
    what would be donated in them the first way gets a copy. Where it fails, it is tried once more after the second way
    has run, if that can: cuDNN may be left unable to run anything until the process ends, and then its error is raised.
    So is what fails later, or for want of memory where nothing is donated.

    Args:
      first: a jitted function of a tree and of arrays.
      second: the same function.
      donates: the tree is donated.
      prepare: called before the first way is; more than once.
      copy: makes the copies; None for any tree's, compiled at the first call.
    """

    def __init__(
        self,
        first: Callable[..., Any],
        second: jax.stages.Wrapped,
        *,
        donates: bool = False,
        prepare: Callable[[], None] = lambda: None,
        copy: Callable[[Any], Any] | None = None,
    ) -> None:
        self._first, self._second, self._donates, self._prepare = first, second, donates, prepare
        self._copy = copy or _copy
        self._calls: dict[Any, int] = {}
        self._failures: dict[Any, int] = {}

    def __call__(self, tree: Any, *arrays: Any) -> Any:
        """The function's result."""
        key = _shapes(arrays)
        if self._is_given_up(key):
            return self._second(tree, *arrays)
        calls = self._calls.get(key, 0)
        if calls == CALLS_UNTIL_PROVEN:
            return self._first(tree, *arrays)
        self._prepare()
        try:
            given = self._copy(tree) if self._donates else tree
            result = jax.block_until_ready(self._first(given, *arrays))
        except jax.errors.JaxRuntimeError as error:
            # There may be memory for the program, but not for the copy.
            if "RESOURCE_EXHAUSTED" in str(error) and not self._donates:
                raise
            self._note_failure(key, error, final=_UNKNOWN_OPTION in str(error))
            # Waited for: its kernels are loaded when the first way is tried again.
            return jax.block_until_ready(self._second(tree, *arrays))
        if self._donates:
            jax.tree.map(lambda array: array.delete(), tree)
        self._calls[key] = calls + 1
        return result

    def lower(self, *arguments: Any) -> jax.stages.Lowered:
        """The first way, traced for arguments of these shapes, types and shardings."""
        return self._first.lower(*arguments)

    def compiled_ahead(self, *arguments: Any, when_traced: Callable[[], object]) -> "WithFallback":
        """See `compile_ahead`. The second way is compiled when it is needed."""
        with ThreadPoolExecutor(1) as thread:
            # While Python traces the function, the device has nothing else to do,
            prepared = thread.submit(self._prepare)
            lowered = self.lower(*arguments)
            when_traced()
            prepared.result()
            # and while it is compiled, Python has not.
            copy = thread.submit(_compiled_copy, arguments[0]) if self._donates else None
            try:
                first = lowered.compile()
            except jax.errors.JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" in str(error):
                    raise
                self._note_failure(_shapes(arguments[1:]), error, final=True)
                return self
            copy = copy and copy.result()
        return WithFallback(first, self._second, donates=self._donates, prepare=self._prepare, copy=copy)

    def chosen(self, *arguments: Any) -> Callable[..., Any]:
        """What a call with such arguments would run."""
        return self._second if self._is_given_up(_shapes(arguments[1:])) else self._first

    def _is_given_up(self, key: Any) -> bool:
        return self._failures.get(key, 0) >= _FAILURES_UNTIL_GIVEN_UP

    def _note_failure(self, key: Any, error: Exception, *, final: bool = False) -> None:
        self._failures[key] = _FAILURES_UNTIL_GIVEN_UP if final else self._failures.get(key, 0) + 1
        if self._is_given_up(key):
            _LOG.warning("A program is run without CUDA graphs of its convolutions: %s", error)
        else:
            _LOG.info("A program could not be recorded in CUDA graphs, and is tried once more: %s", error)


def _shapes(arrays: tuple[Any, ...]) -> tuple[Any, ...]:
    # Without the tree: it is long, and always the same.
    return tuple((x.shape, x.dtype) for x in jax.tree.leaves(arrays))
