"""LSTMs that sweep over a map: Visin et al., "ReNet: A Recurrent Neural Network Based Alternative to CNNs", 2015."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dms_jax.models.compute import Compute
from dms_jax.ops.sharding import as_varying


class LSTM(nn.Module):
    """One layer in one direction: Hochreiter and Schmidhuber, 1997, with forget gates.

    i, f, g, o = x W + h R + b; c' = sigmoid(f) c + sigmoid(i) tanh(g); h' = sigmoid(o) tanh(c'). Parameters are
    `input_kernel` W [C, 4 features], `recurrent_kernel` R [features, 4 features] and `bias` b [4 features].

    Attributes:
      features: of the state.
      reverse: whether it goes from the end to the beginning.
      compute: see `dms_jax.models.compute.Compute`; cells are float32.
    """

    features: int
    reverse: bool = False
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map sequences [N, T, C] to the states [N, T, features]."""
        dtype, count = self.compute.dtype, x.shape[0]
        initial = nn.initializers.lecun_normal()
        kernel = self.param("input_kernel", initial, (x.shape[-1], 4 * self.features)).astype(dtype)
        recurrent = self.param("recurrent_kernel", nn.initializers.orthogonal(), (self.features, 4 * self.features))
        bias = self.param("bias", nn.initializers.zeros_init(), (4 * self.features,)).astype(dtype)
        # All inputs at once: of the products, that with the state alone has to wait for the step before.
        inputs = jnp.einsum("ntc,cd->tnd", x.astype(dtype), kernel) + bias.reshape(1, 1, -1)
        recurrent = recurrent.astype(dtype)

        def step(carry: tuple[jax.Array, jax.Array], given: jax.Array) -> tuple[Any, jax.Array]:
            state, cell = carry
            i, f, g, o = jnp.split((given + state @ recurrent).astype(cell.dtype), 4, axis=-1)
            cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
            state = (jax.nn.sigmoid(o) * jnp.tanh(cell)).astype(dtype)
            return (state, cell), state

        wide = jnp.promote_types(dtype, jnp.float32)
        state, cell = (as_varying(jnp.zeros((count, self.features), kind), inputs) for kind in (dtype, wide))
        _, states = jax.lax.scan(step, (state, cell), inputs, reverse=self.reverse)
        return states.swapaxes(0, 1)


class ReNet(nn.Module):
    """Two LSTMs along the columns of a map, and two along the rows of what these make of it.

    Attributes:
      features: of each LSTM.
      compute: see `dms_jax.models.compute.Compute`.
    """

    features: int = 256
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, H, W, C] to [B, H, W, 2 features], of which each pixel knows of all others."""
        batch, height, width, _ = x.shape
        columns = x.swapaxes(1, 2).reshape(batch * width, height, -1)
        columns = self._both_ways(columns, ("down", "up"))
        rows = columns.reshape(batch, width, height, -1).swapaxes(1, 2).reshape(batch * height, width, -1)
        return self._both_ways(rows, ("right", "left")).reshape(batch, height, width, -1)

    def _both_ways(self, x: jax.Array, names: tuple[str, str]) -> jax.Array:
        parts = [LSTM(self.features, i == 1, self.compute, name=name)(x) for i, name in enumerate(names)]
        return jnp.concatenate(parts, axis=-1)
