"""The folders of a run's checkpoints: which steps they hold, and whether one is as it was written."""

import shutil
from pathlib import Path
from typing import Any

from dms_jax.checkpoints.checksums import damage_in
from dms_jax.checkpoints.trees import read_tree
from dms_jax.errors import UserError


def has_checkpoint(workdir: Path) -> bool:
    """Whether a work directory holds a checkpoint to resume from."""
    return bool(steps_in(workdir / "checkpoints"))


def has_best(workdir: Path) -> bool:
    """Whether a work directory holds a checkpoint to predict with."""
    return bool(steps_in(workdir / "best"))


def read_best(workdir: Path) -> tuple[dict[str, Any], int]:
    """The variables {"params", "batch_stats"} of a run's best checkpoint as NumPy arrays, and its step.

    Raises:
      UserError: the work directory has none, or it cannot be read.
    """
    steps = steps_in(workdir / "best")
    if not steps:
        raise UserError(f"{workdir} has no best checkpoint: name the work directory of a run that has been evaluated.")
    folder = workdir / "best" / str(max(steps))
    check_best(folder)
    return read_tree(folder / "variables"), max(steps)


def steps_in(folder: Path) -> list[int]:
    """The steps that Orbax sees in a folder: not what it has begun to write, nor other people's names."""
    if not folder.is_dir():
        return []
    names = [path.name for path in folder.iterdir() if path.is_dir()]
    return [int(name) for name in names if name.isdecimal() and str(int(name)) == name]


def check_best(folder: Path) -> None:
    """Refuse a best checkpoint that is not as it was written.

    Raises:
      UserError: it is not; the message says what to do.
    """
    if reason := damage_in(folder):
        raise damaged_best(folder, reason)


def damaged_best(folder: Path, reason: str) -> UserError:
    """What to tell the user of a best checkpoint that is damaged, for a reason in a few words."""
    before = [step for step in steps_in(folder.parent) if step != int(folder.name)]
    fix = f"remove it, to use the one of step {max(before)}" if before else "bring back a copy, or train anew"
    return UserError(f"{folder} is damaged: {fix} ({reason}).")


def set_aside(folder: Path) -> Path:
    """Give a checkpoint a name by which nobody takes it for one."""
    aside = folder.with_name(f"{folder.name}.damaged")
    shutil.rmtree(aside, ignore_errors=True)
    return folder.rename(aside)


def damage_of(folder: Path, items: tuple[str, ...]) -> str | None:
    """Which items a checkpoint has not, or else what has become of its files, in words; None where it is whole."""
    absent = [name for name in items if not any((folder / name).glob("*"))]
    return f"it has no {' and no '.join(absent)}" if absent else damage_in(folder)
