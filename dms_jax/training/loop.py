"""One run, from its configuration to its test results."""

import json
import math
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np
from clu import parameter_overview
from jax.sharding import Mesh
from ml_collections import ConfigDict

from dms_jax.data.pipeline import evaluation_batches, training_batches, training_order
from dms_jax.data.prepare import PreparedDataset, prepare
from dms_jax.data.source import ExampleSource, defective_share, one_of_each_class
from dms_jax.errors import UserError
from dms_jax.evaluation.evaluator import OutputTotals, Predict, evaluate, merge_processes, summarise
from dms_jax.training import configuration
from dms_jax.training.checkpoint import Checkpoints
from dms_jax.training.optimizer import create_optimizer, learning_rate_schedule
from dms_jax.training.results import load_results, results_table, save_results
from dms_jax.training.state import TrainState, create_state, empty_metrics
from dms_jax.training.step import (
    DATA_AXIS,
    data_mesh,
    local_rows,
    make_predict_step,
    make_train_step,
    replicate,
    shard_batch,
)
from dms_jax.training.writers import RunWriter


def train(config: ConfigDict, workdir: Path) -> dict[str, Any]:
    """Train the network that a configuration describes, or go on training it, and test it.

    A work directory that holds a checkpoint of the same run is resumed; a finished run only shows its results.

    Args:
      config: see `configs/common.py`.
      workdir: where everything of the run is kept; made if absent.

    Returns:
      The test results, as in `eval/test.json`.

    Raises:
      UserError: the configuration, the dataset or the work directory cannot be used, the loss is not finite any more,
        or the run was interrupted.
    """
    started = time.monotonic()
    mesh = data_mesh()
    configuration.check(config, mesh.size)
    earlier = configuration.load(workdir)
    if earlier is not None:
        configuration.check_resumes(config, earlier, workdir)
    _announce(mesh)
    dataset = prepare(
        config.data.dataset,
        split=config.data.split,
        data_dir=config.data.data_dir,
        manual_dir=config.data.manual_dir,
        synthetic=config.data.synthetic,
    )
    splits = choose_splits(dataset, config)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        configuration.save(config, workdir)
    except OSError as error:
        raise UserError(f"{workdir} cannot be written ({error.strerror}): choose another --workdir.") from error

    with Checkpoints(workdir, keep=config.keep_checkpoints) as checkpoints:
        results = load_results(workdir, "test")
        if results is None or results["steps"] != config.steps or checkpoints.latest_step != config.steps:
            results = _train_and_test(config, workdir, dataset, splits, mesh, checkpoints, started)
    if jax.process_index() == 0:
        print(results_table(results))
    return results


@dataclass(frozen=True)
class Splits:
    """What a run learns from, chooses its best checkpoint by, and is tested on."""

    train: tuple[ExampleSource, ...]
    selection: ExampleSource
    test: ExampleSource


def choose_splits(dataset: PreparedDataset, config: ConfigDict) -> Splits:
    """The splits of a dataset as `config.data.select_on` and `config.data.overfit` would have them."""
    train, validation, test = (dataset.source(name) for name in ("train", "validation", "test"))
    if config.data.overfit:
        few = train.subset(one_of_each_class(train.labels(), config.data.overfit))
        return Splits((few,), few, few)
    if config.data.select_on == "test":
        return Splits((train, validation), test, test)
    return Splits((train,), validation, test)


def _train_and_test(
    config: ConfigDict,
    workdir: Path,
    dataset: PreparedDataset,
    splits: Splits,
    mesh: Mesh,
    checkpoints: Checkpoints,
    started: float,
) -> dict[str, Any]:
    model = configuration.build_model(config, len(dataset.class_names), DATA_AXIS)
    optimizer = create_optimizer(configuration.optimizer_config(config), config.steps)
    resumes = checkpoints.latest_step is not None
    prior = config.model.saliency_prior and not resumes
    state = replicate(
        create_state(
            model,
            optimizer,
            seed=config.seed,
            defective_share=_share(splits.train) if prior else None,
            average=config.average_decay > 0,
        ),
        mesh,
    )
    batches = training_batches(
        training_order(splits.train, seed=config.seed, defective_fraction=config.data.defective_fraction),
        batch_size=config.batch_size,
        image_size=config.data.image_size,
        workers=config.data.workers,
        threads=config.data.threads,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    if resumes:
        state = checkpoints.restore(state, batches)
    elif jax.process_index() == 0:
        _describe(config, dataset, state, workdir)
    predict = _predictor(make_predict_step(model, mesh), state, mesh)
    writer = RunWriter(
        workdir,
        num_steps=config.steps,
        pictures_per_step=config.batch_size,
        resume_step=int(state.step) if resumes else None,
        active=jax.process_index() == 0,
    )
    with writer:
        if resumes:
            writer.text(f"resuming at step {int(state.step)}")
        train_step = make_train_step(
            model,
            optimizer,
            mesh,
            loss=configuration.loss_config(config),
            augment=configuration.augment_config(config),
            seed=config.seed,
            average_decay=config.average_decay,
        )
        run = _Run(config, splits, mesh, checkpoints, writer, predict)
        try:
            state = run.steps(train_step, state, batches, started)
        finally:
            batches.close()
        if checkpoints.best_step is None:
            checkpoints.save_best(int(state.step), state.inference_variables, None)
        writer.text(f"testing the checkpoint of step {checkpoints.best_step}")
        best = checkpoints.restore_best(state.inference_variables)
        totals = run.evaluate(splits.test, best)
    results = {
        "network": config.model.network,
        "size": config.model.size,
        "ablation": config.model.ablation,
        "dataset": dataset.name,
        "dataset_config": dataset.config,
        "split": "train" if config.data.overfit else "test",
        "selected_on": "train" if config.data.overfit else config.data.select_on,
        "steps": config.steps,
        "best_step": checkpoints.best_step,
        **summarise(totals),
    }
    if jax.process_index() == 0:
        save_results(results, workdir, "test")
    return results


@dataclass(frozen=True)
class _Run:
    """What the steps of a run need and do not change."""

    config: ConfigDict
    splits: Splits
    mesh: Mesh
    checkpoints: Checkpoints
    writer: RunWriter
    predict: Any

    def steps(self, train_step: Any, state: TrainState, batches: grain.DatasetIterator, started: float) -> TrainState:
        """Do all the steps that are left."""
        config, writer = self.config, self.writer
        first = int(state.step)
        learning_rate = learning_rate_schedule(configuration.optimizer_config(config), config.steps)
        with _interruptions() as interrupted:
            for step in range(first + 1, config.steps + 1):
                state = train_step(state, shard_batch(next(batches), self.mesh))
                if step == first + 1:
                    jax.block_until_ready(state)
                    writer.text(f"first step done {time.monotonic() - started:.1f} s after the start")
                last = step == config.steps
                if step % config.log_every == 0 or last:
                    state = self._log(step, state, float(learning_rate(step - 1)))
                writer.progress(step)
                if step % config.evaluate_every == 0 or last:
                    with writer.pause():
                        self._select(step, state)
                if step % config.checkpoint_every == 0 or last or interrupted:
                    with writer.pause():
                        self._check_finite(step, float(state.metrics["loss"].total))
                        self.checkpoints.save(state, batches)
                if interrupted:
                    raise UserError(f"interrupted at step {step}, which is saved: run the same command to go on.")
        return state

    def evaluate(self, source: ExampleSource, variables: Any) -> list[OutputTotals]:
        """Score every output on all pictures of a split."""
        pictures = evaluation_batches(
            source,
            batch_size=-(-self.config.batch_size // self.mesh.size) * self.mesh.size,
            image_size=self.config.data.image_size,
            threads=self.config.data.threads,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        return merge_processes(evaluate(self.predict(variables), pictures))

    def _log(self, step: int, state: TrainState, learning_rate: float) -> TrainState:
        figures = {name: float(average.compute()) for name, average in state.metrics.items()}
        self._check_finite(step, figures["loss"])
        speed = self.writer.progress(step, loss=figures["loss"], learning_rate=learning_rate)
        self.writer.write(
            step,
            {
                **{f"train/{name}": value for name, value in figures.items()},
                "train/learning_rate": learning_rate,
                "train/pictures_per_second": speed,
            },
        )
        return state.replace(metrics=replicate(empty_metrics(tuple(state.metrics)), self.mesh))

    def _select(self, step: int, state: TrainState) -> None:
        """Measure the state on the selection split, and keep it if it is the best so far."""
        started = time.monotonic()
        figures = summarise(self.evaluate(self.splits.selection, state.inference_variables))
        self.writer.write(
            step,
            {
                "validation/mae": figures["mae"],
                "validation/max_f": figures["max_f"],
                "validation/defective_mae": figures["defective"]["mae"],
                "validation/defective_max_f": figures["defective"]["max_f"],
                "validation/accuracy": figures["accuracy"],
            },
        )
        score = selection_score(figures)
        best = self.checkpoints.best_score
        self.writer.text(
            f"validation at step {step} ({time.monotonic() - started:.1f} s): "
            + ", ".join(
                f"{name} {'n/a' if value is None else format(value, '.4f')}"
                for name, value in (
                    ("MAE", figures["mae"]),
                    ("maxF", figures["max_f"]),
                    ("maxF of defective", figures["defective"]["max_f"]),
                    ("accuracy", figures["accuracy"]),
                )
            )
        )
        if best is None or score > best:
            self.checkpoints.save_best(step, state.inference_variables, score)

    def _check_finite(self, step: int, loss: float) -> None:
        if not math.isfinite(loss):
            raise UserError(
                f"the loss is {loss} at step {step}: lower config.optimizer.learning_rate, or raise its warmup_steps."
            )


def selection_score(figures: dict[str, Any]) -> float:
    """What the best checkpoint is chosen by, higher is better: maxF on the defective pictures.

    Over all pictures a map that never fires scores 0.9 where most are free of defects. Without any defective picture
    it is the negative MAE.
    """
    max_f = figures["defective"]["max_f"]
    return -figures["mae"] if max_f is None else max_f


def _predictor(predict_step: Any, state: TrainState, mesh: Mesh) -> Any:
    """The evaluator's view of the compiled prediction, for given variables."""

    def with_variables(variables: Any) -> Predict:
        def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            maps, probabilities = predict_step(variables, shard_batch(images, mesh))
            return local_rows(maps), local_rows(probabilities)

        return predict

    return with_variables


def _share(sources: tuple[ExampleSource, ...]) -> float:
    return float(np.average([defective_share(s) for s in sources], weights=[len(s) for s in sources]))


def _announce(mesh: Mesh) -> None:
    if jax.process_index() != 0:
        return
    kinds = sorted({device.device_kind for device in mesh.devices.flat})
    print(f"{mesh.size} device(s): {', '.join(kinds)}", file=sys.stderr)
    if jax.default_backend() == "cpu":
        print(
            "*** NO ACCELERATOR FOUND: COMPUTING ON THE CPU, MANY TIMES SLOWER (for an NVIDIA GPU: "
            "pip install -e '.[cuda]') ***",
            file=sys.stderr,
        )


def _describe(config: ConfigDict, dataset: PreparedDataset, state: TrainState, workdir: Path) -> None:
    """Print the configuration and the parameters, and store what is too long to print."""
    print(f"configuration (also in {workdir / configuration.CONFIG_NAME}):", file=sys.stderr)
    print(json.dumps(config.to_dict(), indent=2), file=sys.stderr)
    parts = {name: parameter_overview.count_parameters(tree) for name, tree in state.params.items()}
    lines = [f"  {name:<12} {count:>12,}" for name, count in parts.items()]
    lines.append(f"  {'total':<12} {sum(parts.values()):>12,}")
    (workdir / "parameters.txt").write_text(
        parameter_overview.get_parameter_overview(state.params, include_stats=False) + "\n"
    )
    print(f"parameters (each one in {workdir / 'parameters.txt'}):", *lines, sep="\n", file=sys.stderr)
    sizes = ", ".join(f"{count} {name}" for name, count in dataset.sizes.items())
    print(f"{dataset.name} ({dataset.config}): {sizes} pictures", file=sys.stderr)


@contextmanager
def _interruptions() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying from them: the list holds what came. A second SIGINT kills."""
    received: list[int] = []

    def receive(number: int, frame: Any) -> None:
        received.append(number)
        signal.signal(number, previous[number])

    try:
        previous = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: whoever runs this there handles signals
        yield received
        return
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
