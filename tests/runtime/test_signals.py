"""Signals: acknowledged at once, deferred or not, and the processes that never see them."""

import gc
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dms_jax.runtime import signals
from dms_jax.runtime.signals import Interruptions, collect_interruptions, starting_deaf

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    hangup = signal.getsignal(signal.SIGHUP)
    # `nohup` has it ignored, which stays so.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before
    signal.signal(signal.SIGHUP, hangup)
    assert signal.set_wakeup_fd(-1) == -1
    assert "interruptions" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_ends_what_is_not_deferred(number: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    interruptions = Interruptions("program")
    with pytest.raises(KeyboardInterrupt), interruptions:
        signal.raise_signal(number)
    assert (interruptions.received, interruptions.exit_code) == ([number], 128 + number)
    assert capsys.readouterr().err == f"program: {number.name} received: ending.\n"


@pytest.mark.parametrize("entered", [False, True])
def test_a_deferred_signal_is_noted(entered: bool, capsys: pytest.CaptureFixture[str]) -> None:
    outer = Interruptions("program")
    if entered:
        outer.__enter__()
    with collect_interruptions("program") as received:
        signal.raise_signal(signal.SIGTERM)
        assert received == [signal.SIGTERM]
    if entered:
        assert outer.exit_code == 143
        outer.__exit__()
    said = "program: SIGTERM received: what is under way is finished and saved; again to end at once.\n"
    assert capsys.readouterr().err == said


_UNHEARD = """
import signal, time
from dms_jax.runtime.signals import Interruptions
with Interruptions("program") as interruptions, interruptions.deferred() as received:
    print("ready", flush=True)
    while not received:
        time.sleep(0.01)
    interruptions.wait_until_acknowledged()
    SECOND
raise SystemExit(interruptions.exit_code)
"""


@pytest.mark.parametrize(("second", "code"), [("", 130), ("signal.raise_signal(15); time.sleep(60)", 143)])
def test_signals_that_nobody_hears_of(second: str, code: int) -> None:
    """Ctrl-C has ended the `tee` that would have read what is said."""
    command = [sys.executable, "-c", _UNHEARD.replace("SECOND", second)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"ready\n"
        process.stderr.close()
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(30) == code
        finally:
            process.kill()


def test_after_what_was_deferred_a_signal_ends_the_rest() -> None:
    with Interruptions("program"):
        with collect_interruptions():
            pass
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


def test_a_second_signal_ends_all_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    codes: list[int] = []
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,), daemon=True)
    with Interruptions("program", "nothing is lost", leave=codes.append) as interruptions, interruptions.deferred():
        process.start()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        process.join(30)
    assert (codes, process.exitcode) == ([130], -signal.SIGKILL)
    *_, last = capsys.readouterr().err.splitlines()
    assert last == "program: SIGINT received again: ended at once; nothing is lost."


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

    def callback(phase: str, _: object) -> None:
        gc.callbacks.remove(callback)
        signal.raise_signal(signal.SIGTERM)

    def collect() -> None:
        gc.callbacks.append(callback)
        gc.collect(0)
        time.sleep(60)

    monkeypatch.setattr(signals, "_interrupt_main", interrupt)
    begun = time.monotonic()
    with interruptions, pytest.raises(KeyboardInterrupt):
        collect()
    assert time.monotonic() - begun < 30
    assert sent == [signal.SIGTERM] * 3
    assert interruptions.received == [signal.SIGTERM]
    assert capsys.readouterr().err == "program: SIGTERM received: ending.\n"


def test_where_signals_wake_something_else_a_repetition_holds_nothing_up() -> None:
    """As an event loop of `asyncio` does: what has to say something of signals never sees them."""
    interruptions = Interruptions("program")

    def callback(phase: str, _: object) -> None:
        gc.callbacks.remove(callback)
        signal.raise_signal(signal.SIGTERM)

    def collect() -> None:
        signal.set_wakeup_fd(-1)
        gc.callbacks.append(callback)
        gc.collect(0)
        time.sleep(60)

    begun = time.monotonic()
    with interruptions, pytest.raises(KeyboardInterrupt):
        collect()
    assert time.monotonic() - begun < 30
    assert interruptions.received == [signal.SIGTERM]


def test_what_ends_before_a_repetition_hears_of_none(capsys: pytest.CaptureFixture[str]) -> None:
    interruptions = Interruptions("program")

    def callback(phase: str, _: object) -> None:
        gc.callbacks.remove(callback)
        signal.raise_signal(signal.SIGTERM)

    with interruptions:
        gc.callbacks.append(callback)
        gc.collect(0)
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

    def callback(phase: str, _: object) -> None:
        gc.callbacks.remove(callback)
        signal.raise_signal(signal.SIGTERM)

    def collect() -> None:
        gc.callbacks.append(callback)
        gc.collect(0)
        time.sleep(10)

    monkeypatch.setattr(threading.Thread, "start", start_slowly)
    interruptions = Interruptions("program")
    with interruptions, pytest.raises(KeyboardInterrupt):
        collect()
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

    def callback(phase: str, _: object) -> None:
        gc.callbacks.remove(callback)
        signal.raise_signal(signal.SIGTERM)

    def collect() -> None:
        gc.callbacks.append(callback)
        gc.collect(0)
        time.sleep(60)

    monkeypatch.setattr(signals, "_interrupt_main", interrupt_twice)
    with interruptions:
        with pytest.raises(KeyboardInterrupt):
            collect()
        try:
            # What is cleaned up after the first.
            assert is_over.wait(30)
            interruptions.wait_until_acknowledged()
        except KeyboardInterrupt:
            pytest.fail("it was interrupted again")
    assert (interruptions.received, codes) == ([signal.SIGTERM], [])
    assert capsys.readouterr().err == "program: SIGTERM received: ending.\n"


def test_a_signal_while_handlers_are_put_back_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes on after a run, in a script of somebody's own, has to end too."""
    interruptions, put_back = Interruptions("program"), signal.signal
    before = [signal.getsignal(number) for number in SIGNALS]

    def put_back_interrupted(number: int, handler: Any) -> Any:
        monkeypatch.undo()
        signal.raise_signal(signal.SIGTERM)
        return put_back(number, handler)

    with pytest.raises(KeyboardInterrupt), interruptions:
        monkeypatch.setattr(signal, "signal", put_back_interrupted)
    assert interruptions.received == [signal.SIGTERM]
    assert [signal.getsignal(number) for number in SIGNALS] == before


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


def test_another_thread_leaves_signals_alone() -> None:
    handlers: list[object] = []

    def look() -> None:
        with collect_interruptions() as received:
            handlers.extend([signal.getsignal(signal.SIGTERM), received])

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGTERM), []]


def test_what_is_run_under_nohup_stays_so() -> None:
    earlier = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with collect_interruptions() as received:
            signal.raise_signal(signal.SIGHUP)
        assert received == []
    finally:
        signal.signal(signal.SIGHUP, earlier)


def test_a_process_that_is_started_deaf_is_not_ended_by_a_terminal() -> None:
    with starting_deaf(), subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        for number in SIGNALS:
            process.send_signal(number)
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.close()
    assert process.returncode == 0
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(SIGNALS)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to look at other people's children")
def test_a_process_ends_with_the_killed_one_that_started_it() -> None:
    script = """
import multiprocessing, sys, time
from dms_jax.runtime.signals import end_with_parent

def wait():
    end_with_parent()
    time.sleep(600)

if __name__ == "__main__":
    process = multiprocessing.get_context("fork").Process(target=wait)
    process.start()
    print(process.pid, flush=True)
    time.sleep(600)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.2)
        parent.kill()
    until = time.monotonic() + 20
    while is_running(child) and time.monotonic() < until:
        time.sleep(0.02)
    assert not is_running(child)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
