"""A run's configuration: checked, turned into the objects it describes, and kept beside the run."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from dms_jax.data.augment import AugmentConfig
from dms_jax.data.framing import MODES, Framing
from dms_jax.errors import UsageError, UserError
from dms_jax.models import DMS
from dms_jax.models.dms import ABLATIONS, FEATURE_GROWTHS, FROZEN_STATISTICS, NETWORKS, SIZES
from dms_jax.models.resnext import BACKBONES
from dms_jax.training.losses import LossConfig
from dms_jax.training.optimizer import OptimizerConfig

CONFIG_NAME = "config.json"

# What may differ when a run is resumed: how long it goes on, what is written how often, and where and how fast its
# pictures are read. Anything else would make it another run.
CHANGEABLE = frozenset(
    {
        "steps",
        "log_every",
        "evaluate_every",
        "checkpoint_every",
        "keep_checkpoints",
        "data.manual_dir",
        "data.data_dir",
        "data.threads",
        "data.memory",
    }
)

# Fields that the runs of earlier versions lack, and what was done then.
_ADDED = {"deterministic": False, "data.memory": 0.0, "model.shared_statistics": True}

_AT_LEAST = {
    "batch_size": 1,
    "steps": 1,
    "log_every": 1,
    "evaluate_every": 1,
    "checkpoint_every": 1,
    "keep_checkpoints": 1,
    "data.image_size": 32,
    "data.overfit": 0,
    "data.workers": 0,
    "data.threads": 1,
    "data.tile_size": 0,
    "data.memory": 0,
}
_ONE_OF = {
    "dtype": ("auto", "float32", "bfloat16"),
    "model.network": tuple(NETWORKS),
    "model.size": tuple(SIZES),
    "model.backbone": ("", *BACKBONES),
    "model.ablation": ABLATIONS,
    "model.feature_growth": ("", *FEATURE_GROWTHS),
    "model.frozen_statistics": FROZEN_STATISTICS,
    "data.resize": MODES,
    "data.select_on": ("validation", "test", "none"),
}
_WITHIN = {
    "seed": (0, 2**32),  # JAX takes a larger seed for another one, without a word
    "data.balance": (0, 1),
    "data.tile_overlap": (0, 1),
    "average_decay": (0, 1),
}

Described = TypeVar("Described", AugmentConfig, LossConfig, OptimizerConfig)


def flatten(config: ConfigDict | dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The fields of a configuration with their dotted names."""
    fields = {}
    for name, value in config.items():
        if isinstance(value, (ConfigDict, dict)):
            fields |= flatten(value, f"{prefix}{name}.")
        else:
            fields[prefix + name] = value
    return fields


def check(config: ConfigDict, devices: int = 1) -> None:
    """Refuse values that make no sense, before anything is built or written.

    Args:
      config: the configuration.
      devices: how many share a batch.

    Raises:
      UsageError: a value is out of range; the message names its field.
      UserError: a field is missing, as in a run of an older version.
    """
    fields = flatten(config)
    missing = {*_AT_LEAST, *_ONE_OF, *_WITHIN, "data.skip_bad", "init.checkpoint", "model.remat"} - fields.keys()
    if missing:
        raise UserError(f"config.{min(missing)} is missing: the run was made by an older version; train it anew.")
    for name, value in fields.items():
        numbers = value if isinstance(value, tuple) else (value,)
        if isinstance(value, tuple) and not all(isinstance(number, (int, float)) for number in numbers):
            raise UsageError(f"config.{name}={value} must hold numbers only.")
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            raise UsageError(f"config.{name}={value} is not a finite number.")
    for name, least in _AT_LEAST.items():
        if fields[name] < least:
            raise UsageError(f"config.{name}={fields[name]} is too small: it must be at least {least}.")
    for name, known in _ONE_OF.items():
        if fields[name] not in known:
            listed = ", ".join(repr(value) for value in known)
            raise UsageError(f"config.{name}={fields[name]!r} is unknown: it must be one of {listed}.")
    for name, (low, high) in _WITHIN.items():
        if not low <= fields[name] < high:
            raise UsageError(f"config.{name}={fields[name]} must be at least {low} and below {high}.")
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
    for section in (augment_config, loss_config, optimizer_config):
        section(config)
    weights, outputs = fields["loss.output_weights"], len(build_model(config, num_classes=1).schedule)
    if len(weights) not in (0, outputs):
        raise UsageError(f"config.loss.output_weights={weights} must have {outputs} weights, one for each output.")


def build_model(config: ConfigDict, num_classes: int, axis_name: str | None = None) -> DMS:
    """The network that the configuration describes; `axis_name` is of the devices that may share statistics."""
    fields = dict(SIZES[config.model.size])
    fields |= BACKBONES.get(config.model.backbone, {})
    if config.model.feature_growth:
        fields["feature_growth"] = config.model.feature_growth
    return NETWORKS[config.model.network](
        num_classes=num_classes,
        ablation=config.model.ablation,
        frozen_statistics=config.model.frozen_statistics,
        remat=config.model.remat,
        dtype=compute_dtype(config),
        axis_name=axis_name if config.model.shared_statistics else None,
        **fields,
    )


def compute_dtype(config: ConfigDict) -> Any:
    """The type to compute in: "auto" is bfloat16 on an accelerator and float32 on a CPU."""
    if config.dtype == "auto":
        return jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
    return jnp.dtype(config.dtype)


def augment_config(config: ConfigDict) -> AugmentConfig:
    """The random transforms that the configuration describes."""
    return _describe(AugmentConfig, config, "augment")


def loss_config(config: ConfigDict) -> LossConfig:
    """The weights of the loss that the configuration describes."""
    for name, value in flatten(config.loss).items():
        numbers = value if isinstance(value, tuple) else (value,)
        if any(number < 0 for number in numbers):
            raise UsageError(f"config.loss.{name}={value} must not be negative.")
    return _describe(LossConfig, config, "loss")


def optimizer_config(config: ConfigDict) -> OptimizerConfig:
    """The optimiser that the configuration describes."""
    return _describe(OptimizerConfig, config, "optimizer")


def framing_config(config: ConfigDict) -> Framing:
    """The squares that the configuration would have the network see."""
    data = config.data
    try:
        return Framing(data.resize, size=data.image_size, tile=data.tile_size, overlap=data.tile_overlap)
    except ValueError as error:
        raise UsageError(f"config.data.resize: {error}") from error


def reading_options(config: ConfigDict) -> dict[str, int]:
    """How this process reads its part of the batches: arguments of `dms_jax.data.pipeline`."""
    return {
        "batch_size": config.batch_size,
        "threads": config.data.threads,
        "process_index": jax.process_index(),
        "process_count": jax.process_count(),
    }


def _describe(kind: Callable[..., Described], config: ConfigDict, section: str) -> Described:
    try:
        return kind(**config[section])
    except (TypeError, ValueError) as error:
        raise UsageError(f"config.{section}: {error}") from error


def save(config: ConfigDict, workdir: Path) -> None:
    """Write the configuration to the work directory."""
    path = workdir / CONFIG_NAME
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(config.to_dict(), indent=2) + "\n")
    temporary.replace(path)


def load(workdir: Path) -> ConfigDict | None:
    """Read the configuration of the run in a work directory, or None where there is no run.

    Raises:
      UserError: the file is damaged.
    """
    path = workdir / CONFIG_NAME
    if not path.exists():
        return None
    try:
        fields = json.loads(path.read_text())
        if not isinstance(fields, dict):
            raise ValueError("not an object")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not valid JSON: choose another --workdir, or remove this one.") from error
    config = ConfigDict(_with_tuples(fields))
    for name, value in _ADDED.items():
        section, _, field = name.rpartition(".")
        holder = config.get(section) if section else config
        if isinstance(holder, ConfigDict) and field not in holder:
            holder[field] = value
    return config


def load_run(workdir: Path) -> ConfigDict:
    """Read the configuration of the run in a work directory.

    Raises:
      UserError: there is no run, or the file is damaged.
    """
    config = load(workdir)
    if config is None:
        raise UserError(f"{workdir} holds no run ({CONFIG_NAME} is missing): name a work directory.")
    return config


def check_resumes(config: ConfigDict, earlier: ConfigDict, workdir: Path) -> None:
    """Refuse to continue a run with a configuration that would make it another run.

    Raises:
      UserError: a field outside of `CHANGEABLE` differs, or `data.manual_dir` of dataset folder; the message names
        each.
    """
    now, then = flatten(config), flatten(earlier)
    # The published datasets are the same wherever they lie; another folder of the user's own is another dataset.
    changeable = CHANGEABLE - {"data.manual_dir"} if now["data.dataset"] == "folder" else CHANGEABLE
    different = [
        f"config.{name} (was {then.get(name)!r}, is {now.get(name)!r})"
        for name in sorted(now.keys() | then.keys())
        if name not in changeable and now.get(name) != then.get(name)
    ]
    if different:
        raise UserError(
            f"{workdir} holds another run, which differs in {', '.join(different)}: choose another --workdir."
        )


def _with_tuples(value: Any) -> Any:
    """What JSON made of a configuration, with tuples again where it has lists."""
    if isinstance(value, dict):
        return {name: _with_tuples(entry) for name, entry in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
