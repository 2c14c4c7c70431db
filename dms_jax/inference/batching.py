"""From crops on the host to maps and class probabilities on the host, whatever the devices in between."""

from typing import Any

import numpy as np
from jax.sharding import Mesh

from dms_jax.inference.predict_step import PredictStep
from dms_jax.runtime.devices import local_rows, shard_batch


class BatchPredictor:
    """A network with certain variables, ready to predict crops.

    Args:
      predict_step: see `dms_jax.inference.predict_step.make_predict_step`.
      variables: {"params", "batch_stats"}.
      mesh: that the step runs on.
      rows: how many crops this process predicts at once.
    """

    def __init__(self, predict_step: PredictStep, variables: Any, mesh: Mesh, rows: int) -> None:
        self._predict_step = predict_step
        self._prepared = predict_step.prepare(variables)
        self._mesh = mesh
        self._rows = rows

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predict images uint8 [M, S, S, 3], M a multiple of the rows.

        Returns:
          The maps of all N outputs, uint8 [M, N, S, S], and the class probabilities, float32 [M, N, num_classes]
          ([M, 0, num_classes] without class heads).
        """
        predicted = []
        for start in range(0, len(images), self._rows):
            batch = shard_batch(images[start : start + self._rows], self._mesh)
            predicted.append(tuple(map(local_rows, self._predict_step(self._prepared, batch))))
        maps, probabilities = (np.concatenate(parts) for parts in zip(*predicted, strict=True))
        return maps, probabilities
