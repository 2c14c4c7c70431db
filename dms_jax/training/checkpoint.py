"""Checkpoints of a run: the latest, to go on from, and the best, to predict with.

They are two managers. One that keeps checkpoints by their score forgets the latest whenever scores worsen, and a run
would resume backwards.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grain
import jax
import numpy as np
import orbax.checkpoint as ocp

from dms_jax.errors import UserError, first_words
from dms_jax.training.background_manager import BackgroundManager
from dms_jax.training.packing import layout_of, unpack
from dms_jax.training.snapshot import fetched, snapshot
from dms_jax.training.state import TrainState

# It shows in many places.
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError)


class Checkpoints:
    """The checkpoints in a work directory: `checkpoints/<step>/` and `best/<step>/`.

    `checkpoints` holds the whole training state with the position in the data, `best` the variables to predict with.
    Both are written in the background and renamed when whole, the best of a step before its state: a run killed at any
    moment leaves the ones before. What fails there is raised as a `UserError` by the next call that has to do with it,
    or by `close`.

    Args:
      workdir: of the run.
      keep: how many of the latest are kept.
    """

    def __init__(self, workdir: Path, *, keep: int = 2) -> None:
        workdir = workdir.absolute()
        self._thread = ThreadPoolExecutor(1, "checkpoints")
        self._hands_over = True
        self._best = BackgroundManager(workdir / "best", self._thread, keep=1, items=("variables", "score"))
        # A run that goes on from a state does not measure it again: the best of that step has to be there.
        items = ("state", "layout", "data")
        self._latest = BackgroundManager(
            workdir / "checkpoints", self._thread, keep=keep, items=items, after=self._best
        )

    @property
    def latest_step(self) -> int | None:
        """Step of the latest checkpoint, or None."""
        return self._latest.settled().latest_step()

    @property
    def best_step(self) -> int | None:
        """Step of the best checkpoint, or None."""
        return self._best.settled().latest_step()

    @property
    def best_score(self) -> float | None:
        """Score of the best checkpoint (higher is better), or None."""
        if self.best_step is None:
            return None
        best = self._best.settled()
        try:
            restored = best.restore(self.best_step, args=ocp.args.Composite(score=ocp.args.JsonRestore()))
            return restored.score["score"]
        except _DAMAGE as error:
            folder = best.directory / str(self.best_step)
            raise UserError(
                f"{folder} is damaged: remove it, and the run chooses another ({first_words(error)})."
            ) from error

    @contextmanager
    def written_afterwards(self) -> Iterator[None]:
        """What is saved in this context is written from its end on: until then, no other thread keeps Python busy.

        Unless something is asked for earlier, or there are several processes.
        """
        self._hands_over = False
        try:
            yield
        finally:
            self._hands_over = True
            self._hand_over()

    def _hand_over(self) -> None:
        if self._hands_over:
            # And the best before it.
            self._latest.hand_over()

    def save(self, state: TrainState, batches: grain.DatasetIterator) -> None:
        """Save a state and the position of its training batches, unless that step is there already."""
        step = int(state.step)
        if step == self.latest_step:
            return
        taken, layout, position = snapshot(state), layout_of(state), _Position.of(batches)
        self._latest.save(
            step,
            lambda: {
                "state": ocp.args.StandardSave(fetched(taken)),
                "layout": ocp.args.JsonSave(layout),
                "data": grain.checkpoint.CheckpointSave(position),
            },
        )
        self._hand_over()

    def drop_best_after(self, step: int) -> None:
        """Forget a best checkpoint of a later step than `step`.

        A run that was killed may have got further than its last checkpoint. What it does again need not be the same,
        if its number of steps was changed in between.
        """
        if self.best_step is not None and self.best_step > step:
            self._best.settled().delete(self.best_step)

    def restore(self, state: TrainState, batches: grain.DatasetIterator) -> TrainState:
        """Return the latest saved state and set `batches` to where they were.

        Args:
          state: any state of the run, for its structure and its placement on devices.
          batches: the run's training batches, at any position.

        Raises:
          UserError: the checkpoint is damaged, or of another version of the network.
        """
        latest, step = self._latest.settled(), self.latest_step
        folder = latest.directory / str(step)
        if not (folder / "layout").is_dir():
            raise UserError(f"{folder} is of an earlier version of dms_jax: train anew, with another --workdir.")
        args = ocp.args.Composite(layout=ocp.args.JsonRestore(), data=grain.checkpoint.CheckpointRestore(batches))
        try:
            layout = latest.restore(step, args=args).layout
            vectors = _read_tree(folder / "state")
        except _DAMAGE as error:
            raise UserError(
                f"{folder} is damaged: remove it, to go on from the one before it ({first_words(error)})."
            ) from error
        try:
            arrays = unpack(vectors, state, layout=layout)
        except ValueError as error:
            raise UserError(
                f"{folder} is of another version of the network ({error}): train anew, with another --workdir."
            ) from error
        return jax.tree.map(_placed, arrays, state)

    def save_best(self, step: int, variables: Any, score: float | None) -> None:
        """Replace the best variables by these; `score` is their figure, None where there was nothing to compare."""
        if step == self.best_step:
            return
        taken, like = snapshot(variables), jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), variables)
        self._best.save(
            step,
            lambda: {
                "variables": ocp.args.StandardSave(unpack(fetched(taken), like)),
                "score": ocp.args.JsonSave({"score": score}),
            },
        )
        self._hand_over()

    def restore_best(self, variables: Any) -> Any:
        """Return the best variables; `variables` gives the structure and the placement.

        Raises:
          UserError: the checkpoint is damaged, or of another network.
        """
        best = self._best.settled()
        best.wait_until_finished()
        args = ocp.args.Composite(variables=ocp.args.StandardRestore(_abstract(variables)))
        try:
            return best.restore(self.best_step, args=args).variables
        except _DAMAGE as error:
            folder = best.directory / str(self.best_step)
            raise UserError(f"{folder} is damaged: bring back a copy, or train anew ({first_words(error)}).") from error

    def close(self) -> None:
        """Wait until everything is written."""
        with ExitStack() as stack:
            stack.callback(self._thread.shutdown)
            stack.callback(self._best.close)
            stack.callback(self._latest.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class _Position:
    """Where an iterator was, for Grain's handler of checkpoints: the iterator itself goes on meanwhile."""

    state: bytes

    @classmethod
    def of(cls, batches: grain.DatasetIterator) -> Self:
        return cls(json.dumps(batches.get_state(), indent=4).encode())

    def get_state(self) -> bytes:
        return self.state


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
    try:
        return _read_tree(folder)
    except _DAMAGE as error:
        raise UserError(f"{folder} is damaged: make it anew ({first_words(error)}).") from error


def _read_tree(folder: Path) -> Any:
    folder = folder.absolute()
    # Asked of the handler: the checkpointer warns that an item of a larger checkpoint has no metadata of its own.
    tree = ocp.PyTreeCheckpointHandler().metadata(folder).tree
    with ocp.PyTreeCheckpointer() as checkpointer:
        kinds = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        return checkpointer.restore(folder, restore_args=kinds)


def _placed(array: np.ndarray, like: jax.Array) -> jax.Array:
    return jax.make_array_from_callback(like.shape, like.sharding, lambda index: array[index])


def _has_step(folder: Path) -> bool:
    return bool(_steps(folder))


def _steps(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []


def _abstract(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)
