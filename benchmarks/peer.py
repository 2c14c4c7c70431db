"""The same network in PyTorch, timed by a script of its own in a process of its own."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_LINE = re.compile(r"^torch (\w+) +(\w+) +batch +(\d+) +([\d.]+) ms", re.MULTILINE)


def peer_times(script: Path, modes: Sequence[str], seconds: float) -> dict[tuple[str, int, str], float]:
    """Seconds a step by (job, batch, mode), for each mode that runs there.

    Args:
      script: prints lines such as "torch compile train batch 16 60.2 ms ...".
      modes: of the script; each in a process of its own, so that one that fails costs nothing else.
      seconds: how long each of its measurements takes, about.
    """
    times = {}
    for mode in modes:
        command = [sys.executable, str(script), "--modes", mode, "--seconds", str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        for name, job, batch, milliseconds in _LINE.findall(done.stdout):
            times[job, int(batch), name] = float(milliseconds) / 1e3
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["no message"]
            print(f"the peer's mode {mode} failed: {last[0]}", file=sys.stderr)
    return times


def best(times: dict[tuple[str, int, str], float], job: str, batch: int) -> tuple[float, str] | None:
    """The fastest mode's seconds a step, and its name."""
    found = [(seconds, mode) for (a, b, mode), seconds in times.items() if (a, b) == (job, batch)]
    return min(found, default=None)
