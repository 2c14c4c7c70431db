"""The deeply and mixedly supervised loss of the paper, section 3.3, eqs. 4-5."""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import optax
from jax import Array


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights of the loss's terms; the defaults are the paper's.

    Attributes:
        saliency_weight: w1, of the pixels' binary cross-entropy.
        class_weight: w2, of the picture's cross-entropy.
        output_weights: w_n, one per output, coarse to final; empty means 1 for all.
    """

    saliency_weight: float = 1.0
    class_weight: float = 0.01
    output_weights: tuple[float, ...] = ()


def saliency_loss(logits: Array, target: Array) -> Array:
    """Mean binary cross-entropy over all pixels, in float32 whatever the logits' type.

    Args:
        logits: [B, H, W, 1].
        target: [B, H, W, 1], 0 or 1.

    Returns:
        float32 [].

    Raises:
        ValueError: the shapes differ.
    """
    if logits.shape != target.shape:
        raise ValueError(f"Saliency logits {logits.shape} and target {target.shape} differ in shape.")
    losses = optax.losses.sigmoid_binary_cross_entropy(logits.astype(jnp.float32), target.astype(jnp.float32))
    return jnp.mean(losses)


def classification_loss(logits: Array, label: Array) -> Array:
    """Mean cross-entropy over the pictures, in float32 whatever the logits' type.

    Args:
        logits: [B, K].
        label: integers [B], 0..K - 1.

    Returns:
        float32 [].
    """
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), label)
    return jnp.mean(losses)


def dms_loss(
    saliency: Sequence[Array],
    classes: Sequence[Array],
    target: Array,
    label: Array,
    config: LossConfig,
) -> tuple[Array, dict[str, Array]]:
    """The training loss, eqs. 4-5: the sum over outputs n of w_n (w1 BCE_n + w2 CE_n).

    Args:
        saliency: N logits [B, H, W, 1], coarse to final.
        classes: N logits [B, K], or none: a network without mixed supervision has no second term.
        target: [B, H, W, 1], 0 or 1.
        label: integers [B].
        config: w1, w2 and w_n.

    Returns:
        The loss, float32 [], and figures to log, float32 [] each: `loss`; `saliency_loss` and, given class
        logits, `class_loss`, which are unweighted means over the outputs; `saliency_loss/<n>` of each output.

    Raises:
        ValueError: the numbers of saliency logits, class logits and output weights differ.
    """
    count = len(saliency)
    weights = tuple(config.output_weights) or (1.0,) * count
    if len(weights) != count:
        raise ValueError(f"output_weights has {len(weights)} weights for a network of {count} outputs.")
    if classes and len(classes) != count:
        raise ValueError(f"{len(classes)} class logits for {count} saliency logits.")

    pixel_losses = [saliency_loss(logits, target) for logits in saliency]
    class_losses = [classification_loss(logits, label) for logits in classes]

    loss = config.saliency_weight * _weighted_sum(weights, pixel_losses)
    metrics = {f"saliency_loss/{n}": value for n, value in enumerate(pixel_losses)}
    metrics["saliency_loss"] = sum(pixel_losses) / count
    if classes:
        loss = loss + config.class_weight * _weighted_sum(weights, class_losses)
        metrics["class_loss"] = sum(class_losses) / count
    return loss, {"loss": loss, **metrics}


def _weighted_sum(weights: Sequence[float], losses: Sequence[Array]) -> Array:
    return sum(weight * loss for weight, loss in zip(weights, losses, strict=True))
