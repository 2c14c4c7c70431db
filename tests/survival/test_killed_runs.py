"""Runs that are killed at random moments come to the same end, and leave no processes."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from survival_runs import Runs, assert_same, rows, seconds_until_gone

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to find processes")

KILLS = 20
MOMENTS = ("anywhere", "between steps", "while a checkpoint is written", "right after a checkpoint")


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    runs = Runs(tmp_path)
    yield runs
    runs.end()


def kill(runs: Runs, workdir: str, moment: str, *arguments: str, longest: float = 8) -> float | None:
    """Kill a run at a moment; returns for how long its workers were left, None where it had ended before."""
    process = runs.start(workdir, *arguments)
    if moment == "anywhere":
        time.sleep(runs.random.uniform(0.3, longest))
    elif not runs.has_said("first step done", workdir, process):
        return None
    elif moment == "between steps":
        time.sleep(runs.random.uniform(0, 2))
    elif moment == "while a checkpoint is written":
        if not runs.wait_until(lambda: runs.is_saving(workdir), process):
            return None
        time.sleep(runs.random.uniform(0, 0.1))
    else:
        before = checkpoints(runs.folder / workdir)
        if not runs.wait_until(lambda: bool(checkpoints(runs.folder / workdir) - before), process):
            return None
    if process.poll() is not None:
        return None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return seconds_until_gone(process.pid)


def checkpoints(workdir: Path) -> set[str]:
    return {path.name for path in (workdir / "checkpoints").glob("*") if path.name.isdecimal()}


def test_a_run_that_is_killed_while_it_saves(runs: Runs) -> None:
    """It leaves whole rows and no process; what it comes to, the long form compares."""
    few = ("--config.steps=8", "--config.data.workers=1")
    assert kill(runs, "killed", "while a checkpoint is written", *few) is not None
    assert [row["step"] for row in rows(runs.folder / "killed") if "train/loss" in row][:2] == [2, 4]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_runs_that_are_killed(workers: int, runs: Runs) -> None:
    """Each run is killed again and again, until it comes to its end; then the next is, `KILLS` times together."""
    arguments = (f"--config.data.workers={workers}",)
    started = time.monotonic()
    runs.finishes("whole", *arguments)
    longest = time.monotonic() - started
    left: dict[str, list[float]] = {moment: [] for moment in MOMENTS}
    ended = 0
    while sum(map(len, left.values())) < KILLS:
        # Those that have come up least, in their order.
        moment = min(MOMENTS, key=lambda each: len(left[each]))
        seconds = kill(runs, f"run{ended}", moment, *arguments, longest=longest)
        if seconds is not None:
            left[moment].append(seconds)
        elif (runs.folder / f"run{ended}" / "eval/test.json").exists():
            ended += 1
    runs.finishes(f"run{ended}", *arguments)
    for number in range(ended + 1):
        assert_same(runs.folder / f"run{number}", runs.folder / "whole")
        assert not list((runs.folder / f"run{number}").glob("*/*tmp*"))
    assert all(left.values())
    longest_left = max(max(seconds) for seconds in left.values())
    print(f"\n{workers} workers: {KILLS} kills in {ended + 1} runs, {longest_left:.1f} s until no process was left")
    # A worker notices at once, but has to be given a processor.
    assert longest_left < 10
