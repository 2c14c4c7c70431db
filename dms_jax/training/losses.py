"""The deeply and mixedly supervised loss of the paper, section 3.3, eqs. 4-5."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import cast

import jax
import jax.numpy as jnp
import optax
from jax import Array


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights of the loss's terms; the defaults are the paper's.

    Attributes:
      saliency_weight: w1, of the pixels' binary cross-entropy.
      class_weight: w2, of the image's cross-entropy.
      output_weights: w_n, one per output, coarse to final; empty means 1 for all.
    """

    saliency_weight: float = 1.0
    class_weight: float = 0.01
    output_weights: tuple[float, ...] = ()


def saliency_loss(logits: Array, target: Array, weight: Array | None = None) -> Array:
    """Mean binary cross-entropy over all pixels, in float32 whatever the logits' type.

    Args:
      logits: [B, H, W, 1].
      target: [B, H, W, 1], 0 or 1.
      weight: float32, of a shape that broadcasts with [B, H, W, 1]; None for 1 everywhere. See `unit_mean`.

    Returns:
      float32 [].

    Raises:
      ValueError: the shapes differ.
    """
    if logits.shape != target.shape:
        raise ValueError(f"Saliency logits {logits.shape} and target {target.shape} differ in shape.")
    losses = optax.losses.sigmoid_binary_cross_entropy(logits.astype(jnp.float32), target.astype(jnp.float32))
    return jnp.mean(losses if weight is None else weight * losses)


def classification_loss(logits: Array, label: Array, weight: Array | None = None) -> Array:
    """Mean cross-entropy over the images, in float32 whatever the logits' type.

    Args:
      logits: [B, K].
      label: integers [B], 0..K - 1; anything where the weight is 0.
      weight: float32 [B]; None for 1 everywhere. See `unit_mean`.

    Returns:
      float32 [].
    """
    label = jnp.clip(label, 0, logits.shape[-1] - 1)
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), label)
    return jnp.mean(losses if weight is None else weight * losses)


def unit_mean(known: Array, axis_name: str | None = None) -> Array:
    """Weights that make a mean over all entries one over those that are known.

    Args:
      known: bool, or weights of 0 and more, of any shape.
      axis_name: the mapped axis whose devices share the batch; None for one device.

    Returns:
      float32 of that shape: `known`, divided by its mean over the whole batch; 0 where nothing is known.
    """
    known = known.astype(jnp.float32)
    mean = jnp.mean(known)
    if axis_name is not None:
        mean = jax.lax.pmean(mean, axis_name)
    return jnp.where(mean > 0, known / jnp.where(mean > 0, mean, 1), 0)


def dms_loss(
    saliency: Sequence[Array],
    classes: Sequence[Array],
    target: Array,
    label: Array,
    config: LossConfig,
    *,
    pixel_weight: Array | None = None,
    label_weight: Array | None = None,
) -> tuple[Array, dict[str, Array]]:
    """The training loss, eqs. 4-5: the sum over outputs n of w_n (w1 BCE_n + w2 CE_n).

    Args:
      saliency: N logits [B, H, W, 1], coarse to final.
      classes: N logits [B, K], or none: a network without mixed supervision has no second term.
      target: [B, H, W, 1], 0 or 1.
      label: integers [B].
      config: w1, w2 and w_n.
      pixel_weight: of the pixels' losses, broadcastable with [B, H, W, 1]; None for 1.
      label_weight: of the images' class losses, [B]; None for 1.

    Returns:
      The loss, float32 [], and metrics to log, float32 [] each: `loss`; `saliency_loss` and, given class logits,
      `class_loss`, which are unweighted means over the outputs; `saliency_loss/<n>` of each output.

    Raises:
      ValueError: the numbers of saliency logits, class logits and output weights differ.
    """
    count = len(saliency)
    weights = tuple(config.output_weights) or (1.0,) * count
    if len(weights) != count:
        raise ValueError(f"output_weights has {len(weights)} weights for a network of {count} outputs.")
    if classes and len(classes) != count:
        raise ValueError(f"{len(classes)} class logits for {count} saliency logits.")

    pixel_losses = [saliency_loss(logits, target, pixel_weight) for logits in saliency]
    class_losses = [classification_loss(logits, label, label_weight) for logits in classes]

    loss = config.saliency_weight * _weighted_sum(weights, pixel_losses)
    metrics = {f"saliency_loss/{n}": value for n, value in enumerate(pixel_losses)}
    metrics["saliency_loss"] = _sum(pixel_losses) / count
    if classes:
        loss = loss + config.class_weight * _weighted_sum(weights, class_losses)
        metrics["class_loss"] = _sum(class_losses) / count
    return loss, {"loss": loss, **metrics}


def _weighted_sum(weights: Sequence[float], losses: Sequence[Array]) -> Array:
    return _sum(weight * loss for weight, loss in zip(weights, losses, strict=True))


def _sum(losses: Iterable[Array]) -> Array:
    # Without losses it would be the number 0: there is one for each output, and no network without outputs.
    return cast(Array, sum(losses))
