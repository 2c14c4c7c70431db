"""A trial: damaged files of one kind, read in a process that may crash or hang without ending the trial."""

import json
import os
import select
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

_SCRIPT = Path(__file__).with_name("damaged_batch.py")
# So long may a file take, and so much memory; and so long the libraries to be imported and the whole files to be made.
SECONDS = 20.0
MEGABYTES = 3072
_START_SECONDS = 240.0

# What may become of a damaged file.
SURVIVED = frozenset({"decoded", "refused", "other content"})


@dataclass
class Tally:
    """What became of the files of one kind.

    Attributes:
      outcomes: how many were decoded, refused and so on.
      failures: number, kind of damage, outcome and message of those that were not survived.
      slowest: seconds of the slowest file.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str, str, str]] = field(default_factory=list)
    slowest: float = 0.0


def try_damaged(module: str, kind: str, count: int, folder: Path, first: int = 0) -> Tally:
    """Read damaged files, and count what becomes of them.

    Args:
      module: has the kinds of files, as `KINDS`.
      kind: one of them.
      count: of damaged files.
      folder: for the files; made.
      first: number of the first file, from which it and its damage are drawn.

    Raises:
      AssertionError: a whole file cannot be read, or the process does not begin.
    """
    tally = Tally()
    next_file, end = first, first + count
    while next_file < end:
        part = folder / f"{kind}-{next_file}"
        part.mkdir(parents=True)
        next_file = _batch(module, kind, next_file, end - next_file, part, tally)
    return tally


def _batch(module: str, kind: str, first: int, count: int, folder: Path, tally: Tally) -> int:
    """Start a process, and follow it to its end; returns the number of the file to go on with."""
    command = [sys.executable, str(_SCRIPT), module, kind, str(first), str(count), str(MEGABYTES), str(folder)]
    root = str(Path(__file__).parents[2])
    log = folder.with_suffix(".stderr")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((root, os.environ.get("PYTHONPATH", "")))}
    with (
        log.open("wb") as complaints,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, env=environment) as process,
    ):
        assert process.stdout is not None
        number, how, left = -1, "", b""
        while True:
            ready, _, _ = select.select([process.stdout], [], [], SECONDS if number >= first else _START_SECONDS)
            data = os.read(process.stdout.fileno(), 65536) if ready else b""
            if not data:
                break
            *lines, left = (left + data).split(b"\n")
            for number, outcome, detail, *more in map(json.loads, lines):
                if outcome == "whole":
                    assert detail == "decoded", f"a whole file of kind {kind} cannot be read: {more}"
                elif outcome == "begin":
                    how = detail
                else:
                    _count(tally, number, how, outcome, detail)
                    tally.slowest = max(tally.slowest, float(more[0]))
                    how = ""
        hung = not ready
        if hung:
            process.kill()
        code = process.wait()
    assert number >= 0, f"nothing of kind {kind} was read: {log.read_text(errors='replace')[-2000:]}"
    if how:
        last = log.read_text(errors="replace")[-300:]
        _count(tally, number, how, "hung" if hung else "crashed", f"exit {code}: {last}")
    return number + 1


def _count(tally: Tally, number: int, how: str, outcome: str, detail: str) -> None:
    tally.outcomes[outcome] += 1
    if outcome not in SURVIVED:
        tally.failures.append((number, how, outcome, detail))
