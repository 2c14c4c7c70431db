"""What a training step differentiates: a batch, transformed at random, and the loss of a network on it.

To be called under `jax.shard_map` over the axis "data": see `dms_jax.training.step`.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dms_jax.data.image_files import DEFECT_THRESHOLD, IGNORED
from dms_jax.models.network import Network
from dms_jax.models.preprocessing import normalize
from dms_jax.runtime.devices import DATA_AXIS, Batch
from dms_jax.training.augment import AugmentConfig, augment_batch, content_batch, example_keys
from dms_jax.training.losses import LossConfig, dms_loss, unit_mean
from dms_jax.training.paste import paste_defects


class StepInputs(NamedTuple):
    """What a network sees of a batch in one step, and what it is to learn from it.

    Attributes:
      images: float32 [b, S, S, 3], normalised.
      targets: float32 [b, S, S, 1], 0 or 1.
      labels: int32 [b], -1 where unknown, below for `dms_jax.training.losses.any_but` a class.
      pixels: which pixels count, bool [b, S, S, 1] or [b, 1, 1, 1].
      pixel_weight: those as weights whose mean over the whole batch is 1.
      label_weight: the same of the labels, by how much is known of them.
    """

    images: jax.Array
    targets: jax.Array
    labels: jax.Array
    pixels: jax.Array
    pixel_weight: jax.Array
    label_weight: jax.Array


@dataclass(frozen=True)
class Objective:
    """The loss of a network in training.

    The attributes are arguments of `dms_jax.training.step.make_train_step`, and so is what is said there of a batch.
    """

    model: Network
    loss: LossConfig
    augment: AugmentConfig
    seed: int
    ignores: bool = False

    def inputs(self, step: jax.Array, batch: Batch) -> StepInputs:
        """What the network sees of a batch, this device's rows of it, after so many steps."""
        augment = self.augment
        local = batch["label"].shape[0]
        positions = jax.lax.axis_index(DATA_AXIS) * local + jnp.arange(local)
        keys = example_keys(batch["seed"][0] if "seed" in batch else self.seed, step, positions)
        if augment.paste > 0:
            batch = paste_defects(batch, keys, augment.paste, DATA_AXIS)
        given, counted = batch["mask"], None
        if self.ignores:
            ignored, given = given == IGNORED, jnp.where(given == IGNORED, jnp.uint8(0), given)
            # They move with the image, and what they touch is ignored too.
            moved = augment_batch(keys, batch["image"], jnp.where(ignored, jnp.uint8(255), jnp.uint8(0)), augment)[1]
            counted = moved <= 0
        images, masks = augment_batch(keys, batch["image"], given, augment)
        images, targets = normalize(images), (masks > DEFECT_THRESHOLD).astype(jnp.float32)
        pixels = _counted_pixels(batch, keys, augment, counted)
        pixel_weight, label_weight = unit_mean(pixels, DATA_AXIS), unit_mean(self._known(batch["label"]), DATA_AXIS)
        return StepInputs(images, targets, batch["label"], pixels, pixel_weight, label_weight)

    def _known(self, labels: jax.Array) -> jax.Array:
        """How much each image counts in the class term."""
        # One class has no other.
        pasted = self.loss.pasted_weight if self.model.num_classes > 1 else 0.0
        return jnp.where(labels < -1, pasted, labels >= 0)

    def loss_of(
        self, params: Any, batch_stats: Any, inputs: StepInputs
    ) -> tuple[jax.Array, tuple[dict[str, jax.Array], Any]]:
        """The loss over the whole batch, and with it the metrics of the step and the next running statistics.

        Among the metrics of a network with class heads is `labelled`: 1 if an image has a label that can be missed,
        else 0.
        """
        variables = {"params": params, "batch_stats": batch_stats}
        output, updates = self.model.apply(variables, inputs.images, train=True, mutable=["batch_stats"])
        value, measured = dms_loss(
            output.saliency,
            output.classes,
            inputs.targets,
            inputs.labels,
            self.loss,
            pixel_weight=inputs.pixel_weight,
            label_weight=inputs.label_weight,
            counted=inputs.pixels,
            axis_name=DATA_AXIS,
            edges=output.edges,
        )
        if output.classes:
            hits = jnp.argmax(output.classes[-1], axis=-1) == inputs.labels
            # A single class cannot be missed: no accuracy, as in evaluation.
            weight = unit_mean((inputs.labels >= 0) & (self.model.num_classes > 1), DATA_AXIS)
            measured |= {"accuracy": jnp.mean(weight * hits), "labelled": jnp.mean(weight)}
        # The mean over the devices is taken of the loss, inside of what is differentiated: the sum of the devices'
        # gradients is then that of the whole batch.
        return jax.lax.pmean(value, DATA_AXIS), (
            jax.lax.pmean(measured, DATA_AXIS),
            updates.get("batch_stats", {}),
        )


def _counted_pixels(batch: Batch, keys: jax.Array, augment: AugmentConfig, counted: jax.Array | None) -> jax.Array:
    """Which pixels count, bool [B, H, W, 1] (or [B, 1, 1, 1]): known, inside of the content, and not ignored."""
    known = jnp.ones(batch["label"].shape, bool) if "has_mask" not in batch else batch["has_mask"]
    pixels = known[:, None, None, None]
    if "content" in batch:
        pixels = pixels & content_batch(keys, batch["content"], batch["image"].shape[1:3], augment)
    if counted is not None:
        pixels = pixels & counted
    return pixels
