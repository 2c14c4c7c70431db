"""Floating-point operations of a network, counted from its layers."""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dms_jax.comparison.deep.layers import DoublingConv
from dms_jax.comparison.deep.lstm import LSTM
from dms_jax.models.layers import TransposedConv
from dms_jax.models.network import Network


def forward_flops(model: Network, height: int, width: int) -> int:
    """Multiplications and additions of the network's convolutions, dense layers and LSTMs for one image.

    Every layer counts as the mathematics has it, however it is computed: a grouped convolution with its own groups
    alone, a transposed one without the zeros between its inputs. A training step is taken to cost three times as much.
    """
    counts = []

    def count(call: Callable[..., Any], arguments: Any, options: Any, context: nn.module.InterceptorContext) -> Any:
        result = call(*arguments, **options)
        module = context.module
        if isinstance(module, LSTM) and context.method_name == "__call__":
            # [in, out] both: each state is a product of an input and one of the state before.
            kernels = (module.variables["params"][name] for name in ("input_kernel", "recurrent_kernel"))
            counts.append(2 * result.size // result.shape[-1] * sum(kernel.size for kernel in kernels))
        elif context.method_name == "__call__" and "kernel" in module.variables.get("params", {}):
            kernel = module.variables["params"]["kernel"].shape
            if isinstance(module, TransposedConv | DoublingConv):
                # [height, width, out, in]: each input pixel is multiplied with the whole kernel.
                counts.append(2 * arguments[0].size // kernel[-1] * math.prod(kernel))
            else:
                # [..., in, out]: each output value is a sum over the rest of the kernel.
                counts.append(2 * result.size * math.prod(kernel[:-1]))
        return result

    def trace() -> Any:
        with nn.intercept_methods(count):
            return model.init(jax.random.key(0), jnp.zeros((1, height, width, 3)), train=False)

    jax.eval_shape(trace)
    return sum(counts)
