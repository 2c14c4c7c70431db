"""A trained network on a split of its dataset: the published metrics, on the host, at each image's own size."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from dms_jax.data.examples import ExampleSource
from dms_jax.data.pipeline import evaluation_batches
from dms_jax.data.prepared import PreparedDataset
from dms_jax.errors import UserError
from dms_jax.evaluation.evaluator import evaluate, merge_processes
from dms_jax.evaluation.observation import Observe
from dms_jax.evaluation.summary_metrics import compute_metrics
from dms_jax.evaluation.thresholds import OperatingThreshold, choose_threshold, no_threshold
from dms_jax.evaluation.totals import Evaluation
from dms_jax.inference.batching import BatchPredictor, Predict
from dms_jax.inference.flips import average_over_flips
from dms_jax.inference.predict_step import make_predict_step
from dms_jax.runs.config import build
from dms_jax.runs.dataset import reopen_dataset
from dms_jax.runs.open_run import OpenedRun, open_run
from dms_jax.runs.results import save_results
from dms_jax.runs.splits import (
    Splits,
    choose_splits,
    excluded_classes,
    named_split,
    training_facts,
)
from dms_jax.runtime.compilation_cache import keep_compiled_programs
from dms_jax.runtime.devices import data_mesh


@dataclass(frozen=True, eq=False)
class RunEvaluation:
    """What testing a network came to.

    Attributes:
      results: what was tested on what, and the metrics of `dms_jax.evaluation.summary_metrics.compute_metrics`.
      evaluation: what they were computed from.
      class_names: names of the classes that the evaluation's rows have numbers of.
      free_class: number of the defect-free class, or None.
      threshold: that it was tested with.
      notes: sentences for the user on the dataset.
    """

    results: dict[str, Any]
    evaluation: Evaluation
    class_names: tuple[str, ...]
    free_class: int | None
    threshold: OperatingThreshold
    notes: tuple[str, ...] = ()

    def save(self, workdir: Path, split: str) -> None:
        """Keep the results in a work directory; see `dms_jax.runs.results.save_results`."""
        save_results(self.results, workdir, split, self.evaluation.rows, self.class_names, self.free_class)


def evaluate_network(
    predict: Predict,
    config: ConfigDict,
    dataset: PreparedDataset,
    splits: Splits,
    *,
    step: int,
    steps: int,
    observe: Observe | None = None,
) -> RunEvaluation:
    """Choose the operating threshold, and test with it; every process must call it, and gets the same.

    Args:
      predict: the network with the variables to test.
      config: the run's.
      dataset: the run's.
      splits: what to choose the threshold on, and what to test on.
      step: after which the variables were saved.
      steps: that the run has trained.
      observe: called with each image that is tested on, in this process.

    Raises:
      UserError: there is no image to test on.
    """
    if not len(splits.test):
        # Of the test images it leaves none out.
        excludes = splits.test_name != "test" and excluded_classes(config)
        reason = "config.data.without leaves" if excludes else "there is"
        raise UserError(f"{reason} no image of {splits.test_name} to score: name another split.")
    extra_metrics = build.extra_metrics(config)

    def measure(
        source: ExampleSource,
        threshold: OperatingThreshold | None = None,
        *,
        with_sod: bool = True,
        observe: Observe | None = None,
    ) -> Evaluation:
        options = build.reading_options(config)
        framing = build.framing_config(config)
        batches = evaluation_batches(source, framing, **options, whole_images=observe is not None)
        final = threshold.final if threshold is not None else None
        return merge_processes(
            evaluate(
                predict,
                batches,
                free_class=dataset.free_class,
                threshold=final,
                with_sod=with_sod,
                extra_metrics=extra_metrics,
                observe=observe,
            )
        )

    threshold = no_threshold(splits.threshold_name)
    if splits.threshold is not None:
        chosen_on = measure(splits.threshold, with_sod=False)
        threshold = choose_threshold(chosen_on, splits.threshold_name, dataset.free_class)
        threshold = limit_false_alarms(threshold, config)
    evaluation = measure(splits.test, threshold, observe=observe)
    results = {
        "network": config.model.network,
        "size": config.model.size,
        "ablation": config.model.ablation,
        "dataset": dataset.name,
        "dataset_config": dataset.config,
        "split": splits.test_name,
        "selected_on": splits.selected_on,
        "steps": steps,
        "best_step": step,
        "trained_on": training_facts(splits, config, dataset.free_class),
        **compute_metrics(evaluation, threshold, class_names=dataset.class_names, free_class=dataset.free_class),
    }
    return RunEvaluation(results, evaluation, dataset.class_names, dataset.free_class, threshold)


def limit_false_alarms(threshold: OperatingThreshold, config: ConfigDict) -> OperatingThreshold:
    """The threshold with `config.evaluation.max_false_alarms`; as it is, saying so, where that cannot be judged."""
    share = config.evaluation.max_false_alarms
    if share >= 1:
        return threshold
    try:
        return threshold.with_false_alarms(share)
    except ValueError as error:
        note = f"{threshold.note}; false alarms are not limited: {error}"
        return replace(threshold, note=note, plain=replace(threshold.plain, note=note))


def evaluate_run(
    workdir: str | os.PathLike[str],
    split: str = "test",
    *,
    data_dir: str | None = None,
    manual_dir: str | None = None,
    max_false_alarms: float | None = None,
    flips: bool = False,
    observe: Observe | None = None,
) -> RunEvaluation:
    """Score the best checkpoint of a run on a split of its dataset, and keep the results in the work directory.

    The operating threshold is chosen on validation images. Of the split `validation` itself that makes the metrics
    at the threshold better than they are, which the results say.

    Args:
      workdir: of the run, finished or not.
      split: `train`, `validation` or `test`; the first two without the classes `config.data.without`.
      data_dir: where prepared datasets are kept; None for where the run had it.
      manual_dir: the dataset's files as published; None for where the run had them.
      max_false_alarms: see `config.evaluation.max_false_alarms`, which it replaces; with `test`, also for whoever
        evaluates the run later or predicts with it. 1 for no limit; None for what the run has.
      flips: average each prediction over the flips that the run was trained with (`dms_jax.inference.flips`). Results
        say so in `flips`; they and their threshold are not kept in the run, whose predictions do without.
      observe: called with each image that is tested on, in this process.

    Returns:
      The results, as in `eval/<split>.json`, and what they were computed from.

    Raises:
      UserError: there is no run, or it has no checkpoint to predict with yet, or its dataset cannot be had, or has
        other classes or images than the run was trained on, or it was trained without flips and `flips` is given.
    """
    keep_compiled_programs()
    workdir = Path(workdir)
    run = open_run(workdir)
    config = run.config
    if max_false_alarms is not None:
        with config.unlocked():
            config.evaluation.max_false_alarms = max_false_alarms
    dataset, splits, notes = open_splits(run, split, data_dir=data_dir, manual_dir=manual_dir)
    mesh = data_mesh()
    predict_step = make_predict_step(run.model, mesh, deterministic=config.deterministic)
    predict: Predict = BatchPredictor(predict_step, run.variables, mesh, config.batch_size // jax.process_count())
    if flips:
        axes = {axis: config.augment[f"{axis}_flip"] for axis in ("horizontal", "vertical")}
        if not any(axes.values()):
            raise UserError(f"{workdir} was trained without flips (config.augment), so flipped images are new to it.")
        predict = average_over_flips(predict, **axes)
    tested = evaluate_network(predict, config, dataset, splits, step=run.step, steps=run.steps, observe=observe)
    if max_false_alarms is not None and split != "test" and not flips:
        kept = f"max_false_alarms={max_false_alarms:g} is of these results of {split} alone"
        notes = (*notes, f"{kept}: evaluate test with it, and the run keeps it, for dms-jax predict too.")
    tested = replace(tested, notes=notes)
    if flips:
        return replace(tested, results={**tested.results, "flips": [axis for axis, used in axes.items() if used]})
    if jax.process_index() == 0:
        tested.save(workdir, split)
        # A limit goes into the run with what it comes to on test: nothing is predicted by one that was never tested.
        if split == "test" or (split == "train" and max_false_alarms is None):
            told = run.description if max_false_alarms is None else run.description.limiting(max_false_alarms)
            told.with_threshold(tested.threshold).save(workdir)
    return tested


def open_splits(
    run: OpenedRun, split: str, *, data_dir: str | None = None, manual_dir: str | None = None
) -> tuple[PreparedDataset, Splits, tuple[str, ...]]:
    """The dataset of a run, its splits with the named one to test on, and sentences for the user on them.

    Args:
      run: whose configuration is told where the dataset lies.
      split: `train`, `validation` or `test`.
      data_dir: see `evaluate_run`.
      manual_dir: the same.

    Raises:
      UserError: the dataset cannot be had, or has other classes or images than the run was trained on.
    """
    config = run.config
    with config.unlocked():
        config.data.data_dir = config.data.data_dir if data_dir is None else data_dir
        config.data.manual_dir = config.data.manual_dir if manual_dir is None else manual_dir
    elsewhere = data_dir is not None or manual_dir is not None
    dataset, notes = reopen_dataset(config, run.description, elsewhere=elsewhere)
    splits = choose_splits(dataset, config)
    if split != splits.test_name:
        splits = replace(splits, test=named_split(dataset, config, split), test_name=split)
        if excluded := excluded_classes(config):
            # The test images are always all of them.
            kept = f"{split} is scored without the images of {', '.join(excluded)}, as config.data.without says."
            notes = (*notes, kept)
    if split == "validation" and splits.threshold is not None:
        splits = replace(splits, threshold_remarks=(*splits.threshold_remarks, "these very images"))
    return dataset, splits, notes
