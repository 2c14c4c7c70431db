"""Where a run's scalars go: metrics.jsonl, TensorBoard and the terminal."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any, Self, TextIO

from tqdm import tqdm

from dms_jax.errors import UserError

METRICS_NAME = "metrics.jsonl"


class RunWriter:
    """The one object to which a training loop hands what it wants kept and seen.

    On a terminal, progress is a bar; elsewhere it is one plain line each time a loss is given. Only one
    process of a run may be active; an inactive writer takes the same calls and neither writes nor prints.

    Args:
        workdir: holds metrics.jsonl and the TensorBoard events; made if absent.
        num_steps: the steps of the whole run.
        pictures_per_step: the global batch size, for the speed.
        resume_step: the step that the run continues from; None for a new run.
        active: whether to write and print at all.
        stream: where progress goes; standard error by default.
        clock: monotonic seconds.

    Raises:
        UserError: the work directory or a file in it cannot be written.

    Example::

        with RunWriter(workdir, num_steps=7000, pictures_per_step=16) as writer:
            for step in range(1, 7001):
                state, loss = train_step(state, next(batches))
                writer.progress(step)
                if step % 100 == 0:
                    writer.write(step, {"train/loss": loss})
                    writer.progress(step, loss=float(loss), learning_rate=schedule(step))
    """

    def __init__(
        self,
        workdir: str | os.PathLike[str],
        *,
        num_steps: int,
        pictures_per_step: int,
        resume_step: int | None = None,
        active: bool = True,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.active = active
        self._closing = ExitStack()
        if not active:
            return
        workdir = Path(workdir)
        with ExitStack() as opening, _mendable(workdir, "written", "choose another --workdir"):
            workdir.mkdir(parents=True, exist_ok=True)
            self._metrics = MetricsFile(workdir / METRICS_NAME, resume_step)
            opening.callback(self._metrics.close)
            self._events = _TensorBoard(workdir, resume_step)
            opening.callback(self._events.close)
            stream = sys.stderr if stream is None else stream
            self._terminal = _Terminal(num_steps, pictures_per_step, resume_step or 0, stream, clock)
            opening.callback(self._terminal.close)
            self._closing = opening.pop_all()

    def write(self, step: int, scalars: Mapping[str, Any]) -> None:
        """Keep a step's scalars in metrics.jsonl (see `MetricsFile.write`) and, if finite, in TensorBoard."""
        if self.active:
            self._metrics.write(step, scalars)
            self._events.write(step, scalars)

    def progress(self, step: int, *, loss: float | None = None, learning_rate: float | None = None) -> float | None:
        """Show that `step` steps are done; with a loss, also the loss and the speed since the last one.

        Without a loss this only moves the bar, which is cheap enough for every step.

        Returns:
            Pictures per second since the last loss; None without one, or where nothing was measured.
        """
        if not self.active:
            return None
        self._terminal.move(step)
        return None if loss is None else self._terminal.show(step, loss, learning_rate)

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Keep the time spent inside, on evaluation or a checkpoint, out of the training speed."""
        if not self.active:
            yield
            return
        with self._terminal.pause():
            yield

    def text(self, message: str) -> None:
        """Print a line without breaking the bar."""
        if self.active:
            self._terminal.text(message)

    def close(self) -> None:
        """Close everything; a second time does nothing."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class MetricsFile:
    """A file of one JSON object a line, `step` first, each line on disk as soon as it is written.

    Opening it drops the lines that a resumed run will write again, and a last line cut short by a kill, so
    that the file ends as if the run had never been interrupted; for that, write a step's scalars before
    saving its checkpoint.

    Args:
        path: the file; made if absent.
        resume_step: the step that the run continues from, whose lines are kept; None starts the file anew.

    Raises:
        UserError: the file cannot be written, or a line before the last is not a JSON object with a step.
    """

    def __init__(self, path: str | os.PathLike[str], resume_step: int | None = None) -> None:
        self.path = Path(path)
        with _mendable(self.path, "written", "choose another --workdir"):
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
        """
        if "step" in scalars:
            raise ValueError("a scalar may not be called 'step'")
        line = {"step": int(step), **{name: _finite_or_none(value) for name, value in scalars.items()}}
        self._file.write(json.dumps(line, allow_nan=False, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file; a second time does nothing."""
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
    with _mendable(path, "read", "name a work directory that has one"):
        return [scalars for _, scalars in _parse(Path(path))]


class _TensorBoard:
    def __init__(self, workdir: Path, resume_step: int | None) -> None:
        # tensorboardX imports torch wherever that is installed, which takes seconds.
        from tensorboardX import SummaryWriter

        # Event files are named by the second: a run resumed within it would overwrite the earlier one's.
        number = len(list(workdir.glob("events.out.tfevents.*")))
        self._writer = SummaryWriter(
            str(workdir),
            # TensorBoard hides earlier events from this step on.
            purge_step=0 if resume_step is None else resume_step + 1,
            flush_secs=10,
            filename_suffix=f".{number:04d}",
        )

    def write(self, step: int, scalars: Mapping[str, Any]) -> None:
        for name, value in scalars.items():
            number = _finite_or_none(value)
            if number is not None:
                self._writer.add_scalar(name, number, int(step))

    def close(self) -> None:
        self._writer.close()


class _Terminal:
    """A bar on a terminal, plain lines elsewhere."""

    def __init__(
        self, num_steps: int, pictures_per_step: int, step: int, stream: TextIO, clock: Callable[[], float]
    ) -> None:
        self._num_steps = num_steps
        self._pictures_per_step = pictures_per_step
        self._stream = stream
        self._clock = clock
        self._first: tuple[int, float] | None = None
        self._last = (step, clock())
        self._paused = 0.0
        self._bar = tqdm(
            total=num_steps,
            initial=step,
            file=stream,
            disable=not _can_draw(stream),
            dynamic_ncols=True,
            # A short bar and no percentage: in 80 columns, tqdm would otherwise cut the figures.
            bar_format="|{bar:8}| {n_fmt}/{total_fmt}  {desc}",
        )

    def move(self, step: int) -> None:
        self._bar.update(step - self._bar.n)

    def show(self, step: int, loss: float, learning_rate: float | None) -> float | None:
        speed, left = self._measure(step)
        pictures_per_second = speed and speed * self._pictures_per_step
        pictures = f"{_format(pictures_per_second, '.1f')} pictures/s"
        if not self._bar.disable:
            steps = f"{_format(speed, '.2f')} steps/s"
            self._bar.set_description_str(f"loss {loss:#.4g}  {steps}  {pictures}  {_format_time(left)} left")
            return pictures_per_second
        parts = [f"step {step:>{len(str(self._num_steps))}}/{self._num_steps}", f"loss {loss:#.4g}"]
        if learning_rate is not None:
            parts.append(f"lr {learning_rate:#.3g}")
        self.text("  ".join([*parts, pictures, f"time left {_format_time(left)}"]))
        return pictures_per_second

    @contextmanager
    def pause(self) -> Iterator[None]:
        start = self._clock()
        try:
            yield
        finally:
            self._paused += self._clock() - start

    def text(self, message: str) -> None:
        tqdm.write(message, file=self._stream)
        self._stream.flush()

    def close(self) -> None:
        self._bar.close()

    def _measure(self, step: int) -> tuple[float | None, float | None]:
        """Return steps per second since the last time, without pauses, and the seconds left, with pauses."""
        now = self._clock()
        # The first interval holds the compilation, which will not come back: the time left ignores it.
        start_step, start = self._first or self._last
        last_step, last = self._last
        busy = now - last - self._paused
        speed = (step - last_step) / busy if busy > 0 and step > last_step else None
        left = (now - start) / (step - start_step) * (self._num_steps - step) if step > start_step else None
        self._last = (step, now)
        self._first = self._first or self._last
        self._paused = 0.0
        return speed, left


@contextmanager
def _mendable(path: str | os.PathLike[str], done: str, mend: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be {done} ({error.strerror}): {mend}.") from error


def _parse(path: Path) -> list[tuple[bytes, dict[str, float | None]]]:
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


def _finite_or_none(value: Any) -> int | float | None:
    if value is None:
        return None
    number = int(value) if isinstance(value, Integral) else float(value)
    return number if math.isfinite(number) else None


def _can_draw(stream: TextIO) -> bool:
    if not stream.isatty():
        return False
    try:
        # On a terminal of no size, which some containers give, tqdm would draw nothing at all.
        return min(os.get_terminal_size(stream.fileno())) > 0
    except OSError:
        return True


def _format(number: float | None, spec: str) -> str:
    return "?" if number is None else format(number, spec)


def _format_time(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
