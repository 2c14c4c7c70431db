"""A run's best network, ready to predict images: `from dms_jax import Predictor`."""

import hashlib
import os
from pathlib import Path
from typing import Any, Self

import jax

from dms_jax.inference.batching import BatchPredictor
from dms_jax.inference.image_predictor import ImagePredictor
from dms_jax.inference.interpretation import Interpretation
from dms_jax.inference.predict_step import make_predict_step
from dms_jax.models.network import Network
from dms_jax.runs.open_run import OpenedRun, open_run
from dms_jax.runtime.compilation_cache import keep_compiled_programs
from dms_jax.runtime.devices import data_mesh, is_gpu

# Crops predicted at once, on each device. On a GPU, 64 at a time are a quarter faster than 16 (benchmarks/README.md); a
# CPU takes as long for each however many there are.
_ROWS_ON_GPU = 64
_ROWS_ON_CPU = 4


class Predictor(ImagePredictor):
    """A trained network, from its work directory.

        predictor = Predictor.load("runs/mine")
        prediction = predictor("image.png")
        prediction.class_name, prediction.score, prediction.map, prediction.regions

    It can be pickled, and loads the run anew where it is unpickled: hand it to Ray Data, Beam or other processes.

    Attributes:
      workdir: of the run.
      step: after which the network was saved.
      digest: differs where the network's weights do.
    """

    workdir: Path
    step: int
    digest: str

    @classmethod
    def load(
        cls,
        workdir: str | os.PathLike[str],
        *,
        gates: bool | None = None,
        threshold: int | None = None,
        max_false_alarms: float | None = None,
    ) -> Self:
        """Load the best network of a run, finished or not.

        Args:
          workdir: of the run; from any folder.
          gates: see `Interpretation.of`; by default, maps are gated where the run has a defect-free class.
          threshold: the same; by default, maps are cut at the run's.
          max_false_alarms: the same.

        Raises:
          UserError: there is no run, it has no checkpoint to predict with yet, or one of its files is damaged.
          ValueError: an option is out of range, or the run cannot do it.
        """
        keep_compiled_programs()
        options = {"gates": gates, "threshold": threshold, "max_false_alarms": max_false_alarms}
        return cls._of(open_run(Path(workdir).absolute()), options)

    @classmethod
    def _of(cls, run: OpenedRun, options: dict[str, Any]) -> Self:
        # What is wrong with the options is said before anything is compiled.
        reading = Interpretation.of(run.description.model, **options)
        predictor = cls(batch_predictor(run.model, run.variables, deterministic=run.config.deterministic), reading)
        predictor.workdir, predictor.step, predictor._options = run.workdir, run.step, options
        predictor.digest = _digest(run.variables)
        return predictor

    def __reduce__(self) -> tuple[Any, ...]:
        """As the work directory and the options."""
        return _load, (type(self), self.workdir, self._options)

    _options: dict[str, Any]


def batch_predictor(model: Network, variables: Any, *, deterministic: bool = False) -> BatchPredictor:
    """A network's last output on this process's devices.

    Args:
      model: the network.
      variables: {"params", "batch_stats"}.
      deterministic: see `dms_jax.runtime.compilation.compiler_options`.
    """
    mesh = data_mesh(jax.local_devices())
    step = make_predict_step(model, mesh, deterministic=deterministic, final_only=True)
    rows = (_ROWS_ON_GPU if is_gpu(mesh) else _ROWS_ON_CPU) * mesh.size
    return BatchPredictor(step, variables, mesh, rows)


def _digest(variables: Any) -> str:
    """A hash of the vectors among a network's variables: training moves them all, and they are quickly read."""
    vectors = jax.device_get([leaf for leaf in jax.tree.leaves(variables) if leaf.ndim == 1])
    return hashlib.sha256(b"".join(vector.tobytes() for vector in vectors)).hexdigest()[:16]


def _load(kind: type[Predictor], workdir: Path, options: dict[str, Any]) -> Predictor:
    return kind.load(workdir, **options)
