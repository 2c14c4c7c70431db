"""Runs that are stopped by signals: acknowledged, saved, gone on with to the same end."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from survival_runs import STEPS, Runs, assert_same, is_handled, seconds_until_gone, state_at

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to find processes"),
]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TRIALS = 20
MOMENTS = ("before the first step", "while the step is compiled", "between steps", "while a checkpoint is written")


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    # `nohup` has it ignored, and what it starts too: no run would ever be stopped by it.
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    runs = Runs(tmp_path)
    yield runs
    runs.end()
    signal.signal(signal.SIGHUP, hangup)


class Stopped:
    """How a run took its signals.

    Attributes:
      acknowledged: seconds until it said so; None where it had come to its end.
      ended: seconds until it had ended.
      left: seconds until all of its processes had, after that.
    """

    acknowledged: float | None = None
    ended = 0.0
    left = 0.0


def stop(runs: Runs, workdir: str, moment: str, number: signal.Signals, *arguments: str, twice: bool) -> Stopped:
    """Send a run a signal, to all of its processes as a terminal does or to the first alone, at a moment."""
    stopped = Stopped()
    process = runs.start(workdir, *arguments)
    # Before, Python itself is started.
    if not runs.wait_until(lambda: is_handled(process, signal.SIGTERM), process):
        return stopped
    if moment == "before the first step":
        time.sleep(runs.random.uniform(0, 3))
    elif moment == "while the step is compiled":
        if not runs.has_said("device(s)", workdir, process):
            return stopped
        time.sleep(runs.random.uniform(0, 1.5))
    elif not runs.has_said("first step done", workdir, process):
        return stopped
    elif moment == "between steps":
        time.sleep(runs.random.uniform(0, 1.5))
    elif not runs.wait_until(lambda: runs.is_saving(workdir), process):
        return stopped
    if process.poll() is not None:
        return stopped
    send = runs.random.choice((os.kill, os.killpg))
    sent = time.monotonic()
    send(process.pid, number)
    if not runs.has_said(f"{number.name} received", workdir, process) and process.returncode == 0:
        return stopped
    stopped.acknowledged = time.monotonic() - sent
    if twice and process.poll() is None:
        send(process.pid, number)
    code = process.wait(120)
    stopped.ended = time.monotonic() - sent
    stopped.left = seconds_until_gone(process.pid)
    said = runs.said(workdir)
    if code == 0:
        # During the very last things that are done.
        stopped.acknowledged = None
        return stopped
    # A second signal may come when all is done but Python's own end: to a shell it is the same.
    assert code == 128 + number or (twice and code == -number), said
    assert "Traceback" not in said, said
    sentences = runs.sentences(workdir)
    assert f"train.py: {number.name} received" in sentences[0], said
    assert "run the same command to resume" in sentences[-1], said
    assert len(sentences) == 2, said
    return stopped


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("twice", [False, True])
def test_runs_that_are_stopped(workers: int, twice: bool, runs: Runs) -> None:
    """Once each, or with a second signal after the first was acknowledged."""
    arguments = (f"--config.data.workers={workers}",)
    runs.finishes("whole", *arguments)
    done: dict[str, list[Stopped]] = {moment: [] for moment in MOMENTS}
    ended = 0
    trials = TRIALS // 2
    while sum(map(len, done.values())) < trials:
        moment = min(MOMENTS, key=lambda each: len(done[each]))
        number = SIGNALS[sum(map(len, done.values())) % len(SIGNALS)]
        stopped = stop(runs, f"run{ended}", moment, number, *arguments, twice=twice)
        if stopped.acknowledged is not None:
            done[moment].append(stopped)
        elif (runs.folder / f"run{ended}" / "eval/test.json").exists():
            ended += 1
    runs.finishes(f"run{ended}", *arguments)
    for number_of_run in range(ended + 1):
        assert_same(runs.folder / f"run{number_of_run}", runs.folder / "whole")
    all_stopped = [stopped for each in done.values() for stopped in each]
    slowest = max(stopped.acknowledged or 0 for stopped in all_stopped)
    longest = max(stopped.ended for stopped in all_stopped)
    left = max(stopped.left for stopped in all_stopped)
    print(
        f"\n{workers} workers, {'two signals' if twice else 'one signal'}: {trials} times in {ended + 1} runs; at most "
        f"{slowest:.2f} s until acknowledged, {longest:.1f} s until ended, {left:.1f} s more for its processes"
    )
    assert slowest < 1
    assert left < 10


def test_other_numbers_of_workers_and_devices(runs: Runs) -> None:
    """A run goes on with other devices; with other workers it is refused before any step."""
    for workdir, devices in (("whole", 1), ("other", 2)):
        runs.finishes(workdir, "--config.steps=12", devices=devices)
    code = runs.start("other", "--config.data.workers=2").wait(120)
    assert (code, len(runs.sentences("other"))) == (1, 1)
    assert "config.data.workers (was 0, is 2)" in runs.said("other")
    assert "first step" not in runs.said("other")
    runs.finishes("other", devices=1)
    assert f"resuming after step {12}" in runs.said("other")
    assert int(state_at(runs.folder / "other", STEPS)["step"]) == STEPS
    code = runs.start("other", f"--config.steps={STEPS + 1}", devices=3).wait(120)
    assert (code, len(runs.sentences("other"))) == (2, 1), runs.said("other")
    assert "batch_size" in runs.sentences("other")[0]
