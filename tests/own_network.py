"""What a network of somebody's own has besides what it computes: one map, and no class heads."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn


class OwnNetwork(nn.Module):
    """See `dms_jax.models.network.Network`; `__call__` is for the test to say."""

    num_classes: int = 2
    dtype: Any = jnp.float32
    axis_name: str | None = None

    num_outputs = 1
    has_class_heads = False

    def for_prediction(self) -> Any:
        """Nothing is folded."""
        return self, lambda variables: variables
