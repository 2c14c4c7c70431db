"""When a run is to stop between two steps, agreed on by all of its processes."""

import threading
from collections.abc import Mapping
from typing import Protocol

from dms_jax.runtime.signals import interrupted_code


class Store(Protocol):
    """What all processes of a run read and write: texts by key."""

    def key_value_set(self, key: str, value: str, allow_overwrite: bool = False) -> None:
        """Keep a text."""

    def blocking_key_value_get(self, key: str, timeout_in_ms: int) -> str:
        """Wait for a text."""

    def key_value_dir_get(self, key: str) -> list[tuple[str, str]]:
        """All texts whose keys begin so."""


class Stop:
    """The step after which an interrupted run stops: the same in every process.

        stop.begin(first)
        for step in range(first, last + 1):
            ...
            if stop.stops_after(step):
                break

    A signal reaches one process, at any moment, and steps need all of them. Once one has got a signal, each offers the
    step that it has begun last, and begins no other until all have offered theirs; the latest of them is the last. The
    offers are made by a thread (`watch`), since the steps themselves may be waiting for the other processes.

    Args:
      index: this process's number.
      count: how many there are.
      received: signals, which appear in this list.
      store: what the processes share; None for one alone.
      prefix: of this run's keys there.
    """

    def __init__(self, index: int, count: int, received: list[int], store: Store | None = None, prefix: str = ""):
        self._index, self._count, self._received, self._store, self._prefix = index, count, received, store, prefix
        self._begun: int | None = None
        self._offered: int | None = None
        self._last: int | None = None
        self._changed = threading.Condition()

    @property
    def exit_code(self) -> int:
        """Of a process that stops: as its own signal has it, or 1 where another process got one."""
        return interrupted_code(self._received) if self._received else 1

    def begin(self, step: int) -> None:
        """Begin with a step, which is done whatever happens."""
        self._begun = step

    def stops_after(self, step: int) -> bool:
        """Whether the step, which is done, is the last; otherwise the next one is begun. To be asked once a step."""
        if self._store is None:
            return bool(self._received)
        with self._changed:
            if self._offered is None:
                self._begun = step + 1
                return False
            # What the others offer is known within a beat or two; who is dead ends this process, too.
            self._changed.wait_for(lambda: self._last is not None)
            assert self._last is not None
            return step >= self._last

    def watch(self, entries: Mapping[str, str]) -> None:
        """Offer a step where one is asked for, and see what was agreed on, given all that is in the store."""
        assert self._store is not None
        offers = {key: int(value) for key, value in entries.items() if key.startswith(self._prefix)}
        with self._changed:
            if self._offered is None and self._begun is not None and (self._received or offers):
                self._offered = self._begun
                self._store.key_value_set(f"{self._prefix}{self._index}", str(self._offered))
                offers[f"{self._prefix}{self._index}"] = self._offered
            if len(offers) == self._count:
                self._last = max(offers.values())
                self._changed.notify_all()
