"""What training, prediction, evaluation and checkpoints ask of a network: any network, not this project's alone."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self, runtime_checkable

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

Variables = Mapping[str, Any]


@flax.struct.dataclass
class SaliencyOutput:
    """The predictions of every output of a network, coarse to final, and the maps that they came from.

    Attributes:
      saliency: logits, one float32 [B, H, W, 1] for each output, at the input's size. The last is the answer.
      classes: logits, one float32 [B, num_classes] for each output; empty without class heads.
      features: named intermediates; of a `DMS` L0 to L4 (backbone), LF, MF, HF (side outputs), F0, F1, ... (steps).
      edges: logits of where masks have their edges, one float32 [B, H, W, 1] for each map of edges that a network is
        supervised with, in training alone; most networks have none.
    """

    saliency: tuple[jax.Array, ...]
    classes: tuple[jax.Array, ...]
    features: dict[str, jax.Array]
    edges: tuple[jax.Array, ...] = ()


@runtime_checkable
class Network(Protocol):
    """A Flax module from images to a `SaliencyOutput`.

    `model.init(key, images, train=False)` and `model.apply(variables, images, train=..., mutable=...)` are Flax's, of
    images float32 [B, H, W, 3], normalised (see `dms_jax.models.preprocessing`). Variables are {"params"}, and
    {"batch_stats"} too where there are running statistics. The network must be hashable.

    Attributes:
      num_classes: image-level classes, the defect-free one included.
      dtype: type of the computation.
      axis_name: device axis over which statistics of the batch are averaged, or None.
    """

    num_classes: int
    dtype: DTypeLike
    axis_name: str | None

    @property
    def num_outputs(self) -> int:
        """Number of saliency maps that it predicts, and is supervised with."""
        ...

    @property
    def has_class_heads(self) -> bool:
        """Whether image-level classes are predicted, and so supervised."""
        ...

    def clone(self, **changes: Any) -> Self:
        """The same network with other fields (Flax's)."""
        ...

    def init(self, rngs: Any, images: jax.Array, *, train: bool) -> Variables:
        """Random variables (Flax's)."""
        ...

    def apply(self, variables: Variables, images: jax.Array, *, train: bool, **options: Any) -> Any:
        """A `SaliencyOutput`; with `mutable`, also the updated collections (Flax's)."""
        ...

    def for_prediction(self) -> "tuple[Network, Callable[[Variables], Variables]]":
        """The network that predicts what this one does, faster, and what makes its variables of this one's.

        A network for which there is no such thing returns itself and a function that returns what it is given.
        """
        ...


def abstract_variables(model: Network | nn.Module, size: int = 64) -> dict[str, Any]:
    """The shapes and types of a network's or a backbone's variables, as it is traced and not run.

    Args:
      model: a Flax module of images [B, H, W, 3] and `train`.
      size: of the sides of the image, on which the shapes of this project's own networks do not depend.
    """
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    return jax.eval_shape(lambda images: model.init(jax.random.key(0), images, train=False), images)
