"""One run, from its configuration to its test results: build, restore, step, log, validate, save, test."""

import os
import time
from concurrent.futures import Future
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grain
import jax
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from dms_jax.checkpoints.manager import Checkpoints
from dms_jax.errors import InterruptionError, UserError
from dms_jax.inference.predict_step import make_predict_step
from dms_jax.runs.config import build
from dms_jax.runs.config.saved import with_absolute_paths
from dms_jax.runs.data_warnings import data_warnings
from dms_jax.runs.device_memory import telling_of_full_memory
from dms_jax.runs.finite_steps import FiniteSteps, debugs_nans
from dms_jax.runs.hosts import agreed_results
from dms_jax.runs.model_selection import ModelSelection
from dms_jax.runs.monitoring.run_summary import announce_devices, describe_run, keep_warnings, warn
from dms_jax.runs.monitoring.writers import RunWriter
from dms_jax.runs.reporting import next_steps
from dms_jax.runs.results import results_text
from dms_jax.runs.setup import RunData, claim, finished_results, set_up_process
from dms_jax.runs.validation import Validation, make_eval_step
from dms_jax.runs.warm_up import parameter_norm, warm_up
from dms_jax.runtime.devices import DATA_AXIS, replicate, shard_batch
from dms_jax.runtime.garbage import gc_disabled, gc_frozen, return_freed_memory
from dms_jax.runtime.processes import Processes
from dms_jax.runtime.signals import collect_interruptions, starting_deaf
from dms_jax.runtime.stopping import Stop
from dms_jax.training.optimizer import create_optimizer, learning_rate_schedule
from dms_jax.training.state import TrainState, empty_metrics, read_averages


def train(
    config: ConfigDict,
    workdir: str | os.PathLike[str],
    started: float | None = None,
    processes: Processes | None = None,
) -> dict[str, Any]:
    """Train the network that a configuration describes, or resume it, and test it.

    A work directory that holds a checkpoint of the same run is resumed; a finished run only shows its results.

    Args:
      config: see `dms_jax/runs/config/defaults.py`.
      workdir: where everything of the run is kept; made if absent.
      started: `time.monotonic()` of what the user takes for the start; None for this call's.
      processes: that train together, each of which calls this; None for one alone.

    Returns:
      The test results, as in `eval/test.json`.

    Raises:
      UserError: the configuration, the dataset or the work directory cannot be used, the loss is not finite any more,
        a device has too little memory, or the run was interrupted.
    """
    started = time.monotonic() if started is None else started
    config, workdir = with_absolute_paths(config), Path(workdir)
    processes = Processes() if processes is None else processes
    mesh = set_up_process(config, processes)
    results = finished_results(config, workdir, first=processes.index == 0)
    results = agreed_results(results, workdir, processes)
    if results is None:
        with ExitStack() as holding:
            data = claim(config, workdir, processes, holding)
            checkpoints = holding.enter_context(Checkpoints(workdir, keep=config.keep_checkpoints))
            starting = holding.enter_context(ExitStack())
            starting.enter_context(gc_disabled())
            # Before the checkpoints are closed, for which the processes wait for each other.
            holding.enter_context(processes.telling_failures())
            holding.enter_context(telling_of_full_memory(config))
            run = _Run.build(config, workdir, data, mesh, processes, checkpoints, started, starting)
            results = run.to_the_end()
    if processes.index == 0:
        print(f"{results_text(results)}\n\n{next_steps(workdir)}")
    return results


@dataclass
class _Run:
    """A run that has not reached its end: its batches, its step, its selection, its checkpoints and its monitoring."""

    config: ConfigDict
    batches: grain.DatasetIterator
    mesh: Mesh
    train_step: FiniteSteps
    state: TrainState
    schedule: optax.Schedule
    selection: ModelSelection
    checkpoints: Checkpoints
    writer: RunWriter
    stop: Stop
    pause_prepared: Future[None]
    started: float
    # Closed when the first step is done, after the last one, and at the end.
    starting: ExitStack
    stepping: ExitStack
    closing: ExitStack

    @classmethod
    def build(
        cls,
        config: ConfigDict,
        workdir: Path,
        data: RunData,
        mesh: Mesh,
        processes: Processes,
        checkpoints: Checkpoints,
        started: float,
        starting: ExitStack,
    ) -> "_Run":
        """Build what a run consists of, and restore it where it has begun already."""
        writes = processes.index == 0
        if writes:
            announce_devices(mesh)
            checkpoints.remove_unfinished()
            warn(checkpoints.set_aside_damaged(), ())
        processes.exchange("checkpoints looked through")
        checkpoints.reload()
        checkpoints.check_latest()
        done = checkpoints.latest_step or 0
        if done > config.steps:
            raise UserError(
                f"config.steps={config.steps}, but {workdir} is at step {done}: ask for {done} or more, or choose "
                "another --workdir."
            )
        checkpoints.drop_best_after(done)
        if writes:
            # Looking at every mask takes a while, and a run that goes on has said it.
            warnings = () if done else data_warnings(config, data.dataset, data.splits)
            warn(data.notes, warnings)
            if not done:
                keep_warnings(warnings, workdir)
        prior = data.splits.defective_share() if config.model.saliency_prior and not done else None
        model = build.build_model(config, len(data.dataset.class_names), DATA_AXIS, saliency_prior=prior)
        optimizer_config = build.optimizer_config(config)
        predict_step = make_predict_step(model, mesh, deterministic=config.deterministic)
        validation = None
        if data.splits.selection is not None:
            validation = Validation(
                config, data.splits.selection, make_eval_step(predict_step, mesh, ignores=data.splits.test.ignores)
            )
        with ExitStack() as closing:
            batches = build.read_training_batches(config, data.splits)
            closing.callback(batches.close)
            stepping = closing.enter_context(ExitStack())
            stop = processes.stop(stepping.enter_context(collect_interruptions(processes.program)))
            optimizer = create_optimizer(optimizer_config, config.steps)
            ready = warm_up(
                *(config, model, optimizer, mesh, checkpoints, batches, validation),
                ignores=data.splits.test.ignores,
                donate=not debugs_nans(),
                describe=lambda state: describe_run(config, data.dataset, state.params, workdir) if writes else None,
            )
            writer = closing.enter_context(
                RunWriter(
                    workdir,
                    num_steps=config.steps,
                    images_per_step=config.batch_size,
                    resume_step=int(ready.state.step) or None,
                    active=writes,
                )
            )
            for sentence in ready.sentences:
                writer.text(sentence)
            return cls(
                config=config,
                batches=batches,
                mesh=mesh,
                train_step=FiniteSteps(*(config, data.splits, model, optimizer, mesh), ready.train_step, ready.state),
                state=ready.state,
                # Compiled as one program: operation by operation it takes half a second the first time.
                schedule=jax.jit(learning_rate_schedule(optimizer_config, config.steps)),
                selection=ModelSelection(*(config, workdir, data, mesh, predict_step, validation, checkpoints, writer)),
                checkpoints=checkpoints,
                writer=writer,
                stop=stop,
                pause_prepared=ready.pause_prepared,
                started=started,
                starting=starting,
                stepping=stepping,
                closing=closing.pop_all(),
            )

    def to_the_end(self) -> dict[str, Any]:
        """Do the steps that are left, but one if there was an interruption already, and test the best checkpoint."""
        config = self.config
        with self.closing as closing:
            first = int(self.state.step) + 1
            self.stop.begin(first)
            for step in range(first, config.steps + 1):
                # With the first batch, the processes that load images are started.
                with starting_deaf() if step == first else nullcontext():
                    batch = next(self.batches)
                batch = build.with_seed(config, batch)
                self.state = self.train_step(self.state, shard_batch(batch, self.mesh))
                if step == first:
                    self._started(closing)
                is_last = step == config.steps
                if step % config.log_every == 0 or is_last:
                    self._log(step)
                self.writer.progress(step)
                if step - first < config.log_every and step % config.log_every == 0:
                    # And what TensorBoard has loaded.
                    closing.enter_context(gc_frozen())
                validates = step % config.evaluate_every == 0 or is_last
                with ExitStack() as pausing:
                    if validates:
                        self._pause(step, pausing)
                        self.selection.validate(step, self.state)
                    # A validation takes a while, and may have been interrupted.
                    stops = self.stop.stops_after(step)
                    # The last is saved while the best is tested.
                    if stops or (step % config.checkpoint_every == 0 and not is_last):
                        if not validates:
                            self._pause(step, pausing)
                        self.checkpoints.save(step, self.state, self.batches)
                if stops:
                    raise InterruptionError(
                        f"interrupted after step {step}, which is saved: run the same command to resume.",
                        self.stop.exit_code,
                    )
                if validates and step - first < config.evaluate_every:
                    # And what the first validation has traced.
                    closing.enter_context(gc_frozen())
            self.starting.close()
            # Testing is done anew in any case.
            self.stepping.close()
            return self.selection.save_and_test(self.state, self.batches)

    def _started(self, closing: ExitStack) -> None:
        jax.block_until_ready(self.state)
        self.writer.text(f"first step done {time.monotonic() - self.started:.1f} s after the start")
        self.starting.close()
        closing.enter_context(gc_frozen())

    def _log(self, step: int) -> None:
        """Write the averages since the last time, and begin new ones."""
        # All at once, and divided by NumPy: nothing is compiled, and the device waited for but once.
        averages = jax.device_get(self.state.metrics)
        self.train_step.check_metrics(step, averages)
        metrics = read_averages(averages)
        learning_rate = float(self.schedule(step - 1))
        speed = self.writer.progress(step, loss=metrics["loss"], learning_rate=learning_rate)
        scalars: dict[str, float | None] = {f"train/{name}": value for name, value in metrics.items()}
        scalars |= {"train/learning_rate": learning_rate, "train/images_per_second": speed}
        self.writer.write(step, scalars)
        empty = replicate(empty_metrics(tuple(self.state.metrics)), self.mesh)
        self.state = self.state.replace(metrics=empty)  # type: ignore[attr-defined]  # flax.struct's stubs lack it
        self.train_step.metrics_written(step)

    def _pause(self, step: int, pausing: ExitStack) -> None:
        """Wait for the steps that are still on their way; what comes until `pausing` is closed is not training."""
        jax.block_until_ready(self.state)
        pausing.enter_context(self.writer.pause())
        # Of evaluations and checkpoints: some megabytes every thousand steps.
        pausing.callback(return_freed_memory)
        # What failed there fails again where it is needed.
        self.pause_prepared.exception()
        self.train_step.check_metrics(step, jax.device_get(self.state.metrics))
        # The last loss is that of the parameters before this step: these may have gone wrong since.
        self.train_step.check_parameters(step, float(parameter_norm(self.state.params)))
