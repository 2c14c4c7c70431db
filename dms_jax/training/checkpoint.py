"""Checkpoints of a run: the latest, to go on from, and the best, to predict with.

They are two managers. One that keeps checkpoints by their score forgets the latest whenever scores worsen, and a run
would resume backwards.
"""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grain
import jax
import numpy as np
import orbax.checkpoint as ocp

from dms_jax.errors import UserError
from dms_jax.training.state import TrainState


class Checkpoints:
    """The checkpoints in a work directory: `checkpoints/<step>/` and `best/<step>/`.

    `checkpoints` holds the whole training state with the position in the data, `best` the variables to predict with.
    Both are written in the background and renamed when whole: a run killed at any moment leaves the one before.

    Args:
      workdir: of the run.
      keep: how many of the latest are kept.
    """

    def __init__(self, workdir: Path, *, keep: int = 2) -> None:
        workdir = workdir.absolute()
        self._latest = ocp.CheckpointManager(
            workdir / "checkpoints",
            options=ocp.CheckpointManagerOptions(max_to_keep=keep),
            item_names=("state", "data"),
        )
        self._best = ocp.CheckpointManager(
            workdir / "best",
            options=ocp.CheckpointManagerOptions(max_to_keep=1),
            item_names=("variables", "score"),
        )

    @property
    def latest_step(self) -> int | None:
        """Step of the latest checkpoint, or None."""
        return self._latest.latest_step()

    @property
    def best_step(self) -> int | None:
        """Step of the best checkpoint, or None."""
        return self._best.latest_step()

    @property
    def best_score(self) -> float | None:
        """Score of the best checkpoint (higher is better), or None."""
        if self.best_step is None:
            return None
        restored = self._best.restore(self.best_step, args=ocp.args.Composite(score=ocp.args.JsonRestore()))
        return restored.score["score"]

    def save(self, state: TrainState, batches: grain.DatasetIterator) -> None:
        """Save a state and the position of its training batches, unless that step is there already."""
        step = int(state.step)
        if step == self.latest_step:
            return
        self._latest.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(_on_host(state)), data=grain.checkpoint.CheckpointSave(batches)
            ),
            force=True,
        )

    def drop_best_after(self, step: int) -> None:
        """Forget a best checkpoint of a later step than `step`.

        A run that was killed may have got further than its last checkpoint. What it does again need not be the same,
        if its number of steps was changed in between.
        """
        if self.best_step is not None and self.best_step > step:
            self._best.delete(self.best_step)

    def restore(self, state: TrainState, batches: grain.DatasetIterator) -> TrainState:
        """Return the latest saved state and set `batches` to where they were.

        Args:
          state: any state of the run, for its structure and its placement on devices.
          batches: the run's training batches, at any position.
        """
        restored = self._latest.restore(
            self.latest_step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(_abstract(state)),
                data=grain.checkpoint.CheckpointRestore(batches),
            ),
        )
        return restored.state

    def save_best(self, step: int, variables: Any, score: float | None) -> None:
        """Replace the best variables by these; `score` is their figure, None where there was nothing to compare."""
        if step == self.best_step:
            return
        self._best.save(
            step,
            args=ocp.args.Composite(
                variables=ocp.args.StandardSave(_on_host(variables)), score=ocp.args.JsonSave({"score": score})
            ),
            force=True,
        )

    def restore_best(self, variables: Any) -> Any:
        """Return the best variables; `variables` gives the structure and the placement.

        Raises:
          UserError: the checkpoint is damaged, or of another network.
        """
        self._best.wait_until_finished()
        args = ocp.args.Composite(variables=ocp.args.StandardRestore(_abstract(variables)))
        try:
            return self._best.restore(self.best_step, args=args).variables
        except (OSError, ValueError, KeyError) as error:
            folder = self._best.directory / str(self.best_step)
            raise UserError(
                f"{folder} is damaged: bring back a copy, or train anew ({_first_words(error)})."
            ) from error

    def close(self) -> None:
        """Wait until everything is written."""
        self._latest.close()
        self._best.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def has_checkpoint(workdir: Path) -> bool:
    """Whether a work directory holds a checkpoint to resume from."""
    return _has_step(workdir / "checkpoints")


def has_best(workdir: Path) -> bool:
    """Whether a work directory holds a checkpoint to predict with."""
    return _has_step(workdir / "best")


def read_best(workdir: Path) -> tuple[dict[str, Any], int]:
    """The variables {"params", "batch_stats"} of a run's best checkpoint as NumPy arrays, and its step.

    Raises:
      UserError: the work directory has none, or it cannot be read.
    """
    steps = _steps(workdir / "best")
    if not steps:
        raise UserError(f"{workdir} has no best checkpoint: name the work directory of a run that has been evaluated.")
    return read_tree(workdir / "best" / str(max(steps)) / "variables"), max(steps)


def write_tree(folder: Path, tree: Any) -> None:
    """Write nested dictionaries of arrays to a folder that does not exist yet."""
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder.absolute(), tree)


def read_tree(folder: Path) -> Any:
    """Read what `write_tree` or a checkpoint's item holds, as NumPy arrays, whatever devices it was written from.

    Raises:
      UserError: the folder is damaged.
    """
    folder = folder.absolute()
    try:
        # Asked of the handler: the checkpointer warns that an item of a larger checkpoint has no metadata of its own.
        tree = ocp.PyTreeCheckpointHandler().metadata(folder).tree
        with ocp.PyTreeCheckpointer() as checkpointer:
            kinds = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
            return checkpointer.restore(folder, restore_args=kinds)
    except (OSError, ValueError, KeyError, AttributeError) as error:  # damage shows in many places
        raise UserError(f"{folder} is damaged: make it anew ({_first_words(error)}).") from error


def _on_host(tree: Any) -> Any:
    """The arrays as NumPy's.

    Orbax writes them with less than half of the work in Python that it has with as many of JAX's, more than a thousand.
    It does so in the background, and steps wait meanwhile.
    """
    return jax.device_get(tree)


def _first_words(error: Exception) -> str:
    """The beginning of a message, on one line."""
    return " ".join(str(error).split())[:200]


def _has_step(folder: Path) -> bool:
    return bool(_steps(folder))


def _steps(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []


def _abstract(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)
