"""What cuDNN, which computes convolutions on NVIDIA's GPUs, is told and has done before the steps use it."""

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

_SLOW_ENGINES = Path(__file__).with_name("cudnn_slow_engines.json")
_MEASURED_ON = "9.0"


def exclude_slow_cudnn_engines(device: jax.Device, dtype: Any, *, deterministic: bool) -> None:
    """Let this process not try those of cuDNN's engines that were never nearly the fastest for SDMS and BDMS.

    Running them takes a fifth of the time until a first training step. The list was made on an H100 in bfloat16, and
    applies to GPUs of its compute capability, in that type, where algorithms are tried at all. It is read when the
    first convolution is compiled; where `CUDNN_ERRATA_JSON_FILE` names another list already (or `/dev/null`), that one
    is. For entry points: it changes the environment, which PyTorch reads too.

    Args:
      device: that convolutions are computed on.
      dtype: that they are computed in.
      deterministic: see `dms_jax.runtime.compilation.compiler_options`.
    """
    applies = getattr(device, "compute_capability", None) == _MEASURED_ON and dtype == jnp.bfloat16
    if applies and not deterministic:
        os.environ.setdefault("CUDNN_ERRATA_JSON_FILE", str(_SLOW_ENGINES))


def load_convolutions(device: jax.Device, options: Mapping[str, str]) -> None:
    """Run a small convolution and its gradients on a device, each by itself.

    What a device has not run yet loads something first. While a CUDA graph is being recorded that fails in cuDNN
    (status 5003), and so does every convolution after it until the process ends.

    Args:
      device: a GPU.
      options: of the compiler.
    """

    def energy(images: jax.Array, kernel: jax.Array) -> jax.Array:
        y = jax.lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jnp.sum(y.astype(jnp.float32) ** 2)

    images, kernel = (
        jax.device_put(jnp.ones(shape, jnp.bfloat16), device) for shape in ((8, 12, 12, 64), (3, 3, 64, 64))
    )
    gradients = jax.jit(jax.grad(energy, argnums=(0, 1)), compiler_options=dict(options))
    with _not_cached():
        jax.block_until_ready(gradients(images, kernel))


@contextmanager
def _not_cached() -> Iterator[None]:
    """Keep what is compiled meanwhile, by any thread, out of JAX's persistent cache.

    A program that is taken from the cache tries no algorithms, and so loads hardly anything. (A callback to the host
    would keep a program out of it until JAX 0.10, but not since 0.11.)
    """
    name = "jax_persistent_cache_min_compile_time_secs"
    before = getattr(jax.config, name)
    jax.config.update(name, math.inf)
    try:
        yield
    finally:
        jax.config.update(name, before)
