"""From crops on the host to maps and class probabilities on the host, whatever the devices in between."""

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from dms_jax.inference.predict_step import PredictStep
from dms_jax.runtime.devices import is_gpu, local_rows, shard_batch

Answers = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]
# Images uint8 [M, S, S, 3] to maps uint8 [M, N, S, S], class probabilities float32 [M, N, K] (or [M, 0, K]), and
# whether all of both are numbers, bool [M].
Predict = Callable[[NDArray[np.uint8]], Answers]


class BatchPredictor:
    """A network with certain variables, ready to predict crops; may be called by several threads at once.

    Args:
      predict_step: see `dms_jax.inference.predict_step.make_predict_step`.
      variables: {"params", "batch_stats"}.
      mesh: that the step runs on.
      rows: how many crops this process predicts at once; a multiple of its devices.

    Attributes:
      rows: that.
      calls_at_once: how many calls are worth making at the same time.
    """

    def __init__(self, predict_step: PredictStep, variables: Any, mesh: Mesh, rows: int) -> None:
        self._predict_step = predict_step
        self._prepared = predict_step.prepare(variables)
        self._mesh = mesh
        self._devices = len(mesh.local_devices)
        self._lock = Lock()
        self.rows = rows
        # While a GPU computes, the result before may be fetched; a CPU has nothing to spare for a second call.
        self.calls_at_once = 2 if is_gpu(mesh) else 1

    def __call__(self, images: NDArray[np.uint8]) -> Answers:
        """Predict images uint8 [M, S, S, 3].

        They are predicted `rows` at a time. What is left over is filled up on a GPU; a CPU, which takes as long for
        each row, predicts it a row at a time on each device. So no more than two sizes are compiled.

        Returns:
          The maps of all N outputs, uint8 [M, N, S, S], the class probabilities, float32 [M, N, num_classes]
          ([M, 0, num_classes] without class heads), and whether all of both are numbers, bool [M].
        """
        results: list[tuple[np.ndarray, ...]] = []
        start = 0
        while start < len(images) or not results:
            left = len(images) - start
            few = left <= self._devices or not is_gpu(self._mesh)
            rows = self._devices if left < self.rows and few else self.rows
            part = images[start : start + rows]
            if len(part) < rows:
                part = np.concatenate([part, np.zeros((rows - len(part), *part.shape[1:]), np.uint8)])
            # One after the other: the step finds out in its first calls how it is run best.
            with self._lock:
                output = self._predict_step(self._prepared, shard_batch(part, self._mesh))
            results.append(tuple(local_rows(array)[:left] for array in output))
            start += rows
        maps, probabilities, finite = (
            parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in zip(*results, strict=True)
        )
        return maps, probabilities, finite
