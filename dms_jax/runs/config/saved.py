"""A run's configuration as it is kept in its work directory."""

import json
import shlex
from pathlib import Path

from ml_collections import ConfigDict

from dms_jax.errors import UserError, some_names
from dms_jax.evaluation.result_files import write_results
from dms_jax.references import absolute
from dms_jax.runs.config.fields import flatten, is_option, with_tuples

CONFIG_NAME = "config.json"
# So many fields that differ are named; the others, as where another --config was given, are counted.
_NAMED = 5

# What may differ when a run is resumed: how long it trains, how often what is written, and where and how fast its
# images are read. Anything else would make it another run.
CHANGEABLE = frozenset(
    {
        "steps",
        "log_every",
        "evaluate_every",
        "checkpoint_every",
        "keep_checkpoints",
        "report",
        "tensorboard_images",
        "data.manual_dir",
        "data.data_dir",
        "data.threads",
        "data.cache",
        "evaluation.max_false_alarms",
    }
)

# Fields that the runs of earlier versions lack, and what was done then.
_ADDED = {
    "deterministic": False,
    "report": True,
    "tensorboard_images": 4,
    "augment.paste": 0.0,
    "data.cache": 0.0,
    "data.fold": 0,
    "data.folds": 0,
    "data.mask_balance": 0.0,
    "data.mask_share": 1.0,
    "data.mask_values": "",
    "data.train_images": 0,
    "data.value_range": "",
    "data.without": "",
    "evaluation.max_false_alarms": 1.0,
    "loss.edge_weight": 1.0,
    "loss.iou_on": "all",
    "loss.iou_weight": 0.0,
    "loss.pasted_weight": 0.0,
    "loss.ssim_weight": 0.0,
    "model.class_pooling": "average",
    "model.shared_statistics": True,
    "model.zero_init_residual": False,
    "optimizer.clip_norm": 0.0,
    "optimizer.name": "sgd",
}


def with_absolute_paths(config: ConfigDict) -> ConfigDict:
    """The same configuration from any folder: a copy in which the paths of data and of code are absolute."""
    config = config.copy_and_resolve_references()
    data = config.data
    with config.unlocked():
        for name in ("manual_dir", "data_dir"):
            if data[name]:
                data[name] = str(Path(data[name]).expanduser().absolute())
        for section, name in (("model", "network"), ("model", "backbone"), ("data", "dataset")):
            config[section][name] = absolute(config[section][name])
        # What is no text stays as it is, to be refused by `checks.check`.
        metrics = config.evaluation.metrics
        config.evaluation.metrics = tuple(absolute(each) if isinstance(each, str) else each for each in metrics)
    return config


def save(config: ConfigDict, workdir: Path) -> None:
    """Write the configuration to the work directory."""
    write_results(config.to_dict(), workdir / CONFIG_NAME)


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
    config = ConfigDict(with_tuples(fields))
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


def check_resumes(config: ConfigDict, earlier: ConfigDict, workdir: Path, *, elsewhere: bool = False) -> None:
    """Refuse to continue a run with a configuration that would make it another run.

    Args:
      config: of the run that would go on.
      earlier: of the run in the work directory.
      workdir: the work directory.
      elsewhere: images of the user's own may lie elsewhere, as on another host: whoever says so compares them.

    Raises:
      UserError: a field outside of `CHANGEABLE` differs, or `data.manual_dir` of dataset folder; the message names
        each.
    """
    # The earlier one has no lists any more.
    now, then = flatten(with_tuples(config.to_dict())), flatten(earlier)
    # The published datasets are the same wherever they lie; another folder of the user's own is another dataset.
    is_own = now["data.dataset"] == "folder" and not elsewhere
    changeable = CHANGEABLE - {"data.manual_dir"} if is_own else CHANGEABLE
    different = [
        name for name in sorted(now.keys() | then.keys()) if name not in changeable and now.get(name) != then.get(name)
    ]
    if not different:
        return
    # Where a recipe has changed since, the very command that was given then ends here: only its fields help.
    fix = "give the --config and the fields that were given then"
    # Of those that are not given now, a command line can set the options of a network alone.
    given = {name: f"{then[name]}" if name in now else f"{then[name]!r}" for name in different if name in then}
    if len(different) <= _NAMED and all(name in given and (name in now or is_option(name)) for name in different):
        options = " ".join(shlex.quote(f"--config.{name}={value}") for name, value in given.items())
        fix = f"to go on with that one give {options}"
    differences = [f"config.{name} (was {then.get(name)!r}, is {now.get(name)!r})" for name in different]
    raise UserError(
        f"{workdir} holds another run, which differs in {some_names(differences, _NAMED)}: {fix}, or choose another "
        "--workdir."
    )
