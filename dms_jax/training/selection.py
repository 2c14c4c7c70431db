"""What the best checkpoint is chosen by: figures of a split's squares, counted on the devices while training."""

from functools import reduce
from typing import Any

from ml_collections import ConfigDict

from dms_jax.data.pieces import PieceSource
from dms_jax.data.pipeline import square_batches
from dms_jax.data.source import ExampleSource
from dms_jax.evaluation.device_metrics import EvaluationMetrics, device_figures
from dms_jax.training import configuration
from dms_jax.training.prediction import EvalStep
from dms_jax.training.step import abstract_batch, shard_batch


def measure_selection(
    config: ConfigDict, selection: ExampleSource, eval_step: EvalStep, variables: Any
) -> dict[str, Any]:
    """The final output's figures; see `dms_jax.evaluation.device_metrics.device_figures`.

    Args:
      config: the run's.
      selection: the pictures.
      eval_step: of the run's network.
      variables: {"params", "batch_stats"} to predict with.
    """
    pieces = PieceSource(selection, configuration.framing_config(config))
    batches = square_batches(pieces, config.data.image_size, **configuration.reading_options(config))
    prepared = eval_step.predict_step.prepare(variables)
    sums = [eval_step(prepared, shard_batch(batch, eval_step.mesh)) for batch in batches]
    return device_figures(reduce(EvaluationMetrics.merge, sums))


def trace_selection(config: ConfigDict, eval_step: EvalStep, variables: Any) -> None:
    """Do ahead, for abstract variables, what `measure_selection` would wait for Python to do; see `EvalStep`."""
    batch = abstract_batch(config.batch_size, config.data.image_size, eval_step.mesh)
    eval_step.trace_ahead(variables, {**batch, "valid": batch["has_mask"]})


def selection_score(figures: dict[str, Any]) -> float:
    """What the best checkpoint is chosen by, higher is better: maxF on the defective pictures.

    Over all pictures a map that never fires scores 0.9 where most are free of defects. Without any defective picture
    it is the negative MAE, and without any known mask the accuracy.
    """
    max_f = figures["defective"]["max_f"]
    if max_f is not None:
        return max_f
    return (figures["accuracy"] or 0.0) if figures["mae"] is None else -figures["mae"]
