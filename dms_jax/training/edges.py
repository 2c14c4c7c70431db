"""A loss of the edges of masks, for networks that are supervised with them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array


def edge_target(target: Array, counted: Array | None = None) -> Array:
    """Where a mask has its edges: pixels in whose 3 x 3 neighbourhood it is not the same everywhere.

    Args:
      target: [B, H, W, 1], 0 or 1. Its border is no edge.
      counted: bool, of a shape that broadcasts with [B, H, W, 1]: of the others nothing is known, so that neither are
        they edges, nor is what borders on them for that alone; None for all.

    Returns:
      float32 [B, H, W, 1], 0 or 1: lines of two pixels, one on each side of an edge.
    """
    target = target.astype(jnp.float32)
    counted = jnp.ones((1, 1, 1, 1), bool) if counted is None else counted
    window = ((1, 3, 3, 1), (1, 1, 1, 1), "SAME")
    largest = jax.lax.reduce_window(jnp.where(counted, target, 0), np.float32(-np.inf), jax.lax.max, *window)
    smallest = jax.lax.reduce_window(jnp.where(counted, target, 1), np.float32(np.inf), jax.lax.min, *window)
    return jnp.where(counted, largest - smallest, 0)


def edge_loss(logits: Array, target: Array, weight: Array | None = None, axis_name: str | None = None) -> Array:
    """Mean over pixels of the class-balanced binary cross-entropy with a mask's edges.

    With the share e of edges among the batch's pixels, edges weigh 1 - e and the others e: Xie and Tu,
    "Holistically-Nested Edge Detection", ICCV 2015, eq. 2, as in Zhao et al., "EGNet: Edge Guidance Network", ICCV
    2019. Pixels that weigh nothing are in neither, and make no edges of others.

    Args:
      logits: [B, H, W, 1].
      target: the mask, [B, H, W, 1], 0 or 1; see `edge_target`.
      weight: of the pixels, of a shape that broadcasts with [B, H, W, 1]; None for 1. See
        `dms_jax.training.losses.unit_mean`.
      axis_name: the mapped axis whose devices share the batch; None for one device.

    Returns:
      float32 [].
    """
    weight = jnp.ones((1, 1, 1, 1)) if weight is None else weight
    edge = edge_target(target, weight > 0)
    share = jnp.mean(weight * edge)
    if axis_name is not None:
        share = jax.lax.pmean(share, axis_name)
    balance = jnp.where(edge > 0, 1 - share, share)
    losses = balance * optax.losses.sigmoid_binary_cross_entropy(logits.astype(jnp.float32), edge)
    return jnp.mean(weight * losses)
