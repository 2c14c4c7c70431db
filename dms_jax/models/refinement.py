"""The refinement loop: a state, and one step that takes the state and a side output to the next (the paper's eqs. 2-3).

A network is a sequence of such steps. Each can be run by itself, in any order and as often as wanted:

    step = RefinementStep(num_classes=6, transition="conv")
    state, output = step.apply(variables, state, side, train=False)
"""

from typing import Literal

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from dms_jax.models.compute import Compute
from dms_jax.models.layers import ConvBlock, TransposedConvBlock, prior_logit
from dms_jax.ops.resize import map_size, resize_aligned

ClassPooling = Literal["average", "saliency", "blend"]
Join = Literal["concat", "add", "replace"]
Transition = Literal["conv", "transposed", "none"]


@flax.struct.dataclass
class RefinementState:
    """What one step hands to the next.

    Attributes:
      feature: F, [B, h, w, C], in the type of the computation.
      saliency: the logits S, float32 [B, h', w', 1]; of F's size or, before a step enlarges them, smaller.
    """

    feature: jax.Array
    saliency: jax.Array


@flax.struct.dataclass
class StepOutput:
    """What one step predicts.

    Attributes:
      saliency: logits S_i, float32 [B, h, w, 1].
      classes: logits, float32 [B, num_classes]; None without a class head.
    """

    saliency: jax.Array
    classes: jax.Array | None


class ResidualRefinementBlock(nn.Module):
    """r: C(3, 128), C(3, 128) and a 1 x 1 convolution with bias to one channel of logits (Deng et al., R3Net, 2018).

    Attributes:
      features: channels of the two blocks.
      saliency_prior: see `SaliencyHead`.
      compute: see `dms_jax.models.compute.Compute`.
    """

    features: int = 128
    saliency_prior: float | None = None
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, feature: jax.Array, saliency: jax.Array | None, *, train: bool) -> jax.Array:
        """Map feature [B, h, w, C] and logits [B, h, w, 1], or feature alone, to float32 logits [B, h, w, 1]."""
        maps = (feature,) if saliency is None else (feature, saliency)
        x = ConvBlock(self.features, 3, name="block1", compute=self.compute)(*maps, train=train)
        x = ConvBlock(self.features, 3, name="block2", compute=self.compute)(x, train=train)
        return SaliencyHead(self.saliency_prior, name="saliency")(x)


class SaliencyHead(nn.Module):
    """1 x 1 convolution with bias to one channel of float32 logits.

    Parameters `kernel` [1, 1, C, 1] and `bias` [1] are those of `flax.linen.Conv`. With one output channel it is a sum,
    which no convolution's kernel computes well.

    Attributes:
      prior: where the map begins, as a probability, 0..1, kept away from both ends: the bias is its logit at first. The
        share of defective pixels in the training set spares training from unlearning that half of all pixels are
        defective (Lin et al., "Focal Loss", 2017, section 3.3). None for 0.5.
    """

    prior: float | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map [B, h, w, C] to float32 [B, h, w, 1]."""
        # He's scale on a single output channel would start the logits at a spread of about ten. A small one lets them
        # start at their bias, and every refinement at the map that it refines.
        kernel = self.param("kernel", nn.initializers.normal(0.01), (1, 1, x.shape[-1], 1))
        bias = self.param("bias", nn.initializers.constant(prior_logit(self.prior)), (1,))
        return jnp.sum(x.astype(jnp.float32) * kernel[..., 0][None], axis=-1, keepdims=True) + bias.reshape(1, 1, 1, 1)


def pool_by_saliency(feature: jax.Array, saliency: jax.Array, nothing: jax.Array | float = 0.0) -> jax.Array:
    """What a feature is where the map is: (sum(s F) + n) / (1 + sum(s)), s the map's probabilities.

    The global average of an image with a defect of a few pixels is that of the same surface without it. This is the
    average over the defect, in which n weighs as much as one pixel, and about n itself where the map shows none.
    The map is taken as it is: what is made of this teaches the feature, and not the map.

    Args:
      feature: [B, h, w, C].
      saliency: logits, [B, h, w, 1].
      nothing: n, what is seen where the map is black: [B, C], or a number.

    Returns:
      float32 [B, C].
    """
    weight = jax.lax.stop_gradient(nn.sigmoid(saliency.astype(jnp.float32)))
    seen = jnp.sum(weight * feature.astype(jnp.float32), axis=(1, 2))
    return (seen + nothing) / (1 + jnp.sum(weight, axis=(1, 2)))


class RefinementStep(nn.Module):
    """One step of the loop: F_i = phi(join(F_{i-1}, side)), S_i = up(S_{i-1}) + r(cat(F_i, up(S_{i-1}))).

    The first step of all gets `None` for a state: F_0 = phi(side) and S_0 is a 1 x 1 convolution of F_0. Side outputs
    and features that are smaller than the other are brought to its size first.

    Attributes:
      num_classes: outputs of the class head on F, pooled; None for no head (ablation B).
      class_pooling: of what the head is given: "average", the global average of F, as in the paper; "saliency", F where
        the map is and 0 where it shows nothing (`pool_by_saliency`); "blend", the average instead of that 0.
      join: "concat" along channels; "add" (ablation D); "replace": F_{i-1} is not used (ablation A).
      reset: F_i is the side output itself: no join and no transition (eq. 3, i = 3). S continues.
      transition: phi: "conv", a 3 x 3 block; "transposed", a 4 x 4 block of stride 2 where the next side output is
        larger; "none".
      transition_features: output channels of phi; None keeps those of its input.
      residual_channels: channels of the residual refinement block.
      refine: False gives S_i = r(F_i) (ablation E).
      saliency_prior: where a map that is not added to another begins; see `SaliencyHead`.
      compute: see `dms_jax.models.compute.Compute`.
    """

    num_classes: int | None
    class_pooling: ClassPooling = "average"
    join: Join = "concat"
    reset: bool = False
    transition: Transition = "conv"
    transition_features: int | None = None
    residual_channels: int = 128
    refine: bool = True
    saliency_prior: float | None = None
    compute: Compute = Compute()

    @nn.compact
    def __call__(
        self,
        state: RefinementState | None,
        side: jax.Array,
        size: tuple[int, int] | None = None,
        *,
        train: bool,
    ) -> tuple[RefinementState, StepOutput]:
        """Advance the state by one side output.

        Args:
          state: F [B, h, w, C] and S of the step before, or None at the beginning.
          side: [B, h', w', D].
          size: what a "transposed" transition enlarges F to: the size of the next side output. None: twice as large.
          train: BatchNorm uses the batch's statistics and updates its averages.

        Returns:
          The next state and this step's output.
        """
        feature = self._transition(self._join(state, side), size, train)
        if state is None:
            saliency = SaliencyHead(self.saliency_prior, name="saliency")(feature)
        else:
            before = self._resize(state.saliency, map_size(feature))
            block = ResidualRefinementBlock(
                self.residual_channels, self.saliency_prior, compute=self.compute, name="residual"
            )
            if self.refine:
                saliency = before + block(feature, before, train=train)
            else:
                saliency = block(feature, None, train=train)
        classes = None
        if self.num_classes is not None:
            if self.class_pooling == "saliency":
                pooled = pool_by_saliency(feature, saliency)
            else:
                pooled = jnp.mean(feature, axis=(1, 2), dtype=jnp.float32)
            if self.class_pooling == "blend":
                pooled = pool_by_saliency(feature, saliency, pooled)
            classes = nn.Dense(self.num_classes, name="classes")(pooled)
        return RefinementState(feature, saliency), StepOutput(saliency, classes)

    def _join(self, state: RefinementState | None, side: jax.Array) -> jax.Array:
        if state is None:
            return side
        before = state.feature
        size = (max(before.shape[1], side.shape[1]), max(before.shape[2], side.shape[2]))
        side = self._resize(side, size)
        if self.reset or self.join == "replace":
            return side
        before = self._resize(before, size)
        return before + side if self.join == "add" else jnp.concatenate((before, side), axis=-1)

    def _resize(self, x: jax.Array, size: tuple[int, int]) -> jax.Array:
        return resize_aligned(x, size, plain=self.compute.plain)

    def _transition(self, x: jax.Array, size: tuple[int, int] | None, train: bool) -> jax.Array:
        if self.reset or self.transition == "none":
            return x
        features = self.transition_features or x.shape[-1]
        if self.transition == "transposed":
            return TransposedConvBlock(features, self.compute, name="transition")(x, size, train=train)
        return ConvBlock(features, 3, compute=self.compute, name="transition")(x, train=train)
