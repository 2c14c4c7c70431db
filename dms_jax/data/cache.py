"""A cache of examples, so that each is decoded once rather than in every epoch."""

from collections.abc import Hashable
from threading import Lock
from typing import Any

import numpy as np

Example = dict[str, Any]


class ExampleCache:
    """Examples by key, kept as long as there is room; none is evicted. Several threads may share it.

    A copy in another process, as pickle makes it, has the same capacity and starts empty.

    Attributes:
      capacity: how many bytes of arrays to keep at most.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._kept: dict[Hashable, Example] = {}
        self._used = 0
        self._lock = Lock()

    def get(self, key: Hashable) -> Example | None:
        """The example, whose arrays are read-only, or None if it is not kept."""
        kept = self._kept.get(key)
        return None if kept is None else dict(kept)

    def keep(self, key: Hashable, example: Example) -> None:
        """Keep a copy of an example if there is room."""
        size = sum(value.nbytes for value in example.values() if isinstance(value, np.ndarray))
        with self._lock:
            if key in self._kept or self._used + size > self.capacity:
                return
            self._used += size
            # Copies: a view of an array would keep the whole of it alive.
            self._kept[key] = {name: _copied(value) for name, value in example.items()}

    def __getstate__(self) -> tuple[int]:
        return (self.capacity,)

    def __setstate__(self, state: tuple[int]) -> None:
        self.__init__(*state)


def _copied(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    copy = value.copy()
    copy.setflags(write=False)
    return copy
