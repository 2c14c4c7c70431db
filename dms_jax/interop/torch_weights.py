"""Parameters between PyTorch's layout and ours, by a table of names and strict in both directions."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flax.traverse_util
import numpy as np

from dms_jax.errors import UserError, some_names
from dms_jax.interop.torch_names import BACKBONE_FORMATS, BackboneFormat, Kind, Row, backbone_rows
from dms_jax.models.network import abstract_variables
from dms_jax.models.resnext import ResNeXt

# So many names are in an error; the others are counted.
_NAMED = 5
_NORM_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class _Leaf:
    """One tensor of a module: its name and layout there and here."""

    theirs: str
    collection: str
    ours: str
    bring: Callable[[np.ndarray], np.ndarray] = np.asarray
    give: Callable[[np.ndarray], np.ndarray] = np.asarray


# [O, I, h, w] and [h, w, I, O]; a transposed kernel [I, O, h, w] and [h, w, O, I] swap in the same way.
_KERNEL = _Leaf("weight", "params", "kernel", lambda w: w.transpose(2, 3, 1, 0), lambda k: k.transpose(3, 2, 0, 1))
_BIAS = _Leaf("bias", "params", "bias")
_LEAVES: dict[Kind, tuple[_Leaf, ...]] = {
    "conv": (_KERNEL,),
    "biased_conv": (_KERNEL, _BIAS),
    "dense": (_Leaf("weight", "params", "kernel", np.transpose, np.transpose), _BIAS),
    "norm": (
        _Leaf("weight", "params", "scale"),
        _BIAS,
        _Leaf("running_mean", "batch_stats", "mean"),
        _Leaf("running_var", "batch_stats", "var"),
    ),
    # One slope: [1] there, [] here.
    "prelu": (_Leaf("weight", "params", "negative_slope", lambda w: w.reshape(()), lambda s: s.reshape(1)),),
}


@dataclass(frozen=True, eq=False)
class ImportedBackbone:
    """A backbone out of a PyTorch file.

    Attributes:
      variables: {"params", "batch_stats"} of a `ResNeXt`, float32.
      architecture: the fields of that `ResNeXt`: stage_sizes, groups, width_per_group, base_channels.
      form: key of `BACKBONE_FORMATS`.
      left_alone: names of the tensors that a backbone does not need.
    """

    variables: dict[str, Any]
    architecture: dict[str, Any]
    form: str
    left_alone: tuple[str, ...]


def import_backbone(tensors: Mapping[str, np.ndarray], prefix: str | None = None) -> ImportedBackbone:
    """Turn a state dict into the variables of a `ResNeXt`, whose architecture is read off the shapes.

    The format is recognised by the names, which may all stand under a prefix ("module.", "backbone."). What lies
    outside of the prefix, the classifier and BatchNorm's counters are left alone; any other tensor must have its place.

    Args:
      tensors: name to tensor, floating point ones in float32.
      prefix: what stands before the names of the backbone, such as "module.encoder_q"; None where there is but one.

    Raises:
      UserError: the format is unknown, there are several backbones, a tensor is missing, left over or of another shape
        than its place; the message names it.
    """
    name, prefix = _find_format(tensors, prefix)
    form = BACKBONE_FORMATS[name]
    inside = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
    architecture = _read_architecture(inside, form)
    rows = backbone_rows(form, architecture["stage_sizes"])
    variables, used = to_variables(inside, rows, abstract_variables(ResNeXt(**architecture)))
    rest = [key for key in inside if key not in used]
    surplus = [key for key in rest if not key.startswith(f"{form.classifier}.") and not key.endswith(_NORM_COUNTER)]
    if surplus:
        raise UserError(
            f"{some_names(surplus, _NAMED)} of the file has no place in a ResNet or ResNeXt ({form.description} names):"
            " import a file of a plain one, without attention or a deeper stem."
        )
    outside = [key for key in tensors if not key.startswith(prefix)]
    left_alone = (*outside, *(prefix + key for key in rest))
    return ImportedBackbone(variables, architecture, name, left_alone)


def to_variables(
    tensors: Mapping[str, np.ndarray], rows: Sequence[Row], shapes: Mapping[str, Any]
) -> tuple[dict[str, Any], set[str]]:
    """Bring PyTorch's tensors to their places.

    Args:
      tensors: name to tensor.
      rows: names of the modules.
      shapes: the variables that are to be filled, as anything that has a shape.

    Returns:
      The variables, float32 throughout, and the names of the tensors that went into them.

    Raises:
      UserError: a tensor is missing or not of floating point, or its shape is not that of its place; the message
        names both.
      ValueError: the rows do not fill the variables.
    """
    wanted = flax.traverse_util.flatten_dict(dict(shapes), sep="/")
    filled, used = {}, set()
    for row in rows:
        for leaf in _LEAVES[row.kind]:
            theirs, ours = f"{row.theirs}.{leaf.theirs}", f"{leaf.collection}/{row.ours}/{leaf.ours}"
            if theirs not in tensors:
                raise UserError(f"{theirs} is missing in the file, which {ours} needs: name a file of whole weights.")
            tensor = tensors[theirs]
            expected = leaf.give(np.broadcast_to(np.float32(0), wanted[ours].shape)).shape
            if tensor.shape != expected:
                raise UserError(
                    f"{theirs} of the file is {list(tensor.shape)}, but {ours} takes {list(expected)} (in PyTorch's "
                    "order): the file is of another network."
                )
            if not np.issubdtype(tensor.dtype, np.floating):
                raise UserError(
                    f"{theirs} of the file is {tensor.dtype}, but {ours} takes floating point: name a file of whole "
                    "weights."
                )
            filled[ours] = np.array(leaf.bring(tensor), np.float32, order="C")
            used.add(theirs)
    if filled.keys() != wanted.keys():
        raise ValueError(f"no row of the table fills {some_names(sorted(wanted.keys() - filled.keys()), _NAMED)}.")
    return flax.traverse_util.unflatten_dict(filled, sep="/"), used


def to_tensors(variables: Mapping[str, Any], rows: Sequence[Row], *, batches: int = 0) -> dict[str, np.ndarray]:
    """Give variables PyTorch's names and layout.

    Args:
      variables: {"params", "batch_stats"}.
      rows: names of the modules.
      batches: what BatchNorm's counters say.

    Returns:
      Name to tensor, complete for a strict `load_state_dict`.

    Raises:
      ValueError: a variable has no row, or a row no variable.
    """
    left = flax.traverse_util.flatten_dict(dict(variables), sep="/")
    tensors = {}
    for row in rows:
        for leaf in _LEAVES[row.kind]:
            ours = f"{leaf.collection}/{row.ours}/{leaf.ours}"
            if ours not in left:
                raise ValueError(f"{ours}, which the table names, is no variable of the network.")
            tensors[f"{row.theirs}.{leaf.theirs}"] = np.array(leaf.give(np.asarray(left.pop(ours))), order="C")
        if row.kind == "norm":
            tensors[f"{row.theirs}.{_NORM_COUNTER}"] = np.array(batches, np.int64)
    if left:
        raise ValueError(f"no row of the table names {some_names(sorted(left), _NAMED)}.")
    return tensors


def _find_format(tensors: Mapping[str, np.ndarray], wanted: str | None) -> tuple[str, str]:
    """The format whose first bottleneck is there, and what stands before all of its names."""
    found: dict[str, str] = {}
    for name, form in BACKBONE_FORMATS.items():
        first = f"{form.stages[0]}.0.{form.block[0].theirs}.weight"
        for key in tensors:
            prefix = key.removesuffix(first)
            # Of nested numbers, the ending alone says little: the stem must be there too.
            if key.endswith(first) and f"{prefix}{form.stem[0].theirs}.weight" in tensors and prefix[-1:] in ("", "."):
                found.setdefault(prefix, name)
    if wanted is not None:
        prefix = wanted and wanted.removesuffix(".") + "."
        if prefix not in found:
            raise UserError(
                f"the file has no backbone under {wanted!r}, but under {_prefixes(found)}: name one of them."
            )
        return found[prefix], prefix
    if len(found) > 1:
        raise UserError(
            f"the file has {len(found)} backbones, under {_prefixes(found)}: say which one with --prefix, such as "
            f"--prefix={next(filter(None, found)).removesuffix('.')}."
        )
    if found:
        prefix, name = found.popitem()
        return name, prefix
    known = " or ".join(form.description for form in BACKBONE_FORMATS.values())
    raise UserError(
        f"the file has no backbone with names of {known} (it begins with {some_names(list(tensors), 3)}): import a "
        "ResNet or ResNeXt of bottlenecks, such as resnext101_32x4d."
    )


def _read_architecture(tensors: Mapping[str, np.ndarray], form: BackboneFormat) -> dict[str, Any]:
    """The fields of the `ResNeXt` that the tensors are of."""

    def blocks(prefix: str) -> int:
        count = 0
        while f"{prefix}.{count}.{form.block[0].theirs}.weight" in tensors:
            count += 1
        return count

    def kernel(name: str) -> tuple[int, ...]:
        shape = tensors[name].shape if name in tensors else ()
        if len(shape) != 4 or 0 in shape:
            found = f"is {list(shape)}" if name in tensors else "is missing"
            raise UserError(f"{name} of the file {found}, not a kernel of a convolution: name a file of a ResNet.")
        return shape

    stage_sizes = tuple(map(blocks, form.stages))
    if 0 in stage_sizes:
        absent = form.stages[stage_sizes.index(0)]
        raise UserError(
            f"{absent}.0.{form.block[0].theirs}.weight is missing in the file: name a file of whole weights."
        )
    stem, grouped = f"{form.stem[0].theirs}.weight", f"{form.stages[0]}.0.{form.block[2].theirs}.weight"
    base = kernel(stem)[0]
    width, per_group = kernel(grouped)[:2]
    if width % per_group or per_group * 64 % base:
        raise UserError(
            f"{grouped} of the file is {list(tensors[grouped].shape)} and {stem} {list(tensors[stem].shape)}, which no "
            "ResNeXt has: name a file of a ResNet."
        )
    return {
        "stage_sizes": stage_sizes,
        "groups": width // per_group,
        "width_per_group": per_group * 64 // base,
        "base_channels": base,
    }


def _prefixes(found: Iterable[str]) -> str:
    return " and ".join(prefix.removesuffix(".") or "no prefix" for prefix in found) or "none"
