"""Where a run's scalars go: metrics.jsonl, TensorBoard and the terminal."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self, TextIO

import numpy as np

from dms_jax.runs.monitoring.metrics_file import MAKE_ROOM, METRICS_NAME, MetricsFile, finite_or_none, fixable
from dms_jax.runs.monitoring.progress import Progress

# TensorBoard looks at the file twice a minute.
_FLUSH_SECONDS = 10


class RunWriter:
    """Where a training loop sends its scalars and its progress, to be kept and shown.

    On a terminal, progress is a bar; elsewhere it is one plain line each time a loss is given. Only one
    process of a run may be active; an inactive writer takes the same calls and neither writes nor prints.

    Args:
      workdir: holds metrics.jsonl and the TensorBoard events; created if missing.
      num_steps: the steps of the whole run.
      images_per_step: the global batch size, for the speed.
      resume_step: the step that the run resumes from; None for a new run.
      active: whether to write and print at all.
      stream: where progress goes; standard error by default.
      clock: monotonic seconds.

    Raises:
      UserError: the work directory or a file in it cannot be written, then or later.

    Example::

        with RunWriter(workdir, num_steps=7000, images_per_step=16) as writer:
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
        images_per_step: int,
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
        with ExitStack() as opening, fixable(workdir, "written", "choose another --workdir"):
            workdir.mkdir(parents=True, exist_ok=True)
            self._metrics = MetricsFile(workdir / METRICS_NAME, resume_step)
            opening.callback(self._metrics.close)
            self._events = _TensorBoard(workdir, resume_step)
            opening.callback(self._events.close)
            stream = sys.stderr if stream is None else stream
            self._terminal = Progress(num_steps, images_per_step, resume_step or 0, stream, clock)
            opening.callback(self._terminal.close)
            self._closing = opening.pop_all()

    def write(self, step: int, scalars: Mapping[str, Any]) -> None:
        """Keep a step's scalars in metrics.jsonl (see `MetricsFile.write`) and, if finite, in TensorBoard."""
        if self.active:
            self._metrics.write(step, scalars)
            self._events.write(step, scalars)

    def show(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        """Show images, uint8 [H, W, 3], in TensorBoard."""
        if self.active:
            self._events.show(step, images)

    def progress(self, step: int, *, loss: float | None = None, learning_rate: float | None = None) -> float | None:
        """Show that `step` steps are done; with a loss, also the loss and the speed since the last one.

        Without a loss this only moves the bar, which is cheap enough for every step.

        Returns:
          Images per second since the last loss; None without one, or where nothing was measured.
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


def load_tensorboard() -> None:
    """Import what an active `RunWriter` imports: tensorboardX, and with it torch, wherever that is installed.

    It takes seconds, and may be done while something else is waited for.
    """
    import tensorboardX  # noqa: F401


class _TensorBoard:
    """A writer of events that is opened when the first scalars are written: a first step need not wait for it.

    Not tensorboardX's own `SummaryWriter`: its thread dies of a full disk, and the run then waits for it forever.
    """

    def __init__(self, workdir: Path, resume_step: int | None) -> None:
        self._workdir, self._resume_step = workdir, resume_step
        self._writer: Any = None
        self._flushed = time.monotonic()

    def _open(self) -> Any:
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.record_writer import RecordWriter

        # Event files are named by the second: a run resumed within it would overwrite the earlier one's.
        number = len(list(self._workdir.glob("events.out.tfevents.*")))
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{number:04d}"
        writer = RecordWriter(str(self._workdir / name))
        # TensorBoard hides earlier events from this step on.
        step = 0 if self._resume_step is None else self._resume_step + 1
        for fields in (
            {"file_version": "brain.Event:2"},
            {"step": step, "session_log": SessionLog(status=SessionLog.START)},
        ):
            writer.write(Event(wall_time=time.time(), **fields).SerializeToString())
        return writer

    def write(self, step: int, scalars: Mapping[str, Any]) -> None:
        from tensorboardX.summary import scalar

        numbers = {name: finite_or_none(value) for name, value in scalars.items()}
        self._write(step, [scalar(name, number) for name, number in numbers.items() if number is not None])

    def show(self, step: int, images: Mapping[str, np.ndarray]) -> None:
        from tensorboardX.summary import image

        # uint8: what is 0..1 would be multiplied by 255, and so would be what merely looks like it.
        summaries = [image(name, pixels.astype(np.uint8), dataformats="HWC") for name, pixels in images.items()]
        self._write(step, summaries)

    def _write(self, step: int, summaries: Sequence[Any]) -> None:
        from tensorboardX.proto.event_pb2 import Event

        with self._told_to_make_room():
            self._writer = self._writer or self._open()
            for summary in summaries:
                event = Event(wall_time=time.time(), step=int(step), summary=summary)
                self._writer.write(event.SerializeToString())
            if time.monotonic() - self._flushed > _FLUSH_SECONDS:
                self._writer.flush()
                self._flushed = time.monotonic()

    def close(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            with self._told_to_make_room():
                writer.close()

    def _told_to_make_room(self) -> AbstractContextManager[None]:
        return fixable(self._workdir / "events.out.tfevents.*", "written", MAKE_ROOM)
