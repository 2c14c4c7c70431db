"""From a work directory to what its run was, and its best network."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from dms_jax.checkpoints.folders import has_best
from dms_jax.checkpoints.manager import Checkpoints
from dms_jax.errors import UserError
from dms_jax.models.network import Network, abstract_variables
from dms_jax.runs.config import build, checks, saved
from dms_jax.runs.description import RunDescription
from dms_jax.runtime.devices import DATA_AXIS, abstract_replicated, data_mesh


@dataclass(frozen=True)
class OpenedRun:
    """A run and its best network.

    Attributes:
      workdir: where it is kept.
      config: its configuration; `batch_size` is a multiple of the number of devices here.
      description: what its predictions mean.
      model: its network.
      variables: {"params", "batch_stats"} of the best checkpoint, on every device.
      step: after which they were saved.
      steps: that the run has trained.
    """

    workdir: Path
    config: ConfigDict
    description: RunDescription
    model: Network
    variables: Any
    step: int
    steps: int


def open_run(workdir: str | os.PathLike[str]) -> OpenedRun:
    """Open a run, finished or not, on this process's devices.

    Raises:
      UserError: there is no run, it has no checkpoint to predict with yet, or one of its files is damaged.
    """
    workdir = Path(workdir)
    config = saved.load_run(workdir)
    checks.check_saved(config, workdir)
    description = RunDescription.load(workdir)
    if not has_best(workdir):
        raise UserError(
            f"{workdir} has no best checkpoint yet, which is written at the end, and with the first checkpoint after a "
            f"validation (config.checkpoint_every={config.checkpoint_every}, "
            f"config.evaluate_every={config.evaluate_every}): let the run go on."
        )
    if description is None:
        raise UserError(f"{workdir} was made by an earlier version of dms_jax (it has no run.json): train it anew.")
    mesh = data_mesh()
    if config.batch_size % mesh.size:
        config.batch_size = -(-config.batch_size // mesh.size) * mesh.size
    if description.max_false_alarms is not None:
        with config.unlocked():
            config.evaluation.max_false_alarms = description.max_false_alarms
    checks.check(config, mesh.size)
    model = build.build_model(config, len(description.class_names), DATA_AXIS)
    shapes = abstract_variables(model, config.data.image_size)
    # As in a training state: statistics that are none are there, and kept, too.
    kept = {"params": shapes["params"], "batch_stats": shapes.get("batch_stats", {})}
    with Checkpoints(workdir, keep=config.keep_checkpoints) as checkpoints:
        variables = checkpoints.restore_best(abstract_replicated(kept, mesh))
        step = checkpoints.best_step
        assert step is not None  # it has just been restored
        return OpenedRun(workdir, config, description, model, variables, step, checkpoints.latest_step or step)
