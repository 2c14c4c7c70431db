"""What the best checkpoint is chosen by: figures of a split's squares, counted on the devices while training."""

from functools import reduce
from typing import Any

from ml_collections import ConfigDict

from dms_jax.data.memory import Memory
from dms_jax.data.pieces import PieceSource
from dms_jax.data.pipeline import square_batches
from dms_jax.data.source import ExampleSource
from dms_jax.evaluation.device_metrics import EvaluationMetrics, device_figures
from dms_jax.training import configuration
from dms_jax.training.prediction import EvalStep
from dms_jax.training.step import abstract_batch, shard_batch

# Of `config.data.memory`, besides what the training squares have: twice what a validation split is of a training set.
_SHARE_OF_MEMORY = 0.25


class Selection:
    """The squares that the best checkpoint is chosen on, kept in memory once they are cut, and how they are measured.

    Args:
      config: the run's.
      source: the pictures.
      eval_step: of the run's network.
    """

    def __init__(self, config: ConfigDict, source: ExampleSource, eval_step: EvalStep) -> None:
        memory = Memory(int(_SHARE_OF_MEMORY * config.data.memory * 2**30))
        self._pieces = PieceSource(source, configuration.framing_config(config), memory)
        self._config = config
        self._eval_step = eval_step

    def measure(self, variables: Any) -> dict[str, Any]:
        """The final output's figures; see `dms_jax.evaluation.device_metrics.device_figures`.

        Args:
          variables: {"params", "batch_stats"} to predict with.
        """
        config, step = self._config, self._eval_step
        batches = square_batches(self._pieces, config.data.image_size, **configuration.reading_options(config))
        prepared = step.predict_step.prepare(variables)
        sums = [step(prepared, shard_batch(batch, step.mesh)) for batch in batches]
        return device_figures(reduce(EvaluationMetrics.merge, sums))

    def trace_ahead(self, variables: Any) -> None:
        """Do ahead, for abstract variables, what `measure` would wait for Python to do; see `EvalStep`."""
        batch = abstract_batch(self._config.batch_size, self._config.data.image_size, self._eval_step.mesh)
        self._eval_step.trace_ahead(variables, {**batch, "valid": batch["has_mask"]})


def selection_score(figures: dict[str, Any]) -> float:
    """What the best checkpoint is chosen by, higher is better: maxF on the defective pictures.

    Over all pictures a map that never fires scores 0.9 where most are free of defects. Without any defective picture
    it is the negative MAE, and without any known mask the accuracy.
    """
    max_f = figures["defective"]["max_f"]
    if max_f is not None:
        return max_f
    return (figures["accuracy"] or 0.0) if figures["mae"] is None else -figures["mae"]
