"""Processes that read and write images, and the memory that they share with the one that predicts.

Crops and maps sent through pipes keep the predicting process busy for longer than the GPU takes for them
(benchmarks/README.md, "Prediction of many files"): they are left in shared memory instead, where there is room.
"""

from __future__ import annotations

import math
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.context import BaseContext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dms_jax.errors import UserError
from dms_jax.inference.underway import Answered, Loaded
from dms_jax.runtime.cores import usable_cores
from dms_jax.runtime.signals import end_with_parent, starting_deaf

# Files that are sent to a process at a time: each takes a few milliseconds, sending half of one.
CHUNK = 8
# Lists that may be under way: at work, and waiting for the network.
_SLOTS = 64

# Imported once, by the process that all others are forked from.
_PRELOADED = ("dms_jax.inference.folder.files", "dms_jax.inference.streaming", "dms_jax.inference.folder.workers")

# Of this process, if it is one of the workers.
_shared: Any = None


@dataclass(frozen=True)
class _Stored:
    """Where an array lies in the shared memory: its first byte and its shape."""

    start: int
    shape: tuple[int, ...]


class _Slot:
    """A part of the shared memory, used until nothing refers to it any more; then another may have it."""

    def __init__(self, memory: NDArray[np.uint8], number: int, free: deque[int]) -> None:
        self.number = number
        self._memory, self._free = memory, free

    @property
    def __array_interface__(self) -> dict[str, Any]:
        # An array made of this refers to it, and so do all parts of the array.
        return self._memory.__array_interface__

    def __del__(self) -> None:
        self._free.append(self.number)


class WorkerPool:
    """Processes that are given lists, and return lists; otherwise an executor.

    Of what they are given, the maps of `Answered` images lie in shared memory, and of what they return, the crops of
    `Loaded` ones: the latter are views of it.

    Args:
      workers: how many processes.
      slot_bytes: for one list's arrays; what is larger goes through a pipe.
      slots: how many lists' arrays lie in shared memory at a time; those of further ones go through a pipe.
    """

    def __init__(self, workers: int, slot_bytes: int, slots: int) -> None:
        # Not forked from this process, which has JAX's threads and would hang.
        context: BaseContext = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(_PRELOADED))
        shared = context.RawArray("B", slot_bytes * slots)
        self._memory: NDArray[np.uint8] = np.frombuffer(shared, np.uint8).reshape(slots, slot_bytes)
        self._free = deque(range(slots))
        self._pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(shared, slot_bytes))
        # Not to SIGTERM, by which a broken pool ends those that are left.
        with starting_deaf(signal.SIGINT, signal.SIGHUP):
            # They start while the caller does something else.
            self._starting = [self._pool.submit(_nothing) for _ in range(workers)]

    def submit(self, function: Callable[[list[Any]], list[Any]], items: list[Any]) -> _Task:
        """Have a process call a function of a list."""
        slot = self._slot()
        if slot is not None:
            items = _stored(items, np.asarray(slot))
        with _telling_of_ended_processes():
            future = self._pool.submit(_call, function, None if slot is None else slot.number, items)
        return _Task(future, slot)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes, see `concurrent.futures.Executor.shutdown`."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def _slot(self) -> _Slot | None:
        try:
            number = self._free.popleft()
        except IndexError:
            return None
        return _Slot(self._memory[number], number, self._free)


class _Task:
    """A list that a process is at work on."""

    def __init__(self, future: Future[list[Any]], slot: _Slot | None) -> None:
        self._future, self._slot = future, slot

    def result(self) -> list[Any]:
        """What the function returned; raises what it raised, and a `UserError` where its process was ended."""
        with _telling_of_ended_processes():
            results = self._future.result()
        return results if self._slot is None else _restored(results, np.asarray(self._slot))

    def cancel(self) -> bool:
        """Not begin with it, if that is still possible."""
        return self._future.cancel()


@contextmanager
def open_pool(workers: int, crop_side: int) -> Iterator[WorkerPool | ThreadPoolExecutor]:
    """Processes, or threads, that read and write files.

    Args:
      workers: how many processes; 0 for threads of this one.
      crop_side: side of the crops that they cut, in pixels.
    """
    if workers:
        pool: WorkerPool | ThreadPoolExecutor = WorkerPool(workers, CHUNK * 3 * crop_side**2, _SLOTS)
    else:
        pool = ThreadPoolExecutor(min(usable_cores(), 16))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(shared: Any, slot_bytes: int) -> None:
    global _shared
    _shared = np.frombuffer(shared, np.uint8).reshape(-1, slot_bytes)
    # Ctrl-C goes to all processes of a terminal, and the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


@contextmanager
def _telling_of_ended_processes() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise UserError(
            "a process that reads and writes images was ended, for the memory it took perhaps: give fewer --workers, "
            "and the same command goes on where it stopped."
        ) from error


def _nothing() -> None:
    pass


def _call(function: Callable[[list[Any]], list[Any]], number: int | None, items: list[Any]) -> list[Any]:
    if number is None:
        return function(items)
    slot = _shared[number]
    # What was given is not needed any more when the results take its place.
    return _stored(function(_restored(items, slot)), slot)


def _stored(items: list[Any], slot: NDArray[np.uint8]) -> list[Any]:
    """The same with arrays in the slot, as far as there is room, and where they lie in their place."""
    used = 0
    result = []
    for item in items:
        name = _field(item)
        array = getattr(item, name) if name else None
        if name and array is not None and used + array.nbytes <= slot.size:
            stored = _Stored(used, array.shape)
            slot[used : used + array.nbytes] = array.reshape(-1)
            used += array.nbytes
            item = replace(item, **{name: stored})
        result.append(item)
    return result


def _restored(items: list[Any], slot: NDArray[np.uint8]) -> list[Any]:
    result = []
    for item in items:
        name = _field(item)
        stored = getattr(item, name) if name else None
        if name and isinstance(stored, _Stored):
            size = math.prod(stored.shape)
            item = replace(item, **{name: slot[stored.start : stored.start + size].reshape(stored.shape)})
        result.append(item)
    return result


def _field(item: Any) -> str | None:
    """The large array of an item."""
    return "inputs" if isinstance(item, Loaded) else "maps" if isinstance(item, Answered) else None
