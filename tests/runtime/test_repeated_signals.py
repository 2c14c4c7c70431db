"""Signals that come where Python ignores what their handler raises: they are repeated until they end something."""

import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from dms_jax.runtime import signals
from dms_jax.runtime.signals import Interruptions

pytestmark = pytest.mark.usefixtures("signals_as_before")


def test_a_signal_in_a_callback_of_the_garbage_collector_is_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """Where Python ignores what is raised; JAX has such a callback."""
    called: list[str] = []

    def callback(phase: str, _: object) -> None:
        if not called:
            called.append(phase)
            signal.raise_signal(signal.SIGTERM)

    def collect() -> None:
        # Not before: a collection may fall due at any moment, and without handlers the signal ends all tests.
        gc.callbacks.append(callback)
        # Of the youngest alone: what comes again a moment later, just before a wait, would not end it.
        gc.collect(0)
        # Longer than the test may take: the wait itself has to be interrupted.
        time.sleep(60)

    interruptions = Interruptions("program")
    hook, begun = sys.unraisablehook, time.monotonic()
    try:
        with interruptions, pytest.raises(KeyboardInterrupt):
            collect()
    finally:
        gc.callbacks.remove(callback)
    assert called
    assert time.monotonic() - begun < 30
    assert interruptions.received == [signal.SIGTERM]
    assert capsys.readouterr().err == "program: SIGTERM received: ending.\n"
    assert sys.unraisablehook is hook


def test_a_repetition_just_before_a_wait_is_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python notes it, and calls its handler when the wait is over: too late."""
    interruptions, sent = Interruptions("program"), []

    def interrupt(number: int) -> None:
        sent.append(number)
        if len(sent) > 2:
            signal.pthread_kill(threading.main_thread().ident or 0, number)
            return
        # What the system's handler does, without Python's.
        assert interruptions._pipe is not None
        os.write(interruptions._pipe[1], bytes([number]))

    monkeypatch.setattr(signals, "_interrupt_main", interrupt)
    begun = time.monotonic()
    with interruptions, pytest.raises(KeyboardInterrupt):
        collect_in_vain(wait=60)
    assert time.monotonic() - begun < 30
    assert sent == [signal.SIGTERM] * 3
    assert interruptions.received == [signal.SIGTERM]
    assert capsys.readouterr().err == "program: SIGTERM received: ending.\n"


def test_where_signals_wake_something_else_a_repetition_holds_nothing_up() -> None:
    """As an event loop of `asyncio` does: what has to say something of signals never sees them."""
    interruptions = Interruptions("program")
    begun = time.monotonic()
    with interruptions:
        signal.set_wakeup_fd(-1)
        with pytest.raises(KeyboardInterrupt):
            collect_in_vain(wait=60)
    assert time.monotonic() - begun < 30
    assert interruptions.received == [signal.SIGTERM]


def test_what_ends_before_a_repetition_hears_of_none(capsys: pytest.CaptureFixture[str]) -> None:
    interruptions = Interruptions("program")
    with interruptions:
        collect_in_vain()
    assert interruptions.received == [signal.SIGTERM]
    assert capsys.readouterr().err == "program: SIGTERM received: ending.\n"
    assert not [thread for thread in threading.enumerate() if thread.name == "repeated interruption"]


def test_a_repetition_while_the_first_is_still_being_ignored_is_in_vain_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a busy machine, on which a thread takes long to start."""
    start = threading.Thread.start

    def start_slowly(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "repeated interruption":
            time.sleep(0.3)

    monkeypatch.setattr(threading.Thread, "start", start_slowly)
    interruptions = Interruptions("program")
    with interruptions, pytest.raises(KeyboardInterrupt):
        collect_in_vain(wait=10)
    assert interruptions.received == [signal.SIGTERM]


def test_a_repetition_that_was_on_its_way_when_the_last_was_handled_is_no_second_signal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes: list[int] = []
    interruptions = Interruptions("program", leave=codes.append)
    interrupt, is_over = signals._interrupt_main, threading.Event()

    def interrupt_twice(number: int) -> None:
        interrupt(number)
        while interruptions._in_vain is not None:
            time.sleep(0.001)
        with interruptions._changed:
            interruptions._repetitions += 1
        interrupt(number)
        is_over.set()

    monkeypatch.setattr(signals, "_interrupt_main", interrupt_twice)
    with interruptions:
        with pytest.raises(KeyboardInterrupt):
            collect_in_vain(wait=60)
        try:
            # What is cleaned up after the first.
            assert is_over.wait(30)
            interruptions.wait_until_acknowledged()
        except KeyboardInterrupt:
            pytest.fail("it was interrupted again")
    assert (interruptions.received, codes) == ([signal.SIGTERM], [])
    assert capsys.readouterr().err == "program: SIGTERM received: ending.\n"


_REPEATED_AT_THE_END = """
import gc, signal, sys
from dms_jax.runtime.signals import Interruptions

def callback(phase, _):
    gc.callbacks.remove(callback)
    signal.raise_signal(signal.SIGTERM)

def end_with_repetition(line):
    interruptions, lines = Interruptions("program", leave=print), []

    def trace(frame, event, _):
        if interruptions._exits and signal.getsignal(signal.SIGTERM) == interruptions._receive:
            lines.append(frame.f_lineno)
            if len(lines) == line:
                with interruptions._changed:
                    interruptions._repetitions += 1
                signal.raise_signal(signal.SIGTERM)
        return trace

    with interruptions:
        gc.callbacks.append(callback)
        gc.collect(0)
        sys.settrace(trace)
    sys.settrace(None)
    assert interruptions.received == [signal.SIGTERM]
    return len(lines)

line = 1
while end_with_repetition(line) >= line:
    line += 1
print("repeated at", line)
"""


def test_a_repetition_at_any_moment_of_the_end_holds_nothing_up() -> None:
    """The thread that handles it may have any lock then."""
    command = [sys.executable, "-c", _REPEATED_AT_THE_END]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"repeated at \d+\n", done.stdout)
    assert int(done.stdout.split()[-1]) > 5


def collect_in_vain(wait: float = 0) -> None:
    """SIGTERM comes in a callback of the garbage collector; then `wait` seconds, which it should interrupt."""

    def callback(phase: str, _: object) -> None:
        gc.callbacks.remove(callback)
        signal.raise_signal(signal.SIGTERM)

    gc.callbacks.append(callback)
    gc.collect(0)
    time.sleep(wait)
