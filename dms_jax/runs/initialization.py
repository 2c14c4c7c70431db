"""What a run's first state is made of.

Every value comes from the first of these that has it:

1. the run's own latest checkpoint, when it is resumed: then all of it, and nothing below is looked at;
2. `config.init.checkpoint`, another run's best network, but for what `config.init.skip` names;
3. `config.init.backbone`, an imported backbone;
4. random numbers from `config.seed`, with the saliency prior.
"""

import fnmatch
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import flax.traverse_util
import grain
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from dms_jax.checkpoints.backbone import backbone_name, read_backbone, read_description
from dms_jax.checkpoints.folders import has_best, read_best
from dms_jax.checkpoints.manager import Checkpoints
from dms_jax.errors import UserError, some_names
from dms_jax.models.network import Network
from dms_jax.models.resnext import BACKBONES
from dms_jax.references import is_reference
from dms_jax.runs.config.defaults import default_config
from dms_jax.runtime.devices import replicate
from dms_jax.training.state import TrainState, abstract_state, copied, create_state

RANDOM = "this run starts from random weights"
NO_WEIGHTS = f"{RANDOM}, where the paper's recipe needs a backbone trained on ImageNet: recipe=scratch does without"

# The pattern of `config.init.skip` that begins all class heads anew, and a leaf of theirs.
CLASS_HEADS = "step*/classes"
_CLASS_HEAD = "step0/classes/kernel"

# Names of leaves, "stage1_block1/conv1/kernel" under "params" or "batch_stats", to arrays.
Leaves = dict[tuple[str, str], Any]


def check_sources(config: ConfigDict, model: Network) -> None:
    """Refuse what a run cannot start from, before its dataset is prepared.

    Raises:
      UserError: `config.init.checkpoint` is no run with a best checkpoint, or `config.init.backbone` no imported
        backbone, or that of another architecture than the network's, or the network has none such.
    """
    if config.init.checkpoint and not has_best(_path(config.init.checkpoint)):
        raise UserError(
            f"config.init.checkpoint={config.init.checkpoint} has no best checkpoint: name the work directory of a "
            "run that has been evaluated."
        )
    if config.init.backbone:
        description = read_description(_path(config.init.backbone))
        fields = ("stage_sizes", "groups", "width_per_group", "base_channels")
        architecture = {name: getattr(model, name, None) for name in fields}
        if None in architecture.values():
            raise UserError(
                f"config.init.backbone={config.init.backbone} is not for {config.model.network}, whose backbone is no "
                "ResNeXt: leave it out."
            )
        if description.architecture != architecture:
            known = description.name in BACKBONES
            fix = f"set config.model.backbone={description.name}" if known else "import weights of that one"
            raise UserError(
                f"config.init.backbone={config.init.backbone} holds {description.name}, but the network's backbone is "
                f"{backbone_name(architecture)}: {fix}."
            )


def starting_state(
    config: ConfigDict,
    model: Network,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    checkpoints: Checkpoints,
    batches: grain.DatasetIterator,
) -> tuple[TrainState, tuple[str, ...]]:
    """Make or restore the state that a run resumes from.

    Args:
      config: the run's.
      model: the network.
      optimizer: the optimiser.
      mesh: that the state is replicated over.
      checkpoints: the run's own.
      batches: the run's training batches; set to where the latest checkpoint was.

    Returns:
      The state, and sentences for the user that say what is restored, skipped and freshly initialised.

    Raises:
      UserError: something to start from cannot be read, or does not fit the network; the message names the leaf.
    """
    average, image_size = config.average_decay > 0, config.data.image_size
    if checkpoints.latest_step is not None:
        template = abstract_state(model, optimizer, mesh, average=average, image_size=image_size)
        state = checkpoints.restore(template, batches)
        return state, (f"resuming after step {int(state.step)}",)
    state = create_state(model, optimizer, seed=config.seed, average=average, image_size=image_size)
    fresh = {"params": state.params, "batch_stats": state.batch_stats}
    variables, sentences = initial_variables(fresh, config)
    state = state.replace(**variables)  # type: ignore[attr-defined]  # flax.struct's stubs lack it
    if average:
        state = state.replace(averaged=copied(variables))
    return replicate(state, mesh), sentences


def initial_variables(fresh: Mapping[str, Any], config: ConfigDict) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Put what `config.init` names over freshly initialised variables.

    Args:
      fresh: {"params", "batch_stats"} of the network.
      config: the run's.

    Returns:
      The variables, and sentences that say what each part of them comes from.

    Raises:
      UserError: see `starting_state`.
    """
    leaves = _flatten(fresh)
    sentences = []
    taken: set[tuple[str, str]] = set()
    restored: set[tuple[str, str]] = set()
    # The later one stands above the earlier.
    if config.init.backbone:
        source = _path(config.init.backbone)
        found = {(kind, f"backbone/{path}"): value for (kind, path), value in _flatten(read_backbone(source)).items()}
        wanted = {key: value for key, value in leaves.items() if key[1].startswith("backbone/")}
        _check_fits(found, wanted, f"config.init.backbone={source}", "")
        leaves |= found
        taken |= found.keys()
        imported = found
    if config.init.checkpoint:
        source = _path(config.init.checkpoint)
        variables, step = read_best(source)
        found = _flatten(variables)
        skipped = _matching(_patterns(config), found.keys() | leaves.keys())
        found = {key: value for key, value in found.items() if key not in skipped}
        wanted = {key: value for key, value in leaves.items() if key not in skipped}
        _check_fits(found, wanted, f"config.init.checkpoint={source}", "config.init.skip")
        leaves |= found
        taken |= found.keys()
        restored |= found.keys()
        sentences.append(f"restored: step {step} of {source}, {_amount(found)}")
        if skipped:
            sentences.append(f"skipped: {_names(skipped, leaves.keys() | skipped)}")
    if config.init.backbone:
        description = read_description(_path(config.init.backbone))
        kept = {key: value for key, value in imported.items() if key not in restored}
        sentences.insert(0, f"backbone: {description.name} from {description.source}, {_amount(kept)}")
    if not taken:
        # The paper says nothing of the user's own. Some networks of the comparison have no backbone either.
        is_own = is_reference(config.model.network) or is_reference(config.model.backbone)
        has_backbone = any(path.startswith("backbone/") for _, path in leaves)
        # The other recipes are meant for random weights: each has another optimizer, or another rate of it.
        papers = default_config().optimizer
        chosen = config.optimizer.name, config.optimizer.learning_rate
        is_papers = chosen == (papers.name, papers.learning_rate)
        sentences.append(NO_WEIGHTS if has_backbone and is_papers and not is_own else RANDOM)
    elif taken != leaves.keys():
        sentences.append(f"freshly initialised: {_names(leaves.keys() - taken, leaves.keys())}")
    nested = {(kind, *path.split("/")): jnp.asarray(value) for (kind, path), value in leaves.items()}
    # Of a kind that has no leaves, such as the statistics of a network without BatchNorm, there is an empty one.
    return {kind: {} for kind in fresh} | flax.traverse_util.unflatten_dict(nested), tuple(sentences)


def keeps_class_heads(config: ConfigDict) -> bool:
    """Whether a run takes over the class heads of `config.init.checkpoint`: those of SDMS and BDMS, by their names."""
    return bool(config.init.checkpoint) and not any(
        fnmatch.fnmatchcase(_CLASS_HEAD, pattern) or _is_under(_CLASS_HEAD, pattern) for pattern in _patterns(config)
    )


def _patterns(config: ConfigDict) -> list[str]:
    return [pattern.strip() for pattern in config.init.skip.split(",") if pattern.strip()]


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _flatten(variables: Mapping[str, Any]) -> Leaves:
    flat = flax.traverse_util.flatten_dict(dict(variables))
    return {(names[0], "/".join(names[1:])): value for names, value in flat.items()}


def _matching(patterns: Iterable[str], keys: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """The leaves that a pattern names: by their own path, or by that of a module that they are in."""
    matching: set[tuple[str, str]] = set()
    for pattern in patterns:
        found = {key for key in keys if fnmatch.fnmatchcase(key[1], pattern) or _is_under(key[1], pattern)}
        if not found:
            raise UserError(
                f"config.init.skip: {pattern!r} matches nothing in the checkpoint or the network: use names as in "
                "parameters.txt with slashes, such as step*/classes."
            )
        matching |= found
    return matching


def _is_under(path: str, pattern: str) -> bool:
    parts = path.split("/")
    return any(fnmatch.fnmatchcase("/".join(parts[:end]), pattern) for end in range(1, len(parts)))


def _check_fits(found: Leaves, wanted: Leaves, source: str, fix: str) -> None:
    """Refuse leaves that the source lacks, that the network lacks, or that differ in shape."""
    skip = f"skip it with {fix}" if fix else "import the weights anew"
    missing, surplus = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing:
        raise UserError(f"{source} lacks {_names(missing, wanted)}, which the network has: {skip}.")
    if surplus:
        raise UserError(f"{source} has {_names(surplus, found)}, which the network lacks: {skip}.")
    for key, value in found.items():
        theirs, ours = np.shape(value), np.shape(wanted[key])
        if theirs != ours:
            # Of other classes all heads are of other shapes, not just this one.
            heads = f"skip the class heads with {fix}={CLASS_HEADS}" if fix and "/classes/" in key[1] else skip
            raise UserError(f"{key[1]} is {list(theirs)} in {source}, but {list(ours)} in the network: {heads}.")


def _amount(leaves: Leaves) -> str:
    parameters = sum(int(np.size(value)) for (kind, _), value in leaves.items() if kind == "params")
    return f"{len(leaves)} tensors, {parameters:,} parameters"


def _names(chosen: Collection[tuple[str, str]], everything: Collection[tuple[str, str]], most: int = 12) -> str:
    """The chosen leaves by the shortest names: a module's where all that is in it is chosen."""
    chosen_paths, others = {path for _, path in chosen}, {path for _, path in everything} - {path for _, path in chosen}
    names: dict[str, None] = {}
    for path in sorted(chosen_paths):
        parts = path.split("/")
        prefixes = ("/".join(parts[:end]) for end in range(1, len(parts)))
        whole = (prefix for prefix in prefixes if not any(other.startswith(prefix + "/") for other in others))
        names[next(whole, path)] = None
    return some_names(list(names), most)
