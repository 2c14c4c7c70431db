"""A loss of the edges of masks, for networks that are supervised with them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array


def edge_target(target: Array) -> Array:
    """Where a mask has its edges: pixels in whose 3 x 3 neighbourhood it is not the same everywhere.

    Args:
      target: [B, H, W, 1], 0 or 1. Its border is no edge.

    Returns:
      float32 [B, H, W, 1], 0 or 1: lines of two pixels, one on each side of an edge.
    """
    target = target.astype(jnp.float32)
    window = ((1, 3, 3, 1), (1, 1, 1, 1), "SAME")
    largest = jax.lax.reduce_window(target, np.float32(-np.inf), jax.lax.max, *window)
    smallest = jax.lax.reduce_window(target, np.float32(np.inf), jax.lax.min, *window)
    return largest - smallest


def edge_loss(logits: Array, target: Array, weight: Array | None = None, axis_name: str | None = None) -> Array:
    """Mean over pixels of the class-balanced binary cross-entropy with a mask's edges.

    With the share e of edge pixels in the batch, edges weigh 1 - e and the others e: Xie and Tu, "Holistically-Nested
    Edge Detection", ICCV 2015, eq. 2, as in Zhao et al., "EGNet: Edge Guidance Network", ICCV 2019.

    Args:
      logits: [B, H, W, 1].
      target: the mask, [B, H, W, 1], 0 or 1; see `edge_target`.
      weight: of the pixels, of a shape that broadcasts with [B, H, W, 1]; None for 1. See
        `dms_jax.training.losses.unit_mean`.
      axis_name: the mapped axis whose devices share the batch; None for one device.

    Returns:
      float32 [].
    """
    edge = edge_target(target)
    share = jnp.mean(edge)
    if axis_name is not None:
        share = jax.lax.pmean(share, axis_name)
    balance = jnp.where(edge > 0, 1 - share, share)
    losses = balance * optax.losses.sigmoid_binary_cross_entropy(logits.astype(jnp.float32), edge)
    return jnp.mean(losses if weight is None else weight * losses)
