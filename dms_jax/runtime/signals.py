"""Stopping between two steps instead of in the middle of one, with a word to whoever asked for it."""

import _thread
import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any, Self

from dms_jax.errors import tell

# Ctrl-C, `kill` and batch systems, and a terminal that is closed.
_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP
# Between a signal that was in vain and the first repetition, and between later ones at most; in seconds.
_MOMENT, _LONGEST_MOMENT = 0.05, 1.0
_TRAINING_AGAIN = "run the same command to resume from the last checkpoint"


class Interruptions:
    """SIGINT, SIGTERM and SIGHUP, acknowledged at once on standard error.

        with Interruptions("train.py") as interruptions:
            ...  # the first signal raises KeyboardInterrupt
            with interruptions.deferred() as received:
                ...  # the first signal is an entry of `received`

    The main thread may be in XLA's compiler for a minute, where Python calls no handler: what is said comes from a
    thread that the system's own handler wakes. A second signal, of whichever kind, ends this process and those that it
    has started at once, as a `kill -9` would: what it writes is written whole or not at all. Within another thread than
    the main one, and where SIGHUP is ignored (`nohup`), nothing is changed.

    Args:
      program: what the user calls it.
      again: the end of the sentence on a second signal: what becomes of what was done.
      leave: ends this process at once, with an exit code.

    Attributes:
      received: numbers of the signals so far.
    """

    def __init__(
        self, program: str, again: str = _TRAINING_AGAIN, *, leave: Callable[[int], object] = os._exit
    ) -> None:
        self.received: list[int] = []
        self._program, self._again, self._leave = program, again, leave
        self._defers = self._exits = False
        # Of a signal that was in vain: it is repeated until Python's handler is called. No `Event`: in the middle of
        # its `set`, the handler would wait for a lock that its own thread has.
        self._in_vain: queue.SimpleQueue[None] | None = None
        # Of a repetition that was on its way while the one before it was handled.
        self._late = False
        self._repeater: threading.Thread | None = None
        # Signals of the repeater that the acknowledging thread has not seen yet.
        self._repetitions = 0
        self._previous_hook: Callable[[Any], object] = sys.unraisablehook
        self._acknowledged = 0
        self._changed = threading.Condition()
        self._previous: dict[int, Any] = {}
        self._previous_fd = -1
        self._pipe: tuple[int, int] | None = None
        self._thread: threading.Thread | None = None

    @property
    def exit_code(self) -> int:
        """As a shell has it for a program that a signal ends: 130 of SIGINT, 143 of SIGTERM, 129 of SIGHUP."""
        return interrupted_code(self.received)

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        reading, writing = self._pipe = os.pipe()
        os.set_blocking(writing, False)
        self._previous_fd = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._acknowledge, args=(reading,), name="interruptions", daemon=True)
        self._thread.start()
        self._previous_hook, sys.unraisablehook = sys.unraisablehook, self._repeat_what_was_ignored
        for number in _SIGNALS:
            if number != signal.SIGINT and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        if self._pipe is None:
            return
        # A repetition that is under way ends nothing any more, and a signal of the user's what comes after this.
        earlier, self._exits = len(self.received), True
        if (in_vain := self._in_vain) is not None:
            in_vain.put(None)
        if self._repeater is not None:
            self._repeater.join()
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        sys.unraisablehook = self._previous_hook
        signal.set_wakeup_fd(self._previous_fd)
        reading, writing = self._pipe
        os.close(writing)
        assert self._thread is not None
        self._thread.join()
        os.close(reading)
        self._pipe = None
        self._in_vain, self._exits = None, False
        if len(self.received) > earlier:
            raise KeyboardInterrupt

    def reinstall(self) -> None:
        """Handle the signals again, after something else may have taken them; `jax.distributed` takes SIGTERM."""
        for number in self._previous:
            signal.signal(number, self._receive)

    @contextmanager
    def deferred(self) -> Iterator[list[int]]:
        """The first signal within is noted, and raises nothing.

        Yields:
          `received`.
        """
        self._defers = True
        try:
            yield self.received
        finally:
            # Until all are acknowledged as what they were.
            self.wait_until_acknowledged()
            self._defers = False

    def wait_until_acknowledged(self) -> None:
        """Wait until something was said of all signals so far, so that what is said of them next stands below."""
        with self._changed:
            self._changed.wait_for(lambda: self._acknowledged >= len(self.received))

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if (in_vain := self._in_vain) is not None:
            if _is_within(frame, self._repeat_what_was_ignored):
                # In vain again.
                return
            in_vain.put(None)
            self._in_vain, self._late = None, True
        elif self._late:
            # Were it a second signal of the user's: that one ends the process without this.
            self._late = False
            return
        else:
            self.received.append(number)
        if not (self._defers or self._exits):
            raise KeyboardInterrupt

    def _repeat_what_was_ignored(self, unraisable: Any) -> None:
        """Interrupt again in a moment, where it was in vain.

        What is raised in a callback of the garbage collector, as JAX has one, Python prints, and goes on.
        """
        if not isinstance(unraisable.exc_value, KeyboardInterrupt) or not self.received:
            self._previous_hook(unraisable)
            return
        self._in_vain = queue.SimpleQueue()
        self._repeater = threading.Thread(
            target=self._repeat, args=(self._in_vain,), name="repeated interruption", daemon=True
        )
        self._repeater.start()

    def _repeat(self, handled: queue.SimpleQueue[None]) -> None:
        """Send the first signal again until Python calls its handler.

        Once is not enough: one that comes just before the main thread begins to wait does not end the waiting. The next
        is sent when the last was seen, because the system delivers two that are both on their way as one.
        """
        moment = _MOMENT
        while not _has_come(handled, moment):
            with self._changed:
                if self._repetitions:
                    continue
                self._repetitions += 1
            _interrupt_main(self.received[0])
            moment = min(2 * moment, _LONGEST_MOMENT)

    def _acknowledge(self, reading: int) -> None:
        """Say of each signal that it has come, until the pipe is closed."""
        while numbers := os.read(reading, 64):
            # The system's handler writes those of all signals there that Python handles.
            for number in (number for number in numbers if number in _SIGNALS):
                with self._changed:
                    if self._repetitions:
                        self._repetitions -= 1
                        continue
                name = signal.Signals(number).name
                if self._acknowledged:
                    self._say(f"{name} received again: ended at once; {self._again}.")
                    for process in multiprocessing.active_children():
                        process.kill()
                    self._leave(128 + number)
                elif self._defers:
                    self._say(f"{name} received: what is under way is finished and saved; again to end at once.")
                else:
                    self._say(f"{name} received: ending.")
                with self._changed:
                    self._acknowledged += 1
                    self._changed.notify_all()

    def _say(self, sentence: str) -> None:
        # Not behind a bar.
        start = "\n" if sys.stderr.isatty() else ""
        tell(f"{start}{self._program}", sentence)


def _interrupt_main(number: int) -> None:
    """Send this process's main thread a signal, also where it waits for something."""
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, number)
    else:
        # Windows has none; Python's own is noticed when the waiting is over.
        _thread.interrupt_main(signal.Signals(number))


def _has_come(messages: queue.SimpleQueue[None], seconds: float) -> bool:
    try:
        messages.get(timeout=seconds)
    except queue.Empty:
        return False
    return True


def _is_within(frame: FrameType | None, function: Callable[..., object]) -> bool:
    while frame is not None and frame.f_code is not function.__code__:
        frame = frame.f_back
    return frame is not None


def interrupted_code(received: list[int]) -> int:
    """The exit code of a program that such signals have ended; without any, that of Ctrl-C."""
    return 128 + (received[0] if received else signal.SIGINT)


@contextmanager
def collect_interruptions(program: str = "dms_jax") -> Iterator[list[int]]:
    """Collect SIGINT (Ctrl-C), SIGTERM and SIGHUP instead of dying from them; see `Interruptions`.

    Args:
      program: what the user calls it, where its entry point has not begun to collect them.

    Yields:
      A list of the signals.
    """
    entered = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
    if isinstance(entered, Interruptions):
        with entered.deferred() as received:
            yield received
    else:
        with Interruptions(program) as own, own.deferred() as received:
            yield received


@contextmanager
def starting_deaf(*numbers: int) -> Iterator[None]:
    """Processes that are started within never see these signals, which a terminal sends to all of them.

    By default SIGINT, SIGTERM and SIGHUP: whoever started them ends them. Signals to this process are handled after it.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    deaf_to = set(numbers or _SIGNALS)
    # Python's own helper, which each of them needs, ignores the others but not SIGHUP; and it is started first, because
    # it lets the others through when it has been.
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, deaf_to - {signal.SIGINT, signal.SIGTERM})
    try:
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, deaf_to)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


def end_with_parent() -> None:
    """In a process of `multiprocessing`: end when the one that started it does, however it does.

    Were that one killed, this one would wait for it forever.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:

        def end() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=end, name="end with parent", daemon=True).start()
