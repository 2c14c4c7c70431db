"""What each module is called in PyTorch, and here.

A table has one row per module that has parameters. The two formats that pre-trained backbones come in are in
`BACKBONE_FORMATS`; a whole network goes by the names of a plain PyTorch translation of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from dms_jax.models import DMS

Kind = Literal["conv", "biased_conv", "norm", "dense", "prelu"]


@dataclass(frozen=True)
class Row:
    """A module under its two names.

    Attributes:
      theirs: dotted path in PyTorch.
      ours: path of the Flax module, separated by slashes.
      kind: which parameters it has, and how they lie in memory.
    """

    theirs: str
    ours: str
    kind: Kind


@dataclass(frozen=True)
class BackboneFormat:
    """The names of a ResNe(X)t's modules in files of one origin.

    Attributes:
      description: what the files are, for messages.
      stem: rows of the stem.
      stages: what the names of each stage's blocks begin with, followed by the number of the block.
      block: rows of a bottleneck; the shortcut's stand last, which most blocks do not have.
      classifier: the final dense layer, which no backbone needs.
    """

    description: str
    stem: tuple[Row, ...]
    stages: tuple[str, str, str, str]
    block: tuple[Row, ...]
    classifier: str


BACKBONE_FORMATS = {
    "torchvision": BackboneFormat(
        description="torchvision or timm",
        stem=(Row("conv1", "stem_conv", "conv"), Row("bn1", "stem_norm", "norm")),
        stages=("layer1", "layer2", "layer3", "layer4"),
        block=(
            Row("conv1", "conv1", "conv"),
            Row("bn1", "norm1", "norm"),
            Row("conv2", "conv2", "conv"),
            Row("bn2", "norm2", "norm"),
            Row("conv3", "conv3", "conv"),
            Row("bn3", "norm3", "norm"),
            Row("downsample.0", "downsample_conv", "conv"),
            Row("downsample.1", "downsample_norm", "norm"),
        ),
        classifier="fc",
    ),
    # Numbers of nested nn.Sequential: convolution, norm, ReLU, pool, four stages, pool, classifier.
    "lua": BackboneFormat(
        description="converted from Lua Torch",
        stem=(Row("0", "stem_conv", "conv"), Row("1", "stem_norm", "norm")),
        stages=("4", "5", "6", "7"),
        block=(
            Row("0.0.0.0", "conv1", "conv"),
            Row("0.0.0.1", "norm1", "norm"),
            Row("0.0.0.3", "conv2", "conv"),
            Row("0.0.0.4", "norm2", "norm"),
            Row("0.0.1", "conv3", "conv"),
            Row("0.0.2", "norm3", "norm"),
            Row("0.1.0", "downsample_conv", "conv"),
            Row("0.1.1", "downsample_norm", "norm"),
        ),
        classifier="10.1",
    ),
}
_SHORTCUT_ROWS = 2


def backbone_rows(form: BackboneFormat, stage_sizes: Sequence[int]) -> list[Row]:
    """The table of a backbone with so many blocks in each stage; the first block of each has a shortcut of its own."""
    rows = list(form.stem)
    for stage, (prefix, blocks) in enumerate(zip(form.stages, stage_sizes, strict=True), start=1):
        for block in range(blocks):
            present = form.block if block == 0 else form.block[:-_SHORTCUT_ROWS]
            rows += [
                Row(f"{prefix}.{block}.{row.theirs}", f"stage{stage}_block{block + 1}/{row.ours}", row.kind)
                for row in present
            ]
    return rows


def network_rows(model: DMS) -> list[Row]:
    """The table of a whole network.

    The backbone has torchvision's names under `backbone`. The rest: `lf`, `mf`, `hf` (side outputs), `phi.i`
    (transitions), `first` (S0), `residual.i` (the block of step i + 1) and `classify.i` (class heads).
    """
    backbone = backbone_rows(BACKBONE_FORMATS["torchvision"], model.stage_sizes)
    rows = [Row(f"backbone.{row.theirs}", f"backbone/{row.ours}", row.kind) for row in backbone]
    for side in ("lf", "mf", "hf"):
        has_aspp = side == "hf" and model.ablation == "c"
        for i in range(2 if has_aspp else 3):
            rows += _conv_block(f"{side}.{i}", f"side_{side}/block{i + 1}")
        if has_aspp:
            for i, branch in enumerate(("point", "dilated2", "dilated4", "dilated6", "pooled")):
                rows += _conv_block(f"hf.2.branches.{i}", f"side_hf/aspp/{branch}")
            rows += _conv_block("hf.2.fuse", "side_hf/aspp/fuse")
    rows.append(Row("first", "step0/saliency", "biased_conv"))
    for step, entry in enumerate(model.schedule):
        if not entry.startswith("reset "):
            rows += _conv_block(f"phi.{step}", f"step{step}/transition")
        if step:
            rows += _conv_block(f"residual.{step - 1}.0", f"step{step}/residual/block1")
            rows += _conv_block(f"residual.{step - 1}.1", f"step{step}/residual/block2")
            rows.append(Row(f"residual.{step - 1}.2", f"step{step}/residual/saliency", "biased_conv"))
        if model.has_class_heads:
            rows.append(Row(f"classify.{step}", f"step{step}/classes", "dense"))
    return rows


def _conv_block(theirs: str, ours: str) -> Iterator[Row]:
    yield Row(f"{theirs}.0", f"{ours}/conv", "conv")
    yield Row(f"{theirs}.1", f"{ours}/norm", "norm")
    yield Row(f"{theirs}.2", f"{ours}/prelu", "prelu")
