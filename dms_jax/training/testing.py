"""A trained network on a split of its dataset: the published figures, on the host, at each picture's own size."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from dms_jax.compilation_cache import keep_compiled_programs
from dms_jax.data.pipeline import evaluation_batches
from dms_jax.data.prepare import PreparedDataset, prepare
from dms_jax.data.source import ExampleSource
from dms_jax.errors import UserError
from dms_jax.evaluation.evaluator import evaluate, merge_processes
from dms_jax.evaluation.figures import compute_figures
from dms_jax.evaluation.scoring import Evaluation
from dms_jax.evaluation.thresholds import OperatingThreshold, choose_threshold, no_threshold
from dms_jax.training import configuration
from dms_jax.training.checkpoint import Checkpoints, has_best
from dms_jax.training.prediction import PredictStep, make_predict_step
from dms_jax.training.results import save_results
from dms_jax.training.splits import Splits, choose_splits
from dms_jax.training.step import DATA_AXIS, data_mesh, local_rows, shard_batch


@dataclass(frozen=True, eq=False)
class Tested:
    """What testing a network came to.

    Attributes:
      results: what was tested on what, and the figures of `dms_jax.evaluation.figures.compute_figures`.
      evaluation: what they were computed from.
      class_names: names of the classes that the evaluation's rows have numbers of.
    """

    results: dict[str, Any]
    evaluation: Evaluation
    class_names: tuple[str, ...]

    def save(self, workdir: Path, split: str) -> None:
        """Keep the results in a work directory; see `dms_jax.training.results.save_results`."""
        save_results(self.results, workdir, split, self.evaluation.rows, self.class_names)


@dataclass(frozen=True)
class Tester:
    """A run's network with certain variables, ready to be tested.

    Attributes:
      config: the run's.
      dataset: the run's.
      predict_step: see `dms_jax.training.prediction.make_predict_step`.
      variables: {"params", "batch_stats"}.
      mesh: that the step runs on.
      step: after which the variables were saved.
      steps: that the run has trained.
    """

    config: ConfigDict
    dataset: PreparedDataset
    predict_step: PredictStep
    variables: Any
    mesh: Mesh
    step: int
    steps: int

    def test(self, splits: Splits) -> Tested:
        """Choose the operating threshold, and test with it; every process must call it, and gets the same."""
        threshold = no_threshold(splits.threshold_name)
        if splits.threshold is not None:
            chosen_on = self._evaluate(splits.threshold, with_sod=False)
            threshold = choose_threshold(chosen_on, splits.threshold_name)
        evaluation = self._evaluate(splits.test, threshold)
        config = self.config
        results = {
            "network": config.model.network,
            "size": config.model.size,
            "ablation": config.model.ablation,
            "dataset": self.dataset.name,
            "dataset_config": self.dataset.config,
            "split": splits.test_name,
            "selected_on": splits.selected_on,
            "steps": self.steps,
            "best_step": self.step,
            **compute_figures(
                evaluation,
                threshold,
                class_names=self.dataset.class_names,
                free_class=self.dataset.free_class,
            ),
        }
        return Tested(results, evaluation, self.dataset.class_names)

    def _evaluate(
        self, source: ExampleSource, threshold: OperatingThreshold | None = None, *, with_sod: bool = True
    ) -> Evaluation:
        def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            rows = self.config.batch_size // jax.process_count()
            predicted = []
            for start in range(0, len(images), rows):
                batch = shard_batch(images[start : start + rows], self.mesh)
                predicted.append(tuple(map(local_rows, self.predict_step(prepared, batch))))
            maps, probabilities = (np.concatenate(parts) for parts in zip(*predicted, strict=True))
            return maps, probabilities

        prepared = self.predict_step.prepare(self.variables)
        batches = evaluation_batches(
            source, configuration.framing_config(self.config), **configuration.reading_options(self.config)
        )
        return merge_processes(
            evaluate(
                predict,
                batches,
                free_class=self.dataset.free_class,
                threshold=threshold.final if threshold is not None else None,
                with_sod=with_sod,
            )
        )


def evaluate_run(
    workdir: Path, split: str = "test", *, data_dir: str | None = None, manual_dir: str | None = None
) -> Tested:
    """Score the best checkpoint of a run on a split of its dataset, and keep the results in the work directory.

    The operating threshold is chosen on validation pictures. Of the split `validation` itself that makes the figures
    at the threshold better than they are, which the results say.

    Args:
      workdir: of the run, finished or not.
      split: `train`, `validation` or `test`.
      data_dir: where prepared datasets are kept; None for where the run had it.
      manual_dir: the dataset's files as published; None for where the run had them.

    Returns:
      The results, as in `eval/<split>.json`, and what they were computed from.

    Raises:
      UserError: there is no run, or it has no checkpoint to predict with yet, or its dataset cannot be had.
    """
    config = configuration.load_run(workdir)
    if not has_best(workdir):
        raise UserError(f"{workdir} has no best checkpoint yet: train until config.evaluate_every at least.")
    with config.unlocked():
        config.data.data_dir = config.data.data_dir if data_dir is None else data_dir
        config.data.manual_dir = config.data.manual_dir if manual_dir is None else manual_dir
    keep_compiled_programs()
    mesh = data_mesh()
    if config.batch_size % mesh.size:
        config.batch_size = -(-config.batch_size // mesh.size) * mesh.size
    configuration.check(config, mesh.size)
    dataset = open_dataset(config)
    splits = choose_splits(dataset, config)
    if split != splits.test_name:
        splits = replace(splits, test=dataset.source(split), test_name=split)
    if split == "validation":
        splits = replace(splits, threshold_name="validation (these very pictures)")
    model = configuration.build_model(config, len(dataset.class_names), DATA_AXIS)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False))
    sharding = NamedSharding(mesh, PartitionSpec())
    template = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes)
    with Checkpoints(workdir, keep=config.keep_checkpoints) as checkpoints:
        tester = Tester(
            config,
            dataset,
            make_predict_step(model, mesh, deterministic=config.deterministic),
            checkpoints.restore_best(template),
            mesh,
            step=checkpoints.best_step,
            steps=checkpoints.latest_step or checkpoints.best_step,
        )
    tested = tester.test(splits)
    if jax.process_index() == 0:
        tested.save(workdir, split)
    return tested


def open_dataset(config: ConfigDict) -> PreparedDataset:
    """The dataset that a configuration names, prepared if it is not yet."""
    return prepare(
        config.data.dataset,
        split=config.data.split,
        data_dir=config.data.data_dir,
        manual_dir=config.data.manual_dir,
        synthetic=config.data.synthetic,
        skip_bad=config.data.skip_bad,
    )
