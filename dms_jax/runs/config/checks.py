"""What a configuration may hold: values that make no sense are refused before anything is built or written."""

import math
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from dms_jax.comparison.deep import DEEP_NETWORKS
from dms_jax.data.framing import LARGEST_OVERLAP, MODES, SMALLEST_TILE
from dms_jax.errors import UsageError, UserError, first_words
from dms_jax.models.dms import ABLATIONS, CLASS_POOLINGS, FEATURE_GROWTHS, FROZEN_STATISTICS, NETWORKS, SIZES
from dms_jax.models.network import Network, abstract_variables
from dms_jax.models.resnext import BACKBONES
from dms_jax.references import OR_YOUR_OWN, is_reference
from dms_jax.runs.config.build import augment_config, build_model, extra_metrics, loss_config, optimizer_config
from dms_jax.runs.config.defaults import default_config
from dms_jax.runs.config.fields import OPTIONS, flatten
from dms_jax.runs.config.saved import CONFIG_NAME
from dms_jax.training.losses import IOU_ON
from dms_jax.training.optimizer import OPTIMIZERS

_AT_LEAST = {
    "batch_size": 1,
    "steps": 1,
    "log_every": 1,
    "evaluate_every": 1,
    "checkpoint_every": 1,
    "keep_checkpoints": 1,
    "tensorboard_images": 0,
    "data.image_size": 32,
    "data.overfit": 0,
    "data.folds": 0,
    "data.fold": 0,
    "data.train_images": 0,
    "data.workers": 0,
    "data.threads": 1,
    "data.tile_size": 0,
    "data.cache": 0,
}
_ONE_OF = {
    "dtype": ("auto", "float32", "bfloat16"),
    "model.network": (*NETWORKS, *DEEP_NETWORKS),
    "model.size": tuple(SIZES),
    "model.backbone": ("", *BACKBONES),
    "model.ablation": ABLATIONS,
    "model.class_pooling": CLASS_POOLINGS,
    "model.feature_growth": ("", *FEATURE_GROWTHS),
    "model.frozen_statistics": FROZEN_STATISTICS,
    "data.resize": MODES,
    "loss.iou_on": IOU_ON,
    "optimizer.name": OPTIMIZERS,
    "data.select_on": ("validation", "test", "none"),
}
_OF_TEXTS = ("model.schedule", "evaluation.metrics")
_MAY_BE_REFERENCES = ("model.network", "model.backbone")
# What is about SDMS and BDMS alone: a network of the user's own has `model.options` instead. What recipes set of theirs
# (`class_pooling`, `zero_init_residual`) is passed over.
_OF_OUR_NETWORKS = ("size", "backbone", "ablation", "feature_growth", "schedule", "remat", "frozen_statistics")
_WITHIN = {
    "seed": (0, 2**32),  # JAX silently takes a larger seed for another one
    "data.balance": (0, 1),
    "average_decay": (0, 1),
}
# From 0 on, both ends included.
_UP_TO = {
    "data.mask_share": 1,
    "data.mask_balance": 1,
    "evaluation.max_false_alarms": 1,
    "data.tile_overlap": LARGEST_OVERLAP,
}
# What `data.overfit` has no use for: it takes its few images as they are.
_NOT_OF_OVERFIT = ("data.train_images", "data.mask_share", "data.without", "data.folds")


def check(config: ConfigDict, devices: int = 1) -> None:
    """Refuse values that make no sense, before anything is built or written.

    Args:
      config: the configuration.
      devices: how many share a batch.

    Raises:
      UsageError: a value is out of range; the message names its field.
      UserError: a field is missing, as in the run of an older version.
    """
    fields = flatten(config)
    missing = {
        *_AT_LEAST,
        *_ONE_OF,
        *_WITHIN,
        *_UP_TO,
        "data.mask_values",
        "data.skip_bad",
        "data.value_range",
        "data.without",
        "init.checkpoint",
        "model.remat",
        "model.schedule",
    } - fields.keys()
    if missing:
        raise UserError(f"config.{min(missing)} is missing: the run was made by an older version; train it anew.")
    for name, value in fields.items():
        numbers = value if isinstance(value, tuple) else (value,)
        if name.startswith(OPTIONS):
            continue
        if name in _OF_TEXTS:
            if not all(isinstance(text, str) for text in value):
                raise UsageError(f"config.{name}={value} must hold texts only.")
            continue
        if isinstance(value, tuple) and not all(isinstance(number, (int, float)) for number in numbers):
            raise UsageError(f"config.{name}={value} must hold numbers only.")
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            raise UsageError(f"config.{name}={value} is not a finite number.")
    for name, least in _AT_LEAST.items():
        if fields[name] < least:
            raise UsageError(f"config.{name}={fields[name]} is too small: it must be at least {least}.")
    for name, known in _ONE_OF.items():
        if name in _MAY_BE_REFERENCES and is_reference(fields[name]):
            continue
        if fields[name] not in known:
            own = [OR_YOUR_OWN] if name in _MAY_BE_REFERENCES else []
            listed = ", ".join([*map(repr, known), *own])
            raise UsageError(f"config.{name}={fields[name]!r} is unknown: it must be one of {listed}.")
    for name, (low, high) in _WITHIN.items():
        if not low <= fields[name] < high:
            raise UsageError(f"config.{name}={fields[name]} must be at least {low} and below {high}.")
    for name, most in _UP_TO.items():
        if not 0 <= fields[name] <= most:
            raise UsageError(f"config.{name}={fields[name]} must be in 0..{most}.")
    if 0 < fields["data.tile_size"] < SMALLEST_TILE:
        raise UsageError(
            f"config.data.tile_size={fields['data.tile_size']} is too small: it must be at least {SMALLEST_TILE}, or 0 "
            "for config.data.image_size."
        )
    defaults = flatten(default_config())
    for name in _NOT_OF_OVERFIT if fields["data.overfit"] else ():
        if fields[name] != defaults[name]:
            raise UsageError(f"config.{name}={fields[name]!r} is not for config.data.overfit: leave one of them out.")
    _check_folds(fields)
    if config.batch_size % devices:
        raise UsageError(
            f"config.batch_size={config.batch_size} cannot be divided among {devices} devices: "
            f"choose a multiple of {devices}."
        )
    if fields["model.frozen_statistics"] and not (fields["init.checkpoint"] or fields["init.backbone"]):
        raise UsageError(
            f"config.model.frozen_statistics={fields['model.frozen_statistics']} needs statistics to keep: name "
            "config.init.checkpoint or config.init.backbone."
        )
    if fields["init.skip"] and not fields["init.checkpoint"]:
        raise UsageError("config.init.skip is about config.init.checkpoint, which is empty: name one.")
    _check_other_network(fields)
    for section in (augment_config, loss_config, optimizer_config, extra_metrics):
        section(config)
    weights, outputs = fields["loss.output_weights"], build_model(config, num_classes=1).num_outputs
    if len(weights) not in (0, outputs):
        raise UsageError(f"config.loss.output_weights={weights} must have {outputs} weights, one for each output.")


def check_backbone_rate(config: ConfigDict, model: Network) -> None:
    """Refuse a rate of the backbone's own for a network that has none; before a run begins, as it is traced.

    Args:
      config: the configuration.
      model: the network that it describes.

    Raises:
      UsageError: `config.optimizer.backbone_multiplier` would change nothing.
    """
    multiplier = config.optimizer.backbone_multiplier
    if multiplier == 1 or config.model.network in NETWORKS:
        return
    # A network of the user's own may take no other size.
    if "backbone" not in abstract_variables(model, config.data.image_size)["params"]:
        raise UsageError(
            f"config.optimizer.backbone_multiplier={multiplier} is not for {config.model.network}, which has no "
            "parameters under backbone: leave it out."
        )


def _check_folds(fields: dict[str, Any]) -> None:
    folds, fold = fields["data.folds"], fields["data.fold"]
    if folds == 1:
        raise UsageError("config.data.folds=1 leaves nothing to learn from: it must be at least 2, or 0 for none.")
    if fold >= max(folds, 1):
        counted = f"with config.data.folds={folds} they are 0 to {folds - 1}"
        needed = counted if folds else "say how many there are: config.data.folds"
        raise UsageError(f"config.data.fold={fold} is no fold: {needed}.")
    if folds and fields["data.select_on"] != "validation":
        raise UsageError(
            f"config.data.folds={folds} is about validation, and config.data.select_on={fields['data.select_on']} "
            "learns from all but test: leave one of them out."
        )


def check_saved(config: ConfigDict, workdir: Path, devices: int = 1) -> None:
    """Refuse the configuration of a run that `check` refuses, or that has been damaged or edited into something else.

    Args:
      config: the configuration, as `saved.load_run` gives it.
      workdir: of the run.
      devices: see `check`.

    Raises:
      UserError: it cannot be used; the message names its file.
    """
    path = workdir / CONFIG_NAME
    fields = flatten(config)
    for name, value in flatten(default_config()).items():
        if name in fields and not _is_like(fields[name], value):
            raise UserError(
                f"{path} has {fields[name]!r} for {name}, where something like {value!r} is needed: bring back a copy, "
                "or train anew."
            )
    try:
        check(config, devices)
    except UserError as error:
        raise type(error)(f"{path}: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged ({first_words(error)}): bring back a copy, or train anew.") from error


def _is_like(value: Any, default: Any) -> bool:
    """Whether a value is of the kind of a field's default."""
    if isinstance(default, bool):
        return isinstance(value, bool)
    if isinstance(default, int):
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, type(default)) or default is None


def _check_other_network(fields: dict[str, Any]) -> None:
    """Refuse the fields of SDMS and BDMS beside a network of the comparison or of the user's own."""
    network = fields["model.network"]
    if network in NETWORKS:
        return
    known: dict[str, tuple[str, ...]] = {}
    if network in DEEP_NETWORKS:
        known["size"] = tuple(DEEP_NETWORKS[network].sizes)
        known["backbone"] = ("", *DEEP_NETWORKS[network].backbones)
    defaults = flatten(default_config())
    for name in _OF_OUR_NETWORKS:
        value = fields[f"model.{name}"]
        if name in known:
            if value not in known[name]:
                listed = ", ".join(filter(None, known[name])) or "none"
                raise UsageError(f"config.model.{name}={value!r} is not for {network}: known are {listed}.")
        elif value != defaults[f"model.{name}"]:
            raise UsageError(
                f"config.model.{name}={value!r} is not for {network}: leave it out, or use config.model.options."
            )
