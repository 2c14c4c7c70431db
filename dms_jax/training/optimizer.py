"""Stochastic gradient descent as the paper's section 4.1 sets it: momentum, L2 and a polynomial decay."""

import dataclasses

import jax
import jax.numpy as jnp
import optax


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """The defaults are the paper's.

    Attributes:
      learning_rate: the rate at the start, above 0.
      momentum: the share of the last update that is kept, 0..1.
      weight_decay: the factor of the L2 term.
      power: of the polynomial decay; 0 keeps the rate constant.
      warmup_steps: number of steps over which the rate rises linearly; 0 starts at the full rate.
      double_bias_rate: biases learn at twice the rate and without L2, as in R3Net.
      backbone_multiplier: factor of the rate for the parameters under "backbone"; 0 leaves them as they are.

    Raises:
      ValueError: a field is out of its range; the message names it.
    """

    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 5e-4
    power: float = 0.9
    warmup_steps: int = 0
    double_bias_rate: bool = False
    backbone_multiplier: float = 1.0

    def __post_init__(self):
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}.")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1, got {self.momentum}.")
        for name in ("weight_decay", "power", "warmup_steps", "backbone_multiplier"):
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
    """SGD with momentum and L2, the same as `torch.optim.SGD`.

    g = gradient + weight_decay p; buffer = momentum buffer + g; p = p - lr buffer. The L2 term reaches every
    parameter, BatchNorm's scales and biases and the PReLU slopes included, because the published recipe
    excepts none; `double_bias_rate` excepts biases. `backbone_multiplier` multiplies the rate, and so the effect
    of the L2 term too, as a parameter group's rate does in PyTorch.

    Raises:
      ValueError: `total_steps` is below 1.
    """
    decay = optax.add_decayed_weights(config.weight_decay, mask=_is_not_bias if config.double_bias_rate else None)
    parts = [decay, optax.sgd(learning_rate_schedule(config, total_steps), momentum=config.momentum)]
    if config.double_bias_rate:
        parts.append(optax.masked(optax.scale(2.0), _is_bias))
    if config.backbone_multiplier != 1:
        parts.append(optax.masked(optax.scale(config.backbone_multiplier), _is_in_backbone))
    return optax.chain(*parts)


def _is_bias(params):
    """Marks the parameters named 'bias': dense layers', convolutions' and BatchNorm's."""
    return jax.tree_util.tree_map_with_path(lambda path, _: getattr(path[-1], "key", None) == "bias", params)


def _is_not_bias(params):
    return jax.tree.map(lambda is_bias: not is_bias, _is_bias(params))


def _is_in_backbone(params):
    return jax.tree_util.tree_map_with_path(lambda path, _: getattr(path[0], "key", None) == "backbone", params)
