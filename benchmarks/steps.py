"""The project's compiled training and prediction steps, timed with their inputs already on the device."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from networks import TIMED
from timing import latency, seconds_per_call

from dms_jax.inference.predict_step import make_predict_step
from dms_jax.models.dms import NETWORKS
from dms_jax.models.network import Network
from dms_jax.runtime.cuda_graphs import CALLS_UNTIL_PROVEN, compile_recorded, program
from dms_jax.runtime.cudnn import exclude_slow_cudnn_engines
from dms_jax.runtime.devices import DATA_AXIS, data_mesh, replicate, shard_batch
from dms_jax.training.augment import AugmentConfig
from dms_jax.training.losses import LossConfig
from dms_jax.training.optimizer import OptimizerConfig, create_optimizer
from dms_jax.training.state import TrainState, create_state
from dms_jax.training.step import make_train_step


@dataclass(frozen=True)
class Timed:
    """One step's time.

    Attributes:
      job: "train", "predict" or "latency" (a prediction that nothing is queued behind).
      batch: images a step, of all devices together.
      seconds: a step.
      memory_bytes: what the compiled step holds at once on each device: its arguments, results and what lies between.
    """

    job: str
    batch: int
    seconds: float
    memory_bytes: int


class Bench:
    """A network on the first devices, with random weights.

    Args:
      network: "bdms", "sdms", or one of `dms_jax.comparison.deep.DEEP_NETWORKS`.
      size: "full", "lite", "medium" or "small".
      image_size: side of the images in pixels.
      devices: how many share a batch.
      dtype: to compute in.
      remat: see `dms_jax.models.DMS`; not for the networks of the comparison.
      budget: seconds that each measurement takes, about.
      deterministic: see `dms_jax.runtime.compilation.compiler_options`.
      shared_statistics: see `dms_jax.training.step.make_train_step`.
    """

    def __init__(
        self,
        network: str,
        size: str,
        image_size: int,
        devices: int,
        dtype: Any,
        remat: bool,
        budget: float,
        deterministic: bool = False,
        shared_statistics: bool = True,
    ) -> None:
        self.mesh = data_mesh(jax.devices()[:devices])
        self.image_size = image_size
        self.budget = budget
        self.deterministic = deterministic
        axis_name = DATA_AXIS if shared_statistics else None
        kind = TIMED[network]
        fields = {"remat": remat} if network in NETWORKS else {}
        self.model: Network = kind(num_classes=6, dtype=dtype, axis_name=axis_name, **fields, **kind.sizes[size])
        self.optimizer = create_optimizer(OptimizerConfig(), 20_000)
        self._initial: TrainState | None = None
        if network in NETWORKS:  # as train.py does
            exclude_slow_cudnn_engines(self.mesh.devices.flat[0], dtype, deterministic=deterministic)

    def train(self, batch: int) -> Timed:
        """Time the whole training step: augmentation, forward and backward pass, update."""
        return self._timed("train", batch, *self.prepare("train", batch))

    def predict(self, batch: int) -> Timed:
        """Time prediction: normalisation, forward pass, 8-bit maps of every output, probabilities."""
        return self._timed("predict", batch, *self.prepare("predict", batch))

    def latency(self, batch: int) -> Timed:
        """Time a prediction that nothing is queued behind, the variables inside of its program."""
        return self._timed("latency", batch, *self.prepare("latency", batch))

    def prepare(self, job: str, batch: int) -> tuple[jax.stages.Compiled, Callable[[], Any]]:
        """The compiled step of "train", "predict" or "latency", and a function that runs it once."""
        images = shard_batch(self._images(batch), self.mesh)
        if job != "train":
            step = make_predict_step(self.model, self.mesh, deterministic=self.deterministic)
            prepared = step.prepare(replicate(self._state().inference_variables, self.mesh))
            predict = step.freeze(prepared) if job == "latency" else partial(step.run, prepared)
            # Run first: what can only be run in another way is then compiled as it runs.
            for _ in range(CALLS_UNTIL_PROVEN):
                jax.block_until_ready(predict(images["image"]))
            return program(predict.func, *predict.args, images["image"]), partial(predict, images["image"])
        step = make_train_step(
            self.model,
            self.optimizer,
            self.mesh,
            loss=LossConfig(),
            augment=AugmentConfig(),
            seed=0,
            deterministic=self.deterministic,
        )
        state = replicate(jax.tree.map(jnp.copy, self._state()), self.mesh)
        compiled = compile_recorded(step, self.mesh, state, images)

        def call() -> TrainState:
            nonlocal state
            state = compiled(state, images)
            return state

        for _ in range(CALLS_UNTIL_PROVEN):
            jax.block_until_ready(call())
        return program(compiled, state, images), call

    def _timed(self, job: str, batch: int, compiled: jax.stages.Compiled, call: Callable[[], Any]) -> Timed:
        seconds = latency(call, self.budget) if job == "latency" else seconds_per_call(call, self.budget, warm=True)
        memory = compiled.memory_analysis()
        held = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
        return Timed(job, batch, seconds, held + memory.temp_size_in_bytes)

    def _state(self) -> TrainState:
        if self._initial is None:
            self._initial = create_state(self.model, self.optimizer, seed=0)
        return self._initial

    def _images(self, batch: int) -> dict[str, np.ndarray]:
        random = np.random.default_rng(0)
        side = self.image_size
        return {
            "image": random.integers(0, 256, (batch, side, side, 3), np.uint8),
            "mask": (random.random((batch, side, side, 1)) > 0.9).astype(np.uint8) * 255,
            "label": random.integers(0, 6, batch, np.int32),
        }
