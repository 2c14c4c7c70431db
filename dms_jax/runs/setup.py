"""What comes before a run: the process is set up, its work directory claimed, and its dataset opened."""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from dms_jax.checkpoints.folders import has_best, has_checkpoint
from dms_jax.data.datasets.folder.reading import Reading
from dms_jax.data.prepared import PreparedDataset
from dms_jax.errors import UserError, workdir_option
from dms_jax.inference.description import UNTESTED
from dms_jax.models.dms import NETWORKS
from dms_jax.references import is_reference
from dms_jax.runs.config import build, checks, saved
from dms_jax.runs.config.fields import flatten
from dms_jax.runs.config.own_network import check_own_network
from dms_jax.runs.dataset import digests, open_dataset, reopen_dataset
from dms_jax.runs.description import RunDescription
from dms_jax.runs.hosts import check_alike, check_same_images, check_shared
from dms_jax.runs.initialization import check_sources
from dms_jax.runs.lock import locked
from dms_jax.runs.results import load_results, remove_results
from dms_jax.runs.splits import Splits, choose_splits, scarcity_note
from dms_jax.runtime.compilation_cache import keep_compiled_programs
from dms_jax.runtime.cudnn import exclude_slow_cudnn_engines
from dms_jax.runtime.devices import data_mesh
from dms_jax.runtime.processes import Processes


@dataclass(frozen=True)
class RunData:
    """What a run learns from and is tested on.

    Attributes:
      dataset: the whole.
      splits: its parts.
      description: what the work directory says of them.
      notes: sentences for the user on what has become of them since the run began, and on what is left out of them.
    """

    dataset: PreparedDataset
    splits: Splits
    description: RunDescription
    notes: tuple[str, ...] = ()


def set_up_process(config: ConfigDict, processes: Processes) -> Mesh:
    """Prepare this process for a run, and return the mesh of all processes' devices.

    Raises:
      UsageError: the configuration makes no sense.
      UserError: the processes differ in what has to be the same.
    """
    keep_compiled_programs()
    mesh = data_mesh()
    check_alike(config, processes)
    checks.check(config, mesh.size)
    dtype = build.compute_dtype(config)
    # Another network's convolutions may be fastest in what was never so for these.
    if config.model.network in NETWORKS and not is_reference(config.model.backbone):
        exclude_slow_cudnn_engines(mesh.devices.flat[0], dtype, deterministic=config.deterministic)
    return mesh


def finished_results(config: ConfigDict, workdir: Path, *, first: bool = True) -> dict[str, Any] | None:
    """The test results of a finished run of this configuration; None where there is something left to do.

    Args:
      config: the run's.
      workdir: the run's.
      first: whether this process is the one whose configuration is kept; others may have the same images elsewhere.

    Raises:
      UserError: the work directory holds another run or cannot be gone on with, or what the run would start from cannot
        be used, or a network or backbone of the user's own gives something else than it must.
    """
    earlier = saved.load(workdir)
    if earlier is not None and "data.dataset" not in flatten(earlier):
        raise UserError(f"{workdir / saved.CONFIG_NAME} is of another program: choose another --workdir.")
    # A run that was stopped before its first checkpoint leaves nothing to resume: its directory is free.
    if earlier is None or not (has_checkpoint(workdir) or has_best(workdir)):
        model = build.build_model(config, num_classes=1)
        check_sources(config, model)
        check_own_network(config)
        checks.check_backbone_rate(config, model)
        return None
    saved.check_resumes(config, earlier, workdir, elsewhere=not first)
    results = load_results(workdir, "test")
    if results is None:
        return None
    limit = config.evaluation.max_false_alarms
    trains = results.get("steps") != config.steps
    if not trains:
        tested_with = _limit_in_force(earlier, RunDescription.load(workdir))
        # No limit, the default, leaves the one that evaluation was given since.
        stands = limit in (1, tested_with) and limit == _own_limit(earlier)
        if stands or (limit == tested_with and not has_checkpoint(workdir)):
            return results
    if not has_checkpoint(workdir):
        if not trains:
            raise UserError(
                f"{workdir} is a finished run whose checkpoints were removed, so that training cannot test it again: "
                f"use dms-jax evaluate {workdir_option(workdir)} --max-false-alarms {limit}."
            )
        raise UserError(
            f"{workdir} is a finished run whose checkpoints were removed, so that it cannot go on: choose another "
            f"--workdir (with config.init.checkpoint={workdir}, a run starts from the network that is left)."
        )
    return None


def _limit_in_force(config: ConfigDict | None, description: RunDescription | None) -> float:
    """The share of false alarms that a run's threshold allows: evaluation's where it was given one, else training's.

    Args:
      config: the run's, as it is kept; None where there is no run.
      description: the same.
    """
    if description is not None and description.max_false_alarms is not None:
        return description.max_false_alarms
    return _own_limit(config)


def _own_limit(config: ConfigDict | None) -> float:
    # What is in the way of a run that begins may be anything.
    return 1.0 if config is None else flatten(config).get("evaluation.max_false_alarms", 1.0)


def claim(config: ConfigDict, workdir: Path, processes: Processes, holding: ExitStack) -> RunData:
    """Open a run's dataset, for a run that goes on the one that it began with, and write to its work directory.

    Args:
      config: the run's.
      workdir: made if absent.
      processes: that train together; the first one writes.
      holding: the work directory is held, see `dms_jax.runs.lock`, until this is closed.

    Raises:
      UserError: the dataset cannot be used or is another one, or the work directory cannot be written, or another
        run is at work in it.
    """
    earlier = RunDescription.load(workdir) if has_checkpoint(workdir) else None
    before, limit = saved.load(workdir), config.evaluation.max_false_alarms
    limit_before = _limit_in_force(before, earlier)
    dataset, notes = (open_dataset(config), ()) if earlier is None else reopen_dataset(config, earlier)
    splits = choose_splits(dataset, config)
    note = scarcity_note(splits, config, dataset)
    notes = notes if note is None else (*notes, note)
    if limit >= 1 > limit_before and earlier is not None and earlier.plain != UNTESTED:
        lifted = f"false alarms are no longer limited; the run was tested with at most {limit_before:.4g}"
        notes = (*notes, f"{lifted} (config.evaluation.max_false_alarms={limit_before:.4g} keeps that limit).")
    images = earlier.images if earlier is not None and earlier.images else digests(dataset)
    check_same_images(images, processes)
    # What is predicted later comes from the same camera.
    value_range = Reading.parse("", config.data.value_range).value_range
    description = RunDescription.of(dataset, build.framing_config(config), images, value_range=value_range)
    if earlier is not None:
        # Until it is tested anew.
        description = replace(description, plain=earlier.plain, gated=earlier.gated)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if processes.index == 0:
            holding.enter_context(locked(workdir))
            results = load_results(workdir, "test")
            others = {_own_limit(before), limit_before} - {limit}
            if results is not None and (results.get("steps") == config.steps or others):
                # They are of another limit of false alarms, and would pass for this one's should the test not be done,
                # also where the run is to be longer now, and is not after all.
                remove_results(workdir, "test")
            saved.save(config, workdir)
            description.save(workdir)
    except OSError as error:
        raise UserError(f"{workdir} cannot be written ({error.strerror}): choose another --workdir.") from error
    check_shared(workdir, processes)
    return RunData(dataset, splits, description, notes)
