"""A run's scalars in a file: metrics.jsonl."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any

from dms_jax.errors import UserError

METRICS_NAME = "metrics.jsonl"
MAKE_ROOM = "make room, and run the same command to resume"


class MetricsFile:
    """A file of one JSON object per line, `step` first, each line on disk as soon as it is written.

    Opening it drops the lines that a resumed run will write again, and a last line cut short by a kill, so
    that the file ends as if the run had never been interrupted; for that, write a step's scalars before
    saving its checkpoint.

    Args:
      path: the file; created if missing.
      resume_step: the step that the run resumes from: lines up to it are kept; None starts the file anew.

    Raises:
      UserError: the file cannot be written, or a line before the last is not a JSON object with a step.
    """

    def __init__(self, path: str | os.PathLike[str], resume_step: int | None = None) -> None:
        self.path = Path(path)
        with fixable(self.path, "written", "choose another --workdir"):
            if self.path.exists():
                self._keep_until(resume_step)
            self._file = self.path.open("a", encoding="utf-8")

    def write(self, step: int, scalars: Mapping[str, Any]) -> None:
        """Append one line; a number that does not exist (None, NaN) or is infinite becomes null.

        Args:
          step: training steps done so far, 0 or more.
          scalars: name to number; zero-dimensional arrays will do.

        Raises:
          ValueError: a scalar is called `step`.
          UserError: the line cannot be written, or the file is not there any more.
        """
        if "step" in scalars:
            raise ValueError("a scalar may not be called 'step'")
        line = {"step": int(step), **{name: finite_or_none(value) for name, value in scalars.items()}}
        with fixable(self.path, "written", MAKE_ROOM):
            self._file.write(json.dumps(line, allow_nan=False, ensure_ascii=False) + "\n")
            self._file.flush()
        self._check_in_place()

    def _check_in_place(self) -> None:
        """Notice that the work directory was removed: checkpoints would be written to a new one, which is no run."""
        try:
            in_place = os.path.samestat(os.fstat(self._file.fileno()), os.stat(self.path))
        except FileNotFoundError:
            in_place = False
        if not in_place:
            raise UserError(
                f"{self.path} was removed or replaced while the run wrote to it: run the same command to begin anew, "
                "with an empty --workdir."
            )

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        # What could not be written before is tried again.
        with fixable(self.path, "written", MAKE_ROOM):
            self._file.close()

    def _keep_until(self, resume_step: int | None) -> None:
        kept = []
        if resume_step is not None:
            kept = [line + b"\n" for line, scalars in _parse(self.path) if scalars["step"] <= resume_step]
        # A kill in the middle must leave either the old file or the new one.
        temporary = self.path.with_name(self.path.name + ".tmp")
        with temporary.open("wb") as file:
            file.writelines(kept)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, float | None]]:
    """Read what `MetricsFile` wrote, in its order; a last line cut short by a kill is left out.

    Raises:
      UserError: the file cannot be read, or another line is not a JSON object with a step.
    """
    with fixable(path, "read", "name a work directory that has one"):
        return [scalars for _, scalars in _parse(Path(path))]


@contextmanager
def fixable(path: str | os.PathLike[str], done: str, fix: str) -> Iterator[None]:
    """Turn an OSError inside into a UserError: `path` cannot be `done`, and how to fix that."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be {done} ({error.strerror}): {fix}.") from error


def _parse(path: Path) -> list[tuple[bytes, dict[str, Any]]]:
    """Split a metrics file into its lines, as they stand and decoded, without a last one cut short."""
    lines = path.read_bytes().split(b"\n")
    if not lines[-1]:
        lines.pop()
    parsed = []
    for number, line in enumerate(lines, 1):
        try:
            scalars = json.loads(line)
            scalars["step"] + 0
        except (ValueError, TypeError, KeyError) as error:
            if number == len(lines):
                break
            message = f"{path}, line {number}: not a JSON object with a step; remove that line."
            raise UserError(message) from error
        parsed.append((line, scalars))
    return parsed


def finite_or_none(value: Any) -> int | float | None:
    """Return a number that JSON and TensorBoard can hold; None for None, NaN and infinity."""
    if value is None:
        return None
    number = int(value) if isinstance(value, Integral) else float(value)
    return number if math.isfinite(number) else None
