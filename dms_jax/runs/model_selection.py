"""Model selection: the best of a run's states is kept while it trains, and tested at the end."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grain
import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from dms_jax.checkpoints.manager import Checkpoints
from dms_jax.evaluation.report.cards import CardMaker
from dms_jax.inference.batching import BatchPredictor
from dms_jax.inference.predict_step import PredictStep
from dms_jax.runs.monitoring.writers import RunWriter
from dms_jax.runs.reporting import report_at_the_end
from dms_jax.runs.setup import RunData
from dms_jax.runs.testing import evaluate_network
from dms_jax.runs.validation import Validation, validation_score
from dms_jax.training.state import TrainState


@dataclass
class ModelSelection:
    """Which state of a run is its best checkpoint, and how good that one is.

    Attributes:
      config: the run's.
      workdir: the run's.
      data: what it learns from and is tested on.
      mesh: that it predicts on.
      predict_step: of its network.
      validation: what the best checkpoint is chosen on; None: it is the last state.
      checkpoints: the run's own.
      writer: is told what comes of it.
    """

    config: ConfigDict
    workdir: Path
    data: RunData
    mesh: Mesh
    predict_step: PredictStep
    validation: Validation | None
    checkpoints: Checkpoints
    writer: RunWriter

    def validate(self, step: int, state: TrainState) -> None:
        """Measure the state after a step on the validation split, and keep it if it is the best so far."""
        if self.validation is None:
            return
        started = time.monotonic()
        metrics = self.validation.measure(state.inference_variables)
        scalars = {
            "mae": metrics["mae"],
            "max_f": metrics["max_f"],
            "defective/mae": metrics["defective"]["mae"],
            "defective/max_f": metrics["defective"]["max_f"],
            "accuracy": metrics["accuracy"],
        }
        name = self.data.splits.selected_on
        self.writer.write(step, {f"{name}/{key}": value for key, value in scalars.items()})
        self.writer.show(step, {f"{name}/{number}": image for number, image in enumerate(self.validation.overlays)})
        shown = ", ".join(f"{key} {'n/a' if value is None else f'{value:.4f}'}" for key, value in scalars.items())
        self.writer.text(f"{name} after step {step} ({time.monotonic() - started:.1f} s): {shown}")
        if count := metrics["not_finite"]:
            self.writer.text(
                f"{name} after step {step}: for {count} of its crops the network's map or probabilities are no numbers "
                "(NaN), and what is measured of them means nothing: mend the network, or lower the learning rate"
            )
        score = validation_score(metrics)
        best = self.checkpoints.best_score
        # Of equals the later: it has learnt longer, from what nothing here can tell.
        if best is None or score >= best:
            self.checkpoints.save_best(step, state.inference_variables, score)

    def save_and_test(self, state: TrainState, batches: grain.DatasetIterator) -> dict[str, Any]:
        """Save the last state, and test the best checkpoint meanwhile.

        Args:
          state: after the last step; tested itself where nothing chooses.
          batches: the run's training batches, where that step has left them.

        Returns:
          The test results, as in `eval/test.json`.
        """
        config, checkpoints = self.config, self.checkpoints
        if self.validation is None or checkpoints.best_step is None:
            checkpoints.save_best(config.steps, state.inference_variables, None)
        # Its crops, which it caches, are not needed any more.
        self.validation = None
        with ThreadPoolExecutor(1) as thread:
            # Seconds of Orbax's own, for hundreds of arrays.
            saved = thread.submit(checkpoints.save, config.steps, state, batches)
            if jax.process_count() > 1:
                # Processes that wait for each other do so for one thing at a time.
                saved.result()
            results = self._test_best(state)
            saved.result()
        return results

    def _test_best(self, like: TrainState) -> dict[str, Any]:
        """Test the best checkpoint, whose variables lie where those of a state like it do, and keep the results."""
        config, checkpoints = self.config, self.checkpoints
        step = checkpoints.best_step
        assert step is not None  # saved above where there was none
        self.writer.text(f"testing step {step}")
        variables = checkpoints.restore_best(like.inference_variables)
        rows = config.batch_size // jax.process_count()
        cards = CardMaker() if config.report else None
        tested = evaluate_network(
            BatchPredictor(self.predict_step, variables, self.mesh, rows),
            *(config, self.data.dataset, self.data.splits),
            step=step,
            steps=config.steps,
            observe=cards,
        )
        if jax.process_index() == 0:
            self.data.description.with_threshold(tested.threshold).save(self.workdir)
            tested.save(self.workdir, "test")
        trouble = None if cards is None else report_at_the_end(cards, tested, self.workdir)
        if trouble:
            self.writer.text(trouble)
        return tested.results
