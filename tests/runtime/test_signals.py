"""Signals: acknowledged at once, deferred or not, and the processes that never see them."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dms_jax.runtime.signals import Interruptions, collect_interruptions, starting_deaf

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
pytestmark = pytest.mark.usefixtures("signals_as_before")


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
