"""Checkpoints of a run: the latest, to resume from, and the best, to predict with.

They are two managers. One that keeps checkpoints by their score forgets the latest whenever scores worsen, and a run
would resume backwards.
"""

import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grain
import jax
import numpy as np
import orbax.checkpoint as ocp

from dms_jax.checkpoints import orbax_manager
from dms_jax.checkpoints.background import leaving_no_tasks
from dms_jax.checkpoints.folders import check_best, damage_of, damaged_best, set_aside, steps_in
from dms_jax.checkpoints.trees import abstract_tree, first_difference, is_damage, metadata_of
from dms_jax.errors import UserError, first_words
from dms_jax.runtime.devices import put_whole
from dms_jax.runtime.processes import is_lost_peer
from dms_jax.runtime.signals import starting_deaf

_ITEMS = ("state", "data")
_BEST_ITEMS = ("variables", "score")


class Checkpoints:
    """The checkpoints in a work directory: `checkpoints/<step>/` and `best/<step>/`.

    `checkpoints` holds the whole training state with the position in the data, `best` the variables to predict with,
    both as Orbax's own trees. They are written in the background and renamed when whole, the best before the state of a
    step: a run killed at any moment leaves the ones before, and an earlier best is kept until a state of the last one's
    step, or a later one, is whole. What fails there is raised as a `UserError` by the next call that has to do with it,
    or by `close`.

    The best stays in the host's memory, and is written when a state is saved or at the end: a run that resumes from the
    state before would find it again. (On a device it would move what the steps allocate, which must then be recorded in
    CUDA graphs anew.)

    Args:
      workdir: of the run.
      keep: how many of the latest are kept.
    """

    def __init__(self, workdir: Path, *, keep: int = 2) -> None:
        workdir = workdir.absolute()
        self._best = orbax_manager.create(workdir / "best", keep=None, items=_BEST_ITEMS)
        self._latest = orbax_manager.create(workdir / "checkpoints", keep=keep, items=_ITEMS)
        self._held: tuple[int, Any, float | None] | None = None
        self._is_written = True
        # Whoever predicts with a run leaves its checkpoints as they are.
        self._has_saved = False
        # Steps whose checkpoints have been found as they were written: it takes a second for each gigabyte.
        self._whole: set[int] = set()

    @property
    def latest_step(self) -> int | None:
        """Step of the latest checkpoint, or None."""
        return self._latest.latest_step()

    @property
    def best_step(self) -> int | None:
        """Step of the best checkpoint, written or not, or None."""
        return self._best.latest_step() if self._held is None else self._held[0]

    @property
    def best_score(self) -> float | None:
        """Score of the best checkpoint (higher is better), or None."""
        if self._held is not None:
            return self._held[2]
        if self.best_step is None:
            return None
        orbax_manager.wait(self._best)
        try:
            restored = self._best.restore(self.best_step, args=ocp.args.Composite(score=ocp.args.JsonRestore()))
            return restored.score["score"]
        except Exception as error:
            if not is_damage(error):
                raise
            folder = self._best.directory / str(self.best_step)
            raise UserError(
                f"{folder} is damaged: remove it, and the run chooses another ({first_words(error)})."
            ) from error

    def save(self, step: int, tree: Any, batches: grain.DatasetIterator) -> None:
        """Save a training state and the position of its batches, unless that step is there already.

        The arrays are as they were when this returns: later steps may write to their memory.
        """
        if step == self.latest_step:
            return
        self._has_saved = True
        self._forget_earlier_bests()
        # A run that resumes from a state does not measure it again: the best of that step has to be there.
        self._write_best()
        orbax_manager.wait(self._best)
        items = {"state": ocp.args.StandardSave(_on_host(tree)), "data": grain.checkpoint.CheckpointSave(batches)}
        orbax_manager.save(self._latest, step, items)

    def remove_unfinished(self) -> None:
        """Remove what a killed run had begun to write: as large as a checkpoint, and Orbax warns of it later.

        Only for the run itself: whoever predicts with it meanwhile would remove what it is writing.
        """
        for manager in (self._best, self._latest):
            for path in Path(manager.directory).glob(orbax_manager.UNFINISHED):
                shutil.rmtree(path, ignore_errors=True)

    def drop_best_after(self, step: int) -> None:
        """Forget the best checkpoints of later steps than `step`.

        A run that was killed may have got further than its last checkpoint. What it does again need not be the same,
        if its number of steps was changed in between.
        """
        while self.best_step is not None and self.best_step > step:
            self._best.delete(self.best_step)

    def set_aside_damaged(self) -> tuple[str, ...]:
        """Give other names to the best checkpoint and the latest ones, if they are damaged.

        A latest one stays where it is unless there is a whole one before it. Only for the run itself; another process
        of it calls `reload` afterwards.

        Returns:
          A sentence on each.
        """
        sentences = []
        folder = Path(self._latest.directory)
        reasons: dict[int, str] = {}
        for step in sorted(steps_in(folder), reverse=True):
            reason = damage_of(folder / str(step), _ITEMS)
            if reason is None:
                self._whole.add(step)
                for damaged, why in reasons.items():
                    aside = set_aside(folder / str(damaged))
                    sentences.append(
                        f"{folder / str(damaged)} is damaged ({why}), and now called {aside.name}: the run resumes "
                        f"from the checkpoint before it, of step {step}."
                    )
                break
            reasons[step] = reason
        steps = sorted(steps_in(Path(self._best.directory)))
        while steps:
            best = Path(self._best.directory) / str(steps.pop())
            reason = damage_of(best, _BEST_ITEMS)
            if reason is None:
                break
            aside = set_aside(best)
            before = f"the one of step {steps[-1]} and " if steps else ""
            sentences.append(
                f"{best} is damaged ({reason}), and now called {aside.name}: the run chooses its best network "
                f"among {before}those to come."
            )
        self.reload()
        return tuple(sentences)

    def reload(self) -> None:
        """See what another process has done to the checkpoints."""
        for manager in (self._best, self._latest):
            manager.reload()

    def check_latest(self) -> None:
        """Refuse a latest checkpoint that is damaged, or a folder that is named like one.

        Raises:
          UserError: the latest is such a folder.
        """
        orbax_manager.wait(self._latest)
        step = self.latest_step
        if step is None or step in self._whole:
            return
        folder = Path(self._latest.directory) / str(step)
        reason = damage_of(folder, _ITEMS)
        if reason:
            raise self._damaged(reason)

    def _damaged(self, reason: str) -> UserError:
        folder = Path(self._latest.directory)
        before = [step for step in steps_in(folder) if step != self.latest_step]
        then = f"to resume from the one before it, of step {max(before)}" if before else "and the run begins anew"
        return UserError(f"{folder / str(self.latest_step)} is damaged: remove it, {then} ({reason}).")

    def restore(self, tree: Any, batches: grain.DatasetIterator) -> Any:
        """Return the latest saved state and set `batches` to where they were.

        Args:
          tree: any state of the run, for its structure and its placement on devices; its arrays may be abstract.
          batches: the run's training batches, at any position.

        Raises:
          UserError: the checkpoint is damaged, or of another version of the network.
        """
        self.check_latest()
        step = self.latest_step
        folder = self._latest.directory / str(step)
        try:
            difference = first_difference(metadata_of(Path(folder / "state")), tree)
            if difference is None:
                position = _position(Path(folder / "data"))
                args = ocp.args.Composite(state=ocp.args.StandardRestore(abstract_tree(tree)))
                with leaving_no_tasks():
                    state = self._latest.restore(step, args=args).state
                batches.set_state(position)
                with starting_deaf():
                    batches.start_prefetch()
                return state
        except Exception as error:
            if is_lost_peer(error) or not is_damage(error):
                raise
            raise self._damaged(first_words(error)) from error
        raise UserError(
            f"{folder} is of another version of the network ({difference}): train anew, with another --workdir."
        )

    def save_best(self, step: int, variables: Any, score: float | None) -> None:
        """Replace the best variables by these; `score` is their metric, None where there was nothing to compare."""
        if step == self.best_step:
            return
        # Copied: the next step writes to their memory, which on a CPU the host's arrays may share.
        self._held = step, jax.tree.map(np.array, jax.device_get(variables)), score
        self._is_written = False

    def _write_best(self) -> None:
        if self._held is None or self._is_written:
            return
        step, variables, score = self._held
        items = {"variables": ocp.args.StandardSave(variables), "score": ocp.args.JsonSave({"score": score})}
        self._is_written = True
        orbax_manager.save(self._best, step, items)

    def restore_best(self, variables: Any) -> Any:
        """Return the best variables; `variables` gives the structure and the placement.

        Raises:
          UserError: the checkpoint is damaged, or of another network.
        """
        if self._held is not None:
            return put_whole(self._held[1], jax.tree.map(lambda x: x.sharding, variables))
        orbax_manager.wait(self._best)
        args = ocp.args.Composite(variables=ocp.args.StandardRestore(abstract_tree(variables)))
        folder = Path(self._best.directory) / str(self.best_step)
        check_best(folder)
        try:
            with leaving_no_tasks():
                return self._best.restore(self.best_step, args=args).variables
        except Exception as error:
            if not is_damage(error):
                raise
            raise damaged_best(folder, first_words(error)) from error

    def close(self) -> None:
        """Wait until everything is written."""
        with ExitStack() as stack:
            for manager in (self._best, self._latest):
                stack.callback(orbax_manager.close, manager)
            if self._has_saved:
                stack.callback(self._forget_earlier_bests)
            stack.callback(self._write_best)

    def _forget_earlier_bests(self) -> None:
        """Remove all best checkpoints but the last, unless a run that resumes would forget that one.

        So it is where a run fails between a best network and the next state: see `drop_best_after`.
        """
        for manager in (self._best, self._latest):
            orbax_manager.wait(manager)
        if jax.process_index() > 0:
            return
        # As they lie there: Orbax counts what it has begun to write.
        best = sorted(steps_in(Path(self._best.directory)))
        states = steps_in(Path(self._latest.directory))
        if len(best) > 1 and states and best[-1] <= max(states):
            for step in best[:-1]:
                shutil.rmtree(self._best.directory / str(step), ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _on_host(tree: Any) -> Any:
    """The arrays as NumPy's where they are whole on every device: with these, Orbax's work in Python is halved."""
    leaves = jax.tree.leaves(tree)
    return jax.device_get(tree) if all(getattr(x, "is_fully_replicated", True) for x in leaves) else tree


def _position(folder: Path) -> Any:
    """The saved state of training batches: whichever process's, all are as far.

    Grain itself would have each process read its own, and resume with no other number of them.
    """
    paths = sorted(folder.glob("process_*-of-*.json"))
    if not paths:
        raise ValueError(f"{folder} has no process_0-of-1.json")
    return json.loads(paths[0].read_text())
