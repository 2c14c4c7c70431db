"""Networks for prediction: every BatchNorm folded into the convolution before it."""

from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from dms_jax.ops.batch_norm import EPSILON


def fold_batch_norm(
    variables: Mapping[str, Any], dtype: DTypeLike = jnp.float32, keep: Collection[str] = ()
) -> dict[str, Any]:
    """Turn a network's variables into those of the same network with `folded=True`.

    With the running mean m and variance v, scale s and bias b of a BatchNorm, BN(conv(x, K)) = conv(x, K a) + (b - m a)
    with a = s / sqrt(v + 1e-5) for each output channel.

        folded = fold_batch_norm(variables)
        output = model.clone(folded=True).apply(folded, images, train=False)

    Args:
      variables: {"params": ..., "batch_stats": ...} of a network of `dms_jax.models`, or of one of its modules.
      dtype: of the convolutions' kernels and biases: the type that the network computes in.
      keep: names of modules that are left as they are.

    Returns:
      {"params": ...}: each normalised convolution has a `bias`, and there are no norms. What is kept has its
      {"batch_stats": ...} too.
    """
    params, statistics = variables["params"], variables.get("batch_stats", {})
    kept = {name: params[name] for name in keep if name in params}
    others = {name: value for name, value in params.items() if name not in kept}
    folded = {"params": {**_fold(others, statistics, dtype), **kept}}
    if keep:
        folded["batch_stats"] = {name: statistics[name] for name in keep if name in statistics}
    return folded


def _fold(params: Mapping[str, Any], statistics: Mapping[str, Any], dtype: Any) -> dict[str, Any]:
    folded = {}
    for name, value in params.items():
        if name in statistics and "mean" in statistics[name]:
            continue
        norm = name.replace("conv", "norm")
        if norm != name and norm in statistics:
            folded[name] = _folded_conv(value["kernel"], params[norm], statistics[norm], dtype)
        else:
            is_inner = isinstance(value, Mapping)
            folded[name] = _fold(value, statistics.get(name, {}), dtype) if is_inner else value
    return folded


def _folded_conv(
    kernel: jax.Array, norm: Mapping[str, jax.Array], statistics: Mapping[str, jax.Array], dtype: Any
) -> dict[str, jax.Array]:
    factor = norm["scale"] * jax.lax.rsqrt(statistics["var"] + EPSILON)
    # The size of a transposed convolution's kernel is even, and its output channels come third instead of last.
    channels = factor.reshape((1, 1, 1, -1) if kernel.shape[0] % 2 else (1, 1, -1, 1))
    bias = norm["bias"] - statistics["mean"] * factor
    return {"kernel": (kernel * channels).astype(dtype), "bias": bias.astype(dtype)}
