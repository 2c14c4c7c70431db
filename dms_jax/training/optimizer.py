"""What makes an update of a gradient: SGD as the paper's section 4.1 sets it, AdamW or Muon, under one schedule."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from dms_jax.training.stacking import ends_in, is_matrix_kernel, on_stacked_kernels

OPTIMIZERS = ("sgd", "adamw", "muon")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """The defaults are the paper's.

    Attributes:
      name: one of `OPTIMIZERS`; see `create_optimizer`.
      learning_rate: the rate at the start, above 0.
      momentum: the share of the last update that is kept, 0..1; of AdamW, beta_1.
      weight_decay: the factor of the L2 term; of AdamW and Muon, that of the decoupled decay of kernels.
      power: of the polynomial decay; 0 keeps the rate constant.
      warmup_steps: number of steps over which the rate rises linearly; 0 starts at the full rate.
      double_bias_rate: biases learn at twice the rate and without L2, as in R3Net.
      backbone_multiplier: factor of the rate for the parameters under "backbone", if there are any; 0 leaves them as
        they are.
      clip_norm: the gradient of all parameters together is shortened to this norm where it is longer; 0 never does.

    Raises:
      ValueError: a field is out of its range; the message names it.
    """

    name: str = "sgd"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 5e-4
    power: float = 0.9
    warmup_steps: int = 0
    double_bias_rate: bool = False
    backbone_multiplier: float = 1.0
    clip_norm: float = 0.0

    def __post_init__(self):
        if self.name not in OPTIMIZERS:
            raise ValueError(f"name must be one of {', '.join(OPTIMIZERS)}, got {self.name!r}.")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}.")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1, got {self.momentum}.")
        for name in ("weight_decay", "power", "warmup_steps", "backbone_multiplier", "clip_norm"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")


def learning_rate_schedule(config: OptimizerConfig, total_steps: int) -> optax.Schedule:
    """The rate at a step counted from 0: lr (1 - step / total)^power min(1, (step + 1) / warmup).

    From `total_steps` on it is 0 (unless the power is 0).

    Raises:
      ValueError: `total_steps` is below 1.
    """
    if total_steps < 1:
        raise ValueError(f"total_steps must be at least 1, got {total_steps}.")

    def schedule(step):
        # A negative base to a fractional power is NaN; a run must not meet it past the end. Subtracting whole
        # numbers first makes the end exactly 0, however the compiler divides.
        remaining = jnp.maximum(total_steps - step, 0) / total_steps
        rate = config.learning_rate * remaining**config.power
        if config.warmup_steps:
            rate = rate * jnp.minimum(1.0, (step + 1) / config.warmup_steps)
        return rate

    return schedule


def create_optimizer(config: OptimizerConfig, total_steps: int) -> optax.GradientTransformation:
    """The optimiser that a config describes, after `clip_norm` and with `learning_rate_schedule`.

    "sgd" is SGD with momentum and L2, the same as `torch.optim.SGD`: g = gradient + weight_decay p; buffer = momentum
    buffer + g; p = p - lr buffer. The L2 term reaches every parameter, BatchNorm's scales and biases and the PReLU
    slopes included, because the published recipe excepts none; `double_bias_rate` excepts biases.

    "adamw" is the same as `torch.optim.AdamW` (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR
    2019) with beta_2 0.999 and epsilon 1e-8: p = p - lr (m / (sqrt(v) + epsilon) + weight_decay p). Only kernels decay.

    "muon" (Jordan, "Muon: an optimizer for hidden layers in neural networks", 2024) orthogonalises the momentum of each
    kernel, as a matrix of its last axis and all others; the rest is AdamW's, with Nesterov's momentum. Updates are
    scaled to the size of AdamW's (Liu et al., "Muon is scalable for LLM training", 2025), so that the same rates and
    decays suit both. The momentum of kernels is 0.95; `momentum` is AdamW's beta_1 here too.

    `backbone_multiplier` multiplies the rate, and so the effect of the decay too, as a parameter group's rate does in
    PyTorch; `double_bias_rate` doubles that of biases, whatever the optimiser.

    Raises:
      ValueError: `total_steps` is below 1.
    """
    schedule = learning_rate_schedule(config, total_steps)
    parts = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm else []
    if config.name == "sgd":
        decays = _is_not_bias if config.double_bias_rate else None
        parts.append(optax.add_decayed_weights(config.weight_decay, mask=decays))
        parts.append(optax.sgd(schedule, momentum=config.momentum))
    elif config.name == "adamw":
        parts.append(optax.adamw(schedule, b1=config.momentum, weight_decay=config.weight_decay, mask=_is_kernel))
    else:
        parts.append(_muon(config, schedule))
    if config.double_bias_rate:
        parts.append(optax.masked(optax.scale(2.0), _is_bias))
    if config.backbone_multiplier != 1:
        parts.append(optax.masked(optax.scale(config.backbone_multiplier), _is_in_backbone))
    return optax.chain(*parts)


def _muon(config: OptimizerConfig, schedule: optax.Schedule) -> optax.GradientTransformation:
    def matrices(params: Any) -> Any:
        # The last axis, a kernel's outputs (a transposed one's inputs), against all others, for each of a stack.
        def matrix(path: Any, x: jax.Array) -> Any:
            if not is_matrix_kernel(path, x):
                return None
            return optax.contrib.MuonDimensionNumbers(tuple(range(1, x.ndim - 1)), x.ndim - 1)

        return jax.tree_util.tree_map_with_path(matrix, params)

    return on_stacked_kernels(
        optax.contrib.muon(
            schedule,
            weight_decay=config.weight_decay,
            adam_b1=config.momentum,
            muon_weight_dimension_numbers=matrices,
            consistent_rms=0.2,
        )
    )


def _is_kernel(params):
    """Marks the parameters named 'kernel': convolutions' and dense layers'."""
    return jax.tree_util.tree_map_with_path(lambda path, _: ends_in(path, "kernel"), params)


def _is_bias(params):
    """Marks the parameters named 'bias': dense layers', convolutions' and BatchNorm's."""
    return jax.tree_util.tree_map_with_path(lambda path, _: ends_in(path, "bias"), params)


def _is_not_bias(params):
    return jax.tree.map(lambda is_bias: not is_bias, _is_bias(params))


def _is_in_backbone(params):
    return jax.tree_util.tree_map_with_path(lambda path, _: getattr(path[0], "key", None) == "backbone", params)
