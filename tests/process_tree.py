"""What a process and all that it has started hold, as Linux tells it."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Held:
    """Of all processes together: resident memory in MiB, open file descriptors, threads; and how many they are."""

    memory: float
    descriptors: int
    threads: int
    processes: int


def descendants(pid: int) -> list[int]:
    """A process and all that it has started, directly or not."""
    found = [pid]
    for each in found:
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:
                continue
    return found


def held_by(pid: int) -> Held:
    """What a process and its descendants hold now; one that ends meanwhile holds nothing."""
    memory, descriptors, threads, processes = 0.0, 0, 0, 0
    for each in descendants(pid):
        folder = Path(f"/proc/{each}")
        try:
            pages = int((folder / "statm").read_text().split()[1])
            counts = [len(os.listdir(folder / name)) for name in ("fd", "task")]
        except OSError:
            continue
        memory += pages * os.sysconf("SC_PAGE_SIZE") / 2**20
        descriptors += counts[0]
        threads += counts[1]
        processes += 1
    return Held(memory, descriptors, threads, processes)
