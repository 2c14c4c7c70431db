"""How much memory a process and its children hold, on Linux."""

import os
import threading
import time
from pathlib import Path


class PeakMemory:
    """The most that this process and all its children have held while it was open, looked at five times a second.

    Pages that several processes share count once (Linux's "proportional set size").
    """

    def __init__(self) -> None:
        self._open = True
        self._peak = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._open = False
        self._thread.join()

    @property
    def mib(self) -> float:
        """That, in MiB."""
        return self._peak / 1024

    def _watch(self) -> None:
        while self._open:
            self._peak = max(self._peak, proportional_kib(os.getpid()))
            time.sleep(0.2)


def proportional_kib(process: int) -> int:
    """Of a process with its children, theirs and so on; 0 for one that has ended."""
    folder = Path("/proc") / str(process)
    try:
        memory = (folder / "smaps_rollup").read_text()
        children = [child for task in (folder / "task").iterdir() for child in (task / "children").read_text().split()]
    except OSError:
        return 0
    own = next((int(line.split()[1]) for line in memory.splitlines() if line.startswith("Pss:")), 0)
    return own + sum(proportional_kib(int(child)) for child in children)
