"""What the best checkpoint is chosen by: metrics of a split's crops, counted on the devices while training."""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from dms_jax.data.cache import ExampleCache
from dms_jax.data.crops import CropSource
from dms_jax.data.examples import ExampleSource
from dms_jax.data.image_files import IGNORED
from dms_jax.data.pipeline import crop_batches
from dms_jax.evaluation.measures.on_device import EvaluationMetrics, device_metrics
from dms_jax.inference.predict_step import PredictStep
from dms_jax.runs.config import build
from dms_jax.runs.monitoring.overlays import choose_rows, draw_overlay
from dms_jax.runtime.devices import DATA_AXIS, Batch, batch_sharding, is_gpu, local_rows, shard_batch
from dms_jax.training.step import abstract_batch

# Of `config.data.cache`, besides what the training crops have: twice what a validation split is of a training set.
_SHARE_OF_CACHE = 0.25


@dataclass(frozen=True)
class EvalStep:
    """Prediction and its measurement on the devices, for crops while training.

        prepared = predict_step.prepare(variables)
        sums = eval_step(prepared, batch)

    A batch is one as `dms_jax.data.pipeline.crop_batches` yields it, B a multiple of the number of devices. The sums
    are those over the whole batch, the same on every device.

    Attributes:
      predict_step: see `dms_jax.inference.predict_step.make_predict_step`. The network is compiled once for both: the
        maps stay where they are, and are measured by a small program of its own.
      measure: that program, of the maps, the probabilities, which are numbers and a batch without its images.
      mesh: see `dms_jax.runtime.devices.data_mesh`.
    """

    predict_step: PredictStep
    measure: jax.stages.Wrapped
    mesh: Mesh

    def __call__(self, prepared: Any, batch: Batch) -> EvaluationMetrics:
        """See `EvalStep`."""
        return self.with_maps(prepared, batch)[0]

    def with_maps(self, prepared: Any, batch: Batch) -> tuple[EvaluationMetrics, jax.Array]:
        """The sums, and the maps that they are of: uint8 [B, N, S, S], coarse to final."""
        maps, probabilities, finite = self.predict_step(prepared, batch["image"])
        sums = self.measure(maps, probabilities, finite, _truth(batch))
        if self.mesh.size > 1 and not is_gpu(self.mesh):
            # Several devices of a CPU wait for each other with the threads that they share: with several batches on
            # their way, none may be left for a device that all others wait for.
            jax.block_until_ready(sums)
        return sums, maps

    def trace_ahead(self, variables: Any, batch: Batch) -> None:
        """Trace what measuring such variables on such batches needs, both abstract: half of a first call's wait.

        Not compiled, which asks for the devices on their own where algorithms are tried.
        """
        prepared = self.predict_step.trace_prepare(variables)
        predict = self.predict_step.run.lower(prepared, batch["image"])
        sharding = batch_sharding(self.mesh)
        outputs = (jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding) for x in predict.out_info)
        self.measure.lower(*outputs, _truth(batch))


def make_eval_step(predict_step: PredictStep, mesh: Mesh, *, ignores: bool = False) -> EvalStep:
    """Compile measurement; see `EvalStep`.

    Args:
      predict_step: see `EvalStep`.
      mesh: see `EvalStep`.
      ignores: pixels whose mask is `dms_jax.data.image_files.IGNORED` do not count.
    """

    def measure(maps: jax.Array, probabilities: jax.Array, finite: jax.Array, batch: Batch) -> EvaluationMetrics:
        sums = EvaluationMetrics.single_from_model_output(
            maps=maps,
            probabilities=probabilities,
            finite=finite,
            masks=batch["mask"][..., 0],
            ignored=(batch["mask"][..., 0] == IGNORED) if ignores else None,
            has_mask=batch["has_mask"],
            contents=batch["content"],
            labels=batch["label"],
            valid=batch["valid"],
        )
        return jax.lax.psum(sums, DATA_AXIS)

    sharded = jax.jit(jax.shard_map(measure, mesh=mesh, in_specs=P(DATA_AXIS), out_specs=P()))
    return EvalStep(predict_step, sharded, mesh)


def _truth(batch: Batch) -> dict[str, Any]:
    return {name: value for name, value in batch.items() if name != "image"}


class Validation:
    """The crops that the best checkpoint is chosen on, cached once they are cut, and how they are measured.

    Args:
      config: the run's.
      source: the images.
      eval_step: of the run's network.

    Attributes:
      overlays: a few crops as they were last measured, the same ones each time: see
        `dms_jax.runs.monitoring.overlays.draw_overlay`.
    """

    def __init__(self, config: ConfigDict, source: ExampleSource, eval_step: EvalStep) -> None:
        cache = ExampleCache(int(_SHARE_OF_CACHE * config.data.cache * 2**30))
        self._crops = CropSource(source, build.framing_config(config), cache)
        self._config = config
        self._eval_step = eval_step
        self.overlays: tuple[np.ndarray, ...] = ()

    def measure(self, variables: Any) -> dict[str, Any]:
        """The final output's metrics; see `dms_jax.evaluation.measures.on_device.device_metrics`.

        Args:
          variables: {"params", "batch_stats"} to predict with.
        """
        config, step = self._config, self._eval_step
        batches = crop_batches(self._crops, config.data.image_size, **build.reading_options(config))
        prepared = step.predict_step.prepare(variables)
        sums: list[EvaluationMetrics] = []
        for batch in batches:
            found, maps = step.with_maps(prepared, shard_batch(batch, step.mesh))
            if not sums and config.tensorboard_images:
                finals = local_rows(maps)[:, -1]
                self.overlays = tuple(
                    draw_overlay(batch["image"][row], batch["mask"][row, ..., 0], finals[row])
                    for row in choose_rows(batch, config.tensorboard_images)
                )
            sums.append(found)
        return device_metrics(reduce(EvaluationMetrics.merge, sums))

    def trace_ahead(self, variables: Any) -> None:
        """Do ahead, for abstract variables, what `measure` would wait for Python to do; see `EvalStep`."""
        batch = abstract_batch(self._config.batch_size, self._config.data.image_size, self._eval_step.mesh)
        self._eval_step.trace_ahead(variables, {**batch, "valid": batch["has_mask"]})


def validation_score(metrics: dict[str, Any]) -> float:
    """What the best checkpoint is chosen by, higher is better: maxF on the defective images.

    Over all images a map that never fires scores 0.9 where most are free of defects. Without any defective image
    whose mask is known it is the accuracy, and without classes the negative MAE, which black maps win.
    """
    max_f, accuracy, mae = metrics["defective"]["max_f"], metrics.get("accuracy"), metrics["mae"]
    if max_f is not None:
        return max_f
    if accuracy is not None:
        return accuracy
    return 0.0 if mae is None else -mae
