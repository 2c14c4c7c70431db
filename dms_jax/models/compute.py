"""How a network computes, as opposed to what: one value that all its modules share."""

from dataclasses import dataclass

import jax.numpy as jnp
from jax.typing import DTypeLike


@dataclass(frozen=True)
class Compute:
    """How the modules of a network compute.

    Attributes:
      dtype: type of the computation; parameters, BatchNorm statistics and logits are float32.
      axis_name: device axis over which BatchNorm averages its statistics; None outside a sharded training step.
      folded: every BatchNorm is folded into the convolution before it (`dms_jax.models.folding`): prediction only.
      plain: the plain formulations of `dms_jax.ops` with JAX's own derivatives, in forward mode too; slower.
    """

    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None
    folded: bool = False
    plain: bool = False
