"""A run's progress on the terminal: a bar, or plain lines where the output is no terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm


class Progress:
    """A bar on a terminal, plain lines elsewhere.

    Args:
      num_steps: the steps of the whole run.
      images_per_step: the global batch size.
      step: the steps already done.
      stream: where to print.
      clock: monotonic seconds.
    """

    def __init__(
        self, num_steps: int, images_per_step: int, step: int, stream: TextIO, clock: Callable[[], float]
    ) -> None:
        self._num_steps = num_steps
        self._images_per_step = images_per_step
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
            # A short bar and no percentage: in 80 columns, tqdm would otherwise cut the metrics.
            bar_format="|{bar:8}| {n_fmt}/{total_fmt}  {desc}",
        )

    def move(self, step: int) -> None:
        """Show that `step` steps are done."""
        self._bar.update(step - self._bar.n)

    def show(self, step: int, loss: float, learning_rate: float | None) -> float | None:
        """Show the loss, and the speed of the steps since the last time.

        Returns:
          Images per second, without the pauses; None if no step was done.
        """
        speed, left = self._measure(step)
        images_per_second = speed and speed * self._images_per_step
        images = f"{_format(images_per_second, '.1f')} images/s"
        if not self._bar.disable:
            steps = f"{_format(speed, '.2f')} steps/s"
            self._bar.set_description_str(f"loss {loss:#.4g}  {steps}  {images}  {_format_time(left)} left")
            return images_per_second
        parts = [f"step {step:>{len(str(self._num_steps))}}/{self._num_steps}", f"loss {loss:#.4g}"]
        if learning_rate is not None:
            parts.append(f"lr {learning_rate:#.3g}")
        self.text("  ".join([*parts, images, f"time left {_format_time(left)}"]))
        return images_per_second

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Keep the time spent inside out of the speed."""
        start = self._clock()
        try:
            yield
        finally:
            self._paused += self._clock() - start

    def text(self, message: str) -> None:
        """Print a line without breaking the bar."""
        tqdm.write(message, file=self._stream)
        self._stream.flush()

    def close(self) -> None:
        """Remove the bar; a second time does nothing."""
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
