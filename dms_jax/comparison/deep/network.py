"""What the networks of the comparison share: their fields, and what `dms_jax.models.Network` asks of them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from dms_jax.models.compute import Compute
from dms_jax.models.folding import fold_batch_norm
from dms_jax.models.network import SaliencyOutput, Variables
from dms_jax.ops.resize import map_size, resize_aligned


class ComparisonNetwork(nn.Module):
    """A network from images to saliency maps alone, without image-level classes.

    Attributes:
      num_classes: not used: none of these networks says which defect it is.
      width: factor of all channels that the network's paper gives.
      saliency_prior: where the maps begin, as a probability; see `dms_jax.models.DMS`.
      folded: see `dms_jax.models.DMS`.
      dtype: see there.
      axis_name: see there.
      plain: see there.

    Raises:
      ValueError: `width` is not positive.
    """

    num_classes: int
    width: float = 1.0
    saliency_prior: float | None = None
    folded: bool = False
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None
    plain: bool = False

    # What people call it.
    title: ClassVar[str] = ""
    # Fields of each value of `config.model.size`.
    sizes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"full": {}, "small": {"width": 0.25}}
    # Values of `config.model.backbone`, beside none.
    backbones: ClassVar[Collection[str]] = ()
    # Fields of `config.loss` with its paper's values: by default, the cross-entropy of each map with a weight of 1.
    published_loss: ClassVar[Mapping[str, Any]] = {"iou_weight": 0.0, "ssim_weight": 0.0, "output_weights": ()}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.width > 0:
            raise ValueError(f"width={self.width} must be positive.")

    @property
    def num_outputs(self) -> int:
        """Number of saliency maps."""
        raise NotImplementedError

    @property
    def has_class_heads(self) -> bool:
        """No image-level classes are predicted."""
        return False

    @property
    def compute(self) -> Compute:
        """How the network's modules compute."""
        return Compute(self.dtype, self.axis_name, self.folded, self.plain)

    def for_prediction(self) -> tuple[Self, Callable[[Variables], Variables]]:
        """The same network with its BatchNorm folded, and what folds its variables."""
        return self.clone(folded=True), partial(fold_batch_norm, dtype=self.dtype)

    def __call__(self, images: jax.Array, *, train: bool) -> SaliencyOutput:
        """Predict the saliency of images.

        Args:
          images: float [B, H, W, 3], as `dms_jax.models.preprocessing.normalize` makes them of RGB; any H and W.
          train: BatchNorm uses the batch's statistics, and updates its averages in the collection "batch_stats".

        Returns:
          A `SaliencyOutput` of `num_outputs` maps and no classes.

        Raises:
          ValueError: the images are integers, or of another shape.
        """
        raise NotImplementedError

    def channels(self, published: int) -> int:
        """The channels of a layer for which the paper has `published`."""
        return max(1, round(published * self.width))

    def output(
        self,
        images: jax.Array,
        logits: Sequence[jax.Array],
        features: dict[str, jax.Array],
        edges: Sequence[jax.Array] = (),
    ) -> SaliencyOutput:
        """Logits [B, h, w, 1] of any size, coarse to final, and those of edges, as maps of the images' size."""
        size = map_size(images)

        def enlarged(maps: Sequence[jax.Array]) -> tuple[jax.Array, ...]:
            return tuple(resize_aligned(x.astype(jnp.float32), size, plain=self.plain) for x in maps)

        return SaliencyOutput(enlarged(logits), (), features, enlarged(edges))
