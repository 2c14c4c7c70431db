"""The deeply and mixedly supervised loss of the paper, section 3.3, eqs. 4-5, and terms that may be added to it."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import cast

import jax
import jax.numpy as jnp
import optax
from jax import Array

from dms_jax.training.edges import edge_loss
from dms_jax.training.regions import soft_iou_loss, ssim_loss

IOU_ON = ("all", "defective")


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights of the loss's terms; the defaults are the paper's.

    Attributes:
      saliency_weight: w1, of the pixels' binary cross-entropy.
      class_weight: w2, of the image's cross-entropy.
      output_weights: w_n, one per output, coarse to final; empty means 1 for all.
      iou_weight: of `dms_jax.training.regions.soft_iou_loss`.
      iou_on: images that it counts on: "all", or the "defective" ones, whose mask has a defective pixel that counts.
      ssim_weight: of `dms_jax.training.regions.ssim_loss`.
      edge_weight: of each `dms_jax.training.edges.edge_loss`, for a network that gives maps of edges; others have none.
      pasted_weight: of an image with a pasted defect in the class term, where one of a known class has 1: that it is
        not of the class that it was.
    """

    saliency_weight: float = 1.0
    class_weight: float = 0.01
    output_weights: tuple[float, ...] = ()
    iou_weight: float = 0.0
    iou_on: str = "all"
    ssim_weight: float = 0.0
    edge_weight: float = 1.0
    pasted_weight: float = 0.0

    @property
    def has_region_terms(self) -> bool:
        """Whether a term is about an image as a whole, and needs to know which pixels count."""
        return self.iou_weight > 0 or self.ssim_weight > 0


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
      label: integers [B]: a class 0..K - 1, or `any_but` a class; anything where the weight is 0.
      weight: float32 [B]; None for 1 everywhere. See `unit_mean`.

    Returns:
      float32 []: the mean of -log p_k, and of -log(1 - p_k) for any class but k.
    """
    logits = logits.astype(jnp.float32)
    of_class = optax.losses.softmax_cross_entropy_with_integer_labels(logits, jnp.clip(label, 0, logits.shape[-1] - 1))
    losses = of_class
    if logits.shape[-1] > 1:
        excluded = jax.nn.one_hot(any_but(label), logits.shape[-1], dtype=bool)
        of_others = jax.nn.logsumexp(logits, -1) - jax.nn.logsumexp(logits, -1, where=~excluded)
        losses = jnp.where(label < -1, of_others, of_class)
    return jnp.mean(losses if weight is None else weight * losses)


def any_but(label: Array) -> Array:
    """The label of an image of any class but this one, and back; -1, an unknown class, stays as it is."""
    return -2 - label


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
    counted: Array | None = None,
    axis_name: str | None = None,
    edges: Sequence[Array] = (),
) -> tuple[Array, dict[str, Array]]:
    """The training loss: the sum over outputs n of w_n (w1 BCE_n + w2 CE_n + iou_weight IoU_n + ssim_weight SSIM_n).

    The first two terms are eqs. 4-5; the others are those of `dms_jax.training.regions`, 0 by default. Each map of
    edges adds edge_weight times its `dms_jax.training.edges.edge_loss`.

    Args:
      saliency: N logits [B, H, W, 1], coarse to final.
      classes: N logits [B, K], or none: a network without mixed supervision has no second term.
      target: [B, H, W, 1], 0 or 1.
      label: integers [B].
      config: the weights.
      pixel_weight: of the pixels' losses, broadcastable with [B, H, W, 1]; None for 1.
      label_weight: of the images' class losses, [B]; None for 1.
      counted: bool, broadcastable with [B, H, W, 1]: the pixels that the terms about whole images see; None for all.
      axis_name: the mapped axis whose devices share the batch, over which these terms' means are taken; None for one
        device.
      edges: logits [B, H, W, 1] of the target's edges, of a network that gives such.

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
    if config.has_region_terms:
        region_losses = _region_losses(saliency, target, config, counted, axis_name)
        loss = loss + _weighted_sum(weights, region_losses)
    if edges and config.edge_weight > 0:
        edge_losses = [edge_loss(logits, target, pixel_weight, axis_name) for logits in edges]
        loss = loss + config.edge_weight * _sum(edge_losses)
    if classes:
        loss = loss + config.class_weight * _weighted_sum(weights, class_losses)
        metrics["class_loss"] = _sum(class_losses) / count
    return loss, {"loss": loss, **metrics}


def _region_losses(
    saliency: Sequence[Array], target: Array, config: LossConfig, counted: Array | None, axis_name: str | None
) -> list[Array]:
    """The weighted terms about whole images, summed, of each output."""
    counted = jnp.ones(target.shape, bool) if counted is None else jnp.broadcast_to(counted, target.shape)
    images = jnp.any(counted, axis=(1, 2, 3))
    losses = [jnp.zeros((), jnp.float32)] * len(saliency)
    if config.iou_weight > 0:
        chosen = images if config.iou_on == "all" else jnp.any(counted & (target > 0), axis=(1, 2, 3))
        weight = unit_mean(chosen, axis_name)
        terms = [soft_iou_loss(logits, target, counted, weight) for logits in saliency]
        losses = [loss + config.iou_weight * term for loss, term in zip(losses, terms, strict=True)]
    if config.ssim_weight > 0:
        weight = unit_mean(images, axis_name)
        terms = [ssim_loss(logits, target, counted, weight) for logits in saliency]
        losses = [loss + config.ssim_weight * term for loss, term in zip(losses, terms, strict=True)]
    return losses


def _weighted_sum(weights: Sequence[float], losses: Sequence[Array]) -> Array:
    return _sum(weight * loss for weight, loss in zip(weights, losses, strict=True))


def _sum(losses: Iterable[Array]) -> Array:
    # Without losses it would be the number 0: there is one for each output, and no network without outputs.
    return cast(Array, sum(losses))
