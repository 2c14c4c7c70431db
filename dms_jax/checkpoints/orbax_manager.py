"""Orbax's managers of checkpoints: as this project sets them up, and with what fails said to the user."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from dms_jax.checkpoints.checksums import write_checksums
from dms_jax.errors import UserError, first_words
from dms_jax.runtime.processes import is_lost_peer

# What Orbax has not yet given its name.
UNFINISHED = "*.orbax-checkpoint-tmp*"


def create(folder: Path, *, keep: int | None, items: tuple[str, ...]) -> ocp.CheckpointManager:
    """A manager of the checkpoints in a folder, which keeps the latest (None: all) and adds `checksums` to each."""

    def add_checksums() -> None:
        if jax.process_index() == 0:
            for unfinished in folder.glob(UNFINISHED):
                write_checksums(unfinished)

    background = ocp.options.AsyncOptions(
        # Called when all is written, and the folder has yet to get its name.
        post_finalization_callback=add_checksums,
        # Where folders cannot be made in the background, Orbax's threads wait for them, and Python for the threads:
        # minutes after the run has said why it ends.
        create_directories_asynchronously=False,
    )
    options = ocp.CheckpointManagerOptions(max_to_keep=keep, async_options=background)
    return ocp.CheckpointManager(folder, options=options, item_names=items)


def save(manager: ocp.CheckpointManager, step: int, items: dict[str, Any]) -> None:
    """Begin to write a checkpoint; what failed in the background before is raised here.

    Raises:
      UserError: it cannot be written; so with the other functions.
    """
    with _told_to_make_room(manager):
        manager.save(step, args=ocp.args.Composite(**items), force=True)


def wait(manager: ocp.CheckpointManager) -> None:
    """Wait until everything is written; what failed in the background is raised here."""
    with _told_to_make_room(manager):
        manager.wait_until_finished()


def close(manager: ocp.CheckpointManager) -> None:
    """Wait as `wait` does, and end the manager's threads."""
    with _told_to_make_room(manager):
        manager.close()


@contextmanager
def _told_to_make_room(manager: ocp.CheckpointManager) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        if is_lost_peer(error):
            raise
        raise UserError(
            f"{manager.directory} cannot be written ({first_words(error)}): make room, and run the same command to "
            "resume."
        ) from error
