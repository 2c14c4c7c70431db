"""Numbers that are not finite: they end a run, with the step, its images and, where it is debugged, the layer."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from dms_jax.errors import UserError
from dms_jax.models.network import Network
from dms_jax.runs.config import build
from dms_jax.runs.splits import Splits
from dms_jax.runtime.devices import Batch
from dms_jax.training.first_not_finite import find_first_not_finite
from dms_jax.training.state import TrainState

Step = Callable[[TrainState, Batch], TrainState]

_SET_ASIDE = "lower config.optimizer.learning_rate, or raise its warmup_steps, with another --workdir"


def debugs_nans() -> bool:
    """Whether each step is looked at: JAX_DEBUG_NANS or JAX_DEBUG_INFS is set (or the option of `jax.config`)."""
    # Of `jax.config`, whose types are not declared.
    config: Any = jax.config
    return bool(config.jax_debug_nans or config.jax_debug_infs)


class FiniteSteps:
    """A run's training steps, as long as all numbers are finite.

    A step is not waited for: the state's metrics tell afterwards which one it was (`dms_jax.training.state`). With
    JAX_DEBUG_NANS each step is looked at, and the first that is not sound is done again module by module.

    Args:
      config: the run's.
      splits: what it learns from.
      model: its network.
      optimizer: its optimiser.
      mesh: that the step runs on.
      train_step: see `dms_jax.training.step.make_train_step`; where steps are debugged, its state is not donated.
      state: that the first step is given.
    """

    def __init__(
        self,
        config: ConfigDict,
        splits: Splits,
        model: Network,
        optimizer: optax.GradientTransformation,
        mesh: Mesh,
        train_step: Step,
        state: TrainState,
    ) -> None:
        self._config, self._splits = config, splits
        self._model, self._optimizer, self._mesh = model, optimizer, mesh
        self._train_step = train_step
        self._debugs = debugs_nans()
        step, count = jax.device_get((state.step, state.metrics["loss"].count))
        self._written = int(step) - int(count)

    def __call__(self, state: TrainState, batch: Batch) -> TrainState:
        """Do a step.

        Raises:
          UserError: steps are debugged, and a number is not finite.
        """
        if not self._debugs:
            return self._train_step(state, batch)
        # JAX's own look at the results would end in an error that names no layer of a step that is compiled ahead.
        with jax.debug_nans(False), jax.debug_infs(False):
            following = self._train_step(state, batch)
            metrics = jax.device_get(following.metrics)
            norm = float(optax.tree.norm(following.params))
            if np.isfinite(metrics["loss"].total) and np.isfinite(norm):
                return following
            objective = build.objective(self._config, self._model, ignores=self._splits.test.ignores)
            found = find_first_not_finite(objective, self._optimizer, self._mesh, state, batch)
        where = found or "computed module by module, everything is finite"
        raise self._error(int(state.step) + 1, _what(metrics), f"; {where}: {_SET_ASIDE}.")

    def check_metrics(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Look at the metrics of the steps since they were written last, on the host.

        Args:
          step: after which they are looked at.
          metrics: `TrainState.metrics`, with NumPy's numbers.

        Raises:
          UserError: a loss or an update was not finite.
        """
        loss = metrics["loss"]
        if not np.isfinite(loss.total):
            first = self._written + int(loss.count) + 1
            # After an update that is not finite, neither are the next steps' losses, which stand in the metrics too.
            what = _what(metrics) if first == step else "loss or the update of the parameters is not finite"
            raise self._error(first, what, f": {_SET_ASIDE}{_how_to_debug()}.")

    def metrics_written(self, step: int) -> None:
        """Take note that the metrics begin anew after a step."""
        self._written = step

    def check_parameters(self, step: int, norm: float) -> None:
        """Look at the norm of the parameters after a step whose own loss and update, and those before, are finite.

        Raises:
          UserError: it is not.
        """
        if not np.isfinite(norm):
            raise self._error(step, f"norm of the parameters is {norm}", f": {_SET_ASIDE}{_how_to_debug()}.")

    def _error(self, step: int, what: str, end: str) -> UserError:
        names = build.names_in_batch(self._config, self._splits, step)
        # As a file may be called, a line break included, in one line.
        shown = ", ".join(name if name.isprintable() else repr(name) for name in names)
        return UserError(f"the {what} at step {step}, of the images {shown}{end}")


def _what(metrics: Mapping[str, Any]) -> str:
    parts = {name: average.total for name, average in metrics.items() if name != "loss"}
    return "update of the parameters is not finite" if np.isfinite([*parts.values()]).all() else "loss is not finite"


def _how_to_debug() -> str:
    return " (JAX_DEBUG_NANS=1 before the same command names the layer)"
