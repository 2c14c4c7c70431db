"""One run, from its configuration to its test results."""

import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grain
import jax
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from dms_jax.compilation_cache import keep_compiled_programs
from dms_jax.data.prepare import PreparedDataset
from dms_jax.errors import UserError
from dms_jax.models import DMS
from dms_jax.training import configuration
from dms_jax.training.checkpoint import Checkpoints, has_checkpoint
from dms_jax.training.configured_step import compile_train_step
from dms_jax.training.cudnn import leave_out_slow_engines
from dms_jax.training.garbage import collected_and_set_aside, postponed
from dms_jax.training.initialization import check_sources, starting_state
from dms_jax.training.interruption import collect_interruptions
from dms_jax.training.optimizer import create_optimizer, learning_rate_schedule
from dms_jax.training.preamble import announce_devices, describe_run
from dms_jax.training.prediction import make_eval_step, make_predict_step
from dms_jax.training.reading import read_training_batches
from dms_jax.training.results import load_results, results_text
from dms_jax.training.selection import Selection, selection_score
from dms_jax.training.snapshot import prepare_snapshots
from dms_jax.training.splits import Splits, choose_splits
from dms_jax.training.state import TrainState, abstract_state, empty_metrics
from dms_jax.training.step import DATA_AXIS, Batch, data_mesh, replicate, shard_batch
from dms_jax.training.testing import Tester, open_dataset
from dms_jax.training.writers import RunWriter, load_tensorboard


def train(config: ConfigDict, workdir: Path, started: float | None = None) -> dict[str, Any]:
    """Train the network that a configuration describes, or go on training it, and test it.

    A work directory that holds a checkpoint of the same run is resumed; a finished run only shows its results.

    Args:
      config: see `configs/common.py`.
      workdir: where everything of the run is kept; made if absent.
      started: `time.monotonic()` of what the user takes for the start; None for this call's.

    Returns:
      The test results, as in `eval/test.json`.

    Raises:
      UserError: the configuration, the dataset or the work directory cannot be used, the loss is not finite any more,
        or the run was interrupted.
    """
    started = time.monotonic() if started is None else started
    keep_compiled_programs()
    mesh = data_mesh()
    configuration.check(config, mesh.size)
    dtype = configuration.compute_dtype(config)
    leave_out_slow_engines(mesh.devices.flat[0], dtype, deterministic=config.deterministic)
    earlier = configuration.load(workdir)
    # A run that was stopped before its first checkpoint leaves nothing to resume: its directory is free.
    if earlier is not None and has_checkpoint(workdir):
        configuration.check_resumes(config, earlier, workdir)
        results = load_results(workdir, "test")
        if results is not None and results.get("steps") == config.steps:
            if jax.process_index() == 0:
                print(results_text(results))
            return results
    else:
        check_sources(config, configuration.build_model(config, num_classes=1))
    dataset = open_dataset(config)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if jax.process_index() == 0:
            configuration.save(config, workdir)
    except OSError as error:
        raise UserError(f"{workdir} cannot be written ({error.strerror}): choose another --workdir.") from error

    with Checkpoints(workdir, keep=config.keep_checkpoints) as checkpoints, ExitStack() as beginning:
        beginning.enter_context(postponed())
        done = checkpoints.latest_step or 0
        if done > config.steps:
            raise UserError(f"config.steps={config.steps}, but {workdir} is at step {done}: choose another --workdir.")
        checkpoints.drop_best_after(done)
        run = _Run(config, workdir, dataset, choose_splits(dataset, config), mesh, checkpoints, started, beginning)
        results = run.train_and_test()
    if jax.process_index() == 0:
        print(results_text(results))
    return results


@dataclass(frozen=True)
class _Run:
    """A run that has not reached its end, with all that its parts share."""

    config: ConfigDict
    workdir: Path
    dataset: PreparedDataset
    splits: Splits
    mesh: Mesh
    checkpoints: Checkpoints
    started: float
    # Closed when the first step is done.
    beginning: ExitStack

    def train_and_test(self) -> dict[str, Any]:
        """Do the steps that are left, and test the best checkpoint."""
        config, checkpoints = self.config, self.checkpoints
        is_first_process = jax.process_index() == 0
        if is_first_process:
            announce_devices(self.mesh)
        model = configuration.build_model(config, len(self.dataset.class_names), DATA_AXIS)
        optimizer = create_optimizer(configuration.optimizer_config(config), config.steps)
        batches = read_training_batches(config, self.splits)
        predict_step = make_predict_step(model, self.mesh, deterministic=config.deterministic)
        selection = None
        if self.splits.selection is not None:
            selection = Selection(config, self.splits.selection, make_eval_step(predict_step, self.mesh))
        with collect_interruptions() as interrupted:
            train_step, state, sentences, pause_prepared = self._begin(model, optimizer, batches, selection)
        with RunWriter(
            self.workdir,
            num_steps=config.steps,
            pictures_per_step=config.batch_size,
            resume_step=int(state.step) or None,
            active=is_first_process,
        ) as writer:
            for sentence in sentences:
                writer.text(sentence)
            try:
                state = self._steps(state, batches, train_step, selection, writer, interrupted, pause_prepared)
                # Also where no step was left.
                self.beginning.close()
            finally:
                batches.close()
                # And the pictures in their memory.
                del batches, selection
            if self.splits.selection is None or checkpoints.best_step is None:
                checkpoints.save_best(config.steps, state.inference_variables, None)
            writer.text(f"testing step {checkpoints.best_step}")
            tester = Tester(
                config,
                self.dataset,
                predict_step,
                checkpoints.restore_best(state.inference_variables),
                self.mesh,
                step=checkpoints.best_step,
                steps=config.steps,
            )
            tested = tester.test(self.splits)
        if is_first_process:
            tested.save(self.workdir, "test")
        return tested.results

    def _begin(
        self,
        model: DMS,
        optimizer: optax.GradientTransformation,
        batches: grain.DatasetIterator,
        selection: Selection | None,
    ) -> tuple[Callable[[TrainState, Batch], TrainState], TrainState, tuple[str, ...], Future[None]]:
        """The compiled training step, the state to go on from, what to say of it, and when `_prepare_pause` is done."""
        config, resumes = self.config, self.checkpoints.latest_step is not None
        # Counted and traced first: a thread that often waits for a file gets little done beside one that traces.
        asks = config.model.saliency_prior and not resumes
        share = self.splits.defective_share() if asks else None
        target = abstract_state(model, optimizer, self.mesh, average=config.average_decay > 0)
        # Compiling takes a minute on a GPU, drawing random weights ten seconds on the CPU: both at once. What is read
        # from a file may not fit, which is to be said before that minute.
        draws = not (resumes or config.init.checkpoint or config.init.backbone)
        pause = ThreadPoolExecutor(1)
        prepared: list[Future[None]] = []
        compile_step = partial(
            *(compile_train_step, config, model, optimizer, self.mesh, target),
            when_traced=lambda: prepared.append(pause.submit(self._prepare_pause, selection, target)),
        )
        with ThreadPoolExecutor(1) as compiler:
            compiled = compiler.submit(compile_step) if draws else None
            state, sentences = starting_state(config, model, optimizer, self.mesh, self.checkpoints, batches, share)
            if jax.process_index() == 0 and not resumes:
                describe_run(config, self.dataset, state.params, self.workdir)
            compiled = compiled or compiler.submit(compile_step)
            if jax.process_index() == 0:
                load_tensorboard()
            train_step = compiled.result()
        pause.shutdown(wait=False)
        return train_step, state, sentences, prepared[0]

    def _steps(
        self,
        state: TrainState,
        batches: grain.DatasetIterator,
        train_step: Callable[[TrainState, Batch], TrainState],
        selection: Selection | None,
        writer: RunWriter,
        interrupted: list[int],
        pause_prepared: Future[None],
    ) -> TrainState:
        """Do the steps that are left, but one if there was an interruption already."""
        config = self.config
        first = int(state.step) + 1
        # Compiled as one program: operation by operation it takes half a second the first time.
        schedule = jax.jit(learning_rate_schedule(configuration.optimizer_config(config), config.steps))
        with collect_interruptions(interrupted), ExitStack() as stack:
            for step in range(first, config.steps + 1):
                state = train_step(state, shard_batch(next(batches), self.mesh))
                if step == first:
                    jax.block_until_ready(state)
                    writer.text(f"first step done {time.monotonic() - self.started:.1f} s after the start")
                    self.beginning.close()
                    stack.enter_context(collected_and_set_aside())
                is_last = step == config.steps
                if step % config.log_every == 0 or is_last:
                    state = self._log(step, state, writer, float(schedule(step - 1)))
                writer.progress(step)
                evaluates = step % config.evaluate_every == 0 or is_last
                saves = step % config.checkpoint_every == 0 or is_last
                stops = bool(interrupted)
                if evaluates or saves or stops:
                    # Steps that are still on their way are no pause.
                    jax.block_until_ready(state)
                    with writer.pause(), self.checkpoints.written_afterwards():
                        # What failed there fails again where it is needed.
                        pause_prepared.exception()
                        # The last loss is that of the parameters before this step: these may have gone wrong since.
                        _check_finite(step, "norm of the parameters", float(_norm(state.params)))
                        if evaluates:
                            self._select(step, state, selection, writer)
                            if step - first < config.evaluate_every:
                                # What the first evaluation has traced.
                                stack.enter_context(collected_and_set_aside())
                        # An evaluation takes a while.
                        stops = bool(interrupted)
                        if saves or stops:
                            self.checkpoints.save(state, batches)
                if stops and not is_last:
                    raise UserError(f"interrupted after step {step}, which is saved: run the same command to go on.")
        return state

    def _log(self, step: int, state: TrainState, writer: RunWriter, learning_rate: float) -> TrainState:
        """Write the averages since the last time, and begin new ones."""
        # All at once, and divided by NumPy: nothing is compiled, and the device waited for but once.
        figures = {name: float(average.compute()) for name, average in jax.device_get(state.metrics).items()}
        _check_finite(step, "loss", figures["loss"])
        speed = writer.progress(step, loss=figures["loss"], learning_rate=learning_rate)
        scalars = {f"train/{name}": value for name, value in figures.items()}
        scalars |= {"train/learning_rate": learning_rate, "train/pictures_per_second": speed}
        writer.write(step, scalars)
        return state.replace(metrics=replicate(empty_metrics(tuple(state.metrics)), self.mesh))

    def _select(self, step: int, state: TrainState, selection: Selection | None, writer: RunWriter) -> None:
        """Measure the state on the selection split, and keep it if it is the best so far."""
        if selection is None:
            return
        started = time.monotonic()
        figures = selection.measure(state.inference_variables)
        scalars = {
            "mae": figures["mae"],
            "max_f": figures["max_f"],
            "defective/mae": figures["defective"]["mae"],
            "defective/max_f": figures["defective"]["max_f"],
            "accuracy": figures["accuracy"],
        }
        name = self.splits.selected_on
        writer.write(step, {f"{name}/{key}": value for key, value in scalars.items()})
        shown = ", ".join(f"{key} {'n/a' if value is None else f'{value:.4f}'}" for key, value in scalars.items())
        writer.text(f"{name} after step {step} ({time.monotonic() - started:.1f} s): {shown}")
        score = selection_score(figures)
        best = self.checkpoints.best_score
        if best is None or score > best:
            self.checkpoints.save_best(step, state.inference_variables, score)

    def _prepare_pause(self, selection: Selection | None, state: TrainState) -> None:
        """Do what the first pause would wait for, while XLA compiles the step and Python has nothing else to do."""
        prepare_snapshots(state, state.inference_variables)
        _norm.lower(state.params).compile()
        if selection is not None:
            selection.trace_ahead(state.inference_variables)


# In one program: one for each operation and shape would take half a minute to compile on a GPU.
_norm = jax.jit(optax.tree.norm)


def _check_finite(step: int, name: str, value: float) -> None:
    if not math.isfinite(value):
        raise UserError(
            f"the {name} is {value} at step {step}: lower config.optimizer.learning_rate, or raise its warmup_steps, "
            "with another --workdir."
        )
