"""A manager of checkpoints that is handed what it saves in the background."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from dms_jax.errors import UserError, first_words


class BackgroundManager:
    """One of Orbax's managers, handed what it saves by another thread.

    What Orbax does before it goes on in the background itself takes about half a millisecond for each array. It begins
    with `hand_over`, or when the manager is asked for something.

    Args:
      folder: of its checkpoints.
      thread: a single one for all managers: Orbax mixes up the folders of what two save at the same time.
      keep: how many of the latest are kept.
      items: what a checkpoint consists of.
      after: another manager, whose checkpoint of the same pause is written first, as a whole.
    """

    def __init__(
        self,
        folder: Path,
        thread: ThreadPoolExecutor,
        *,
        keep: int,
        items: tuple[str, ...],
        after: "BackgroundManager | None" = None,
    ) -> None:
        options = ocp.CheckpointManagerOptions(max_to_keep=keep)
        self._manager = ocp.CheckpointManager(folder, options=options, item_names=items)
        self._thread = thread
        self._after = after
        self._waiting: Callable[[], None] | None = None
        self._handed: Future[None] | None = None

    def settled(self) -> ocp.CheckpointManager:
        """The manager, once it has been handed everything.

        Raises:
          UserError: what was to be saved before could not be written.
        """
        self.hand_over()
        with self._told_to_make_room():
            if self._handed is not None:
                _wait_out(self._handed)
                handed, self._handed = self._handed, None
                handed.result()
            if not self._manager.is_saving_in_progress():
                # What failed after it was handed over is raised here.
                self._manager.wait_until_finished()
        return self._manager

    def save(self, step: int, items: Callable[[], dict[str, Any]]) -> None:
        """Save items of what does not change any more; they are made when they are handed over.

        Where there are several processes, that is at once: they wait for each other, and have to in the same order.
        """
        manager = self.settled()
        begun: list[bool] = []

        def save() -> None:
            # An interruption of `hand_over` might have it called twice.
            if begun:
                return
            begun.append(True)
            if self._after is not None:
                self._after._manager.wait_until_finished()
            manager.save(step, args=ocp.args.Composite(**items()), force=True)

        if jax.process_count() > 1:
            with self._told_to_make_room():
                save()
        else:
            self._waiting = save

    def hand_over(self) -> None:
        """Let the other thread begin with what is to be saved."""
        if self._after is not None:
            self._after.hand_over()
        if self._waiting is not None:
            self._handed = self._thread.submit(self._waiting)
            self._waiting = None

    def close(self) -> None:
        """Wait until everything is written."""
        try:
            self.settled()
        finally:
            with self._told_to_make_room():
                self._manager.close()

    @contextmanager
    def _told_to_make_room(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            raise UserError(
                f"{self._manager.directory} cannot be written ({first_words(error)}): make room, and run the same "
                "command to go on."
            ) from error


def _wait_out(handed: Future[Any]) -> None:
    """Wait whatever interrupts it: Orbax would never come to an end if it was closed while it is handed something."""
    interrupted = None
    while not handed.done():
        try:
            wait([handed])
        except KeyboardInterrupt as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted
