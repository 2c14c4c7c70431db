"""SDMS and BDMS: the backbone, the side outputs and a schedule of refinement steps, with the paper's ablations."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from dms_jax.models.compute import Compute
from dms_jax.models.folding import fold_batch_norm
from dms_jax.models.layers import apply_module
from dms_jax.models.network import SaliencyOutput, Variables
from dms_jax.models.preprocessing import as_input
from dms_jax.models.refinement import ClassPooling, Join, RefinementState, RefinementStep
from dms_jax.models.resnext import ResNeXt
from dms_jax.models.side_outputs import SideOutput
from dms_jax.ops.resize import map_size, resize_aligned

ABLATIONS = ("", "a", "b", "c", "d", "e", "baseline")
CLASS_POOLINGS = ("average", "saliency", "blend")
FEATURE_GROWTHS = ("concat", "reduce")
FROZEN_STATISTICS = ("", "backbone", "all")
SDMS_SCHEDULE = ("HF", "MF", "LF")
BDMS_SCHEDULE = (*SDMS_SCHEDULE, "reset LF", "MF", "HF")
BACKBONE_STRIDES = (4, 4, 8, 16, 32)
_STRIDES = {"LF": 4, "MF": 8, "HF": 16}

# What each named size changes of the defaults.
SIZES: dict[str, dict[str, Any]] = {
    "full": {},
    "lite": {"feature_growth": "reduce"},
    # About a third of the time of full on a CPU (docs/performance.md): ResNeXt-50, and half the channels after it.
    "medium": {
        "feature_growth": "reduce",
        "stage_sizes": (3, 4, 6, 3),
        "side_channels": 128,
        "residual_channels": 64,
    },
    "small": {
        "feature_growth": "reduce",
        "stage_sizes": (1, 1, 1, 1),
        "groups": 1,
        "width_per_group": 64,
        "base_channels": 16,
        "side_channels": 32,
        "residual_channels": 16,
    },
}


class DMS(nn.Module):
    """A deeper and mixed supervision network: `schedule` says which side output each refinement step takes.

    Attributes:
      num_classes: image-level classes, "free" included.
      schedule: side outputs in the order of the steps, each "LF", "MF" or "HF", or "reset LF" for a step that starts
        the features anew (eq. 3) while the saliency map continues.
      ablation: "" for the standard network, or one of Table 2's: "a" no concatenation of features, "b" no class heads,
        "c" ASPP in HF, "d" addition instead of concatenation, "e" no residual refinement, "baseline" a, b and e.
      class_pooling: what the class heads are given of the features: "average", "saliency" or "blend"; see
        `dms_jax.models.refinement.RefinementStep`.
      feature_growth: "concat": a transition keeps all the channels it is given; "reduce": it gives `side_channels`.
      side_channels: channels of each side output.
      residual_channels: channels of the residual refinement blocks.
      stage_sizes: bottlenecks of the backbone's four stages.
      groups: groups of the backbone's 3 x 3 convolutions.
      width_per_group: channels of a group in the backbone's first stage.
      base_channels: channels of the backbone's stem; its stages have 4 to 32 times as many.
      backbone: another backbone than the `ResNeXt` of these four fields: a module from images [B, H, W, 3] to five maps
        at strides of 4, 4, 8, 16 and 32 (sizes rounded up or down), with a keyword `train`. How it computes
        is its own matter.
      saliency_prior: where the first saliency map begins, as a probability: the share of defective pixels in the
        training set. None for 0.5. Without residual refinement all maps begin there.
      frozen_statistics: whose BatchNorm goes by its running statistics in training too, and leaves them as they are:
        nobody's, that of the "backbone", or "all".
      zero_init_residual: each bottleneck of the `ResNeXt` begins as its shortcut; see
        `dms_jax.models.resnext.Bottleneck.zero_init`.
      remat: keep only what the bottlenecks, side outputs and steps hand on; what is inside is computed again for the
        gradient. Less memory, more time, the same numbers.
      folded: every BatchNorm is folded into the convolution before it: a network for prediction, whose variables
        `dms_jax.models.folding.fold_batch_norm` makes.
      dtype: type of the computation; parameters, BatchNorm statistics and logits are float32.
      axis_name: device axis over which BatchNorm averages its statistics; None outside a sharded training step.
      plain: compute everything in the plain formulations, with JAX's own derivatives: slower, and `jax.jvp`,
        `jax.jacfwd` and what builds on them work in training and in prediction.

    Raises:
      ValueError: for a value that is not one of those named here.
    """

    sizes: ClassVar[Mapping[str, Mapping[str, Any]]] = SIZES

    num_classes: int
    schedule: Sequence[str] = BDMS_SCHEDULE
    ablation: Literal["", "a", "b", "c", "d", "e", "baseline"] = ""
    class_pooling: ClassPooling = "average"
    feature_growth: Literal["concat", "reduce"] = "concat"
    side_channels: int = 256
    residual_channels: int = 128
    stage_sizes: Sequence[int] = (3, 4, 23, 3)
    groups: int = 32
    width_per_group: int = 4
    base_channels: int = 64
    backbone: nn.Module | None = None
    saliency_prior: float | None = None
    frozen_statistics: Literal["", "backbone", "all"] = ""
    zero_init_residual: bool = False
    remat: bool = False
    folded: bool = False
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None
    plain: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_classes < 1:
            raise ValueError(f"num_classes={self.num_classes}: at least one class is needed.")
        if self.ablation not in ABLATIONS:
            raise ValueError(f"ablation={self.ablation!r}: known are {', '.join(map(repr, ABLATIONS))}.")
        if self.class_pooling not in CLASS_POOLINGS:
            raise ValueError(f"class_pooling={self.class_pooling!r}: known are {CLASS_POOLINGS}.")
        if self.feature_growth not in FEATURE_GROWTHS:
            raise ValueError(f"feature_growth={self.feature_growth!r}: known are {FEATURE_GROWTHS}.")
        if self.base_channels * self.width_per_group < 64:
            raise ValueError(
                f"base_channels={self.base_channels} and width_per_group={self.width_per_group} leave a group no "
                "channel: their product must be at least 64."
            )
        if self.frozen_statistics not in FROZEN_STATISTICS:
            known = ", ".join(map(repr, FROZEN_STATISTICS))
            raise ValueError(f"frozen_statistics={self.frozen_statistics!r}: known are {known}.")
        if self.zero_init_residual and self.backbone is not None:
            raise ValueError("zero_init_residual=True is not for a backbone of your own: leave it out.")
        if not self.schedule:
            raise ValueError("schedule=(): at least one step is needed.")
        for entry in self.schedule:
            if entry.removeprefix("reset ") not in _STRIDES:
                raise ValueError(f"schedule entry {entry!r}: known are LF, MF, HF and 'reset LF' and so on.")
        if self.schedule[0].startswith("reset "):
            raise ValueError(f"schedule entry {self.schedule[0]!r}: the first step has nothing to reset.")

    @property
    def num_outputs(self) -> int:
        """Number of saliency maps: one for each step of the schedule."""
        return len(self.schedule)

    @property
    def has_class_heads(self) -> bool:
        """Whether image-level classes are predicted, and so supervised."""
        return self.ablation not in ("b", "baseline")

    @property
    def refines(self) -> bool:
        """Whether each step adds to the saliency map of the one before."""
        return self.ablation not in ("e", "baseline")

    @property
    def compute(self) -> Compute:
        """How the network's modules compute."""
        return Compute(self.dtype, self.axis_name, self.folded, self.plain)

    def for_prediction(self) -> tuple["DMS", Callable[[Variables], Variables]]:
        """The same network with its BatchNorm folded, and what folds its variables."""
        keep = () if self.backbone is None else ("backbone",)
        return self.clone(folded=True), partial(fold_batch_norm, dtype=self.dtype, keep=keep)

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> SaliencyOutput:
        """Predict saliency and class of images.

        Args:
          images: float [B, H, W, 3], as `dms_jax.models.preprocessing.normalize` makes them of RGB; any H and W.
          train: BatchNorm uses the batch's statistics, and updates its averages in the collection "batch_stats", but
            where `frozen_statistics` says otherwise.

        Returns:
          A `SaliencyOutput` with as many entries as the schedule.

        Raises:
          ValueError: the images are integers, or of another shape.
        """
        compute = self.compute
        backbone = self.backbone or ResNeXt(
            self.stage_sizes,
            self.groups,
            self.width_per_group,
            self.base_channels,
            self.remat,
            compute,
            self.zero_init_residual,
            name="backbone",
        )
        l0, l1, l2, l3, l4 = backbone(as_input(images, self.dtype), train=train and self.frozen_statistics == "")
        train = train and self.frozen_statistics != "all"
        width = self.side_channels
        aspp = self.ablation == "c"
        run = partial(apply_module, train=train, remat=self.remat)
        sides = {
            "LF": run(SideOutput(width, name="side_lf", compute=compute), l0, l1),
            "MF": run(SideOutput(width, name="side_mf", compute=compute), l2),
            "HF": run(SideOutput(width, aspp=aspp, name="side_hf", compute=compute), l3, l4),
        }
        features = {"L0": l0, "L1": l1, "L2": l2, "L3": l3, "L4": l4, **sides}
        saliency, classes = [], []
        state: RefinementState | None = None
        for i, entry in enumerate(self.schedule):
            following = self.schedule[i + 1].removeprefix("reset ") if i + 1 < len(self.schedule) else None
            size = map_size(sides[following]) if following else None
            state, output = run(self._step(i, following), state, sides[entry.removeprefix("reset ")], size=size)
            features[f"F{i}"] = state.feature
            saliency.append(resize_aligned(output.saliency, map_size(images), plain=self.plain))
            if output.classes is not None:
                classes.append(output.classes)
        return SaliencyOutput(tuple(saliency), tuple(classes), features)

    def _step(self, index: int, following: str | None) -> RefinementStep:
        """Refinement step `index`, which hands on to the side output `following`."""
        stride = min(_STRIDES[entry.removeprefix("reset ")] for entry in self.schedule[: index + 1])
        enlarges = following is not None and _STRIDES[following] < stride
        joins: dict[str, Join] = {"a": "replace", "baseline": "replace", "d": "add"}
        return RefinementStep(
            num_classes=self.num_classes if self.has_class_heads else None,
            class_pooling=self.class_pooling,
            join=joins.get(self.ablation, "concat"),
            reset=self.schedule[index].startswith("reset "),
            transition="transposed" if enlarges else "conv",
            transition_features=self.side_channels if self.feature_growth == "reduce" else None,
            residual_channels=self.residual_channels,
            refine=self.refines,
            saliency_prior=self.saliency_prior if index == 0 or not self.refines else None,
            compute=self.compute,
            name=f"step{index}",
        )


class SDMS(DMS):
    """Single deeper and mixed supervision network: one pass, high to low level, three outputs (section 3.2)."""

    schedule: Sequence[str] = SDMS_SCHEDULE


class BDMS(DMS):
    """Bilateral deeper and mixed supervision network: down and up again, six outputs (section 3.2, eq. 3)."""


NETWORKS: dict[str, type[DMS]] = {"sdms": SDMS, "bdms": BDMS}
