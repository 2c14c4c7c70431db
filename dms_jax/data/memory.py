"""Examples kept in memory, so that what is cheap to keep is decoded once and not in every epoch."""

from collections.abc import Hashable
from threading import Lock
from typing import Any

import numpy as np

Example = dict[str, Any]


class Memory:
    """Examples by key, kept as long as there is room; the first ones stay. For several threads at a time.

    A copy in another process, as pickle makes it, has the same room and begins empty.

    Attributes:
      capacity: bytes of arrays that are kept at most.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._kept: dict[Hashable, Example] = {}
        self._used = 0
        self._lock = Lock()

    def get(self, key: Hashable) -> Example | None:
        """The example, whose arrays cannot be written to, or None if it is not kept."""
        kept = self._kept.get(key)
        return None if kept is None else dict(kept)

    def keep(self, key: Hashable, example: Example) -> None:
        """Keep an example if there is room. Its arrays cannot be written to from now on."""
        arrays = [value for value in example.values() if isinstance(value, np.ndarray)]
        size = sum(array.nbytes for array in arrays)
        with self._lock:
            if key in self._kept or self._used + size > self.capacity:
                return
            for array in arrays:
                array.setflags(write=False)
            self._kept[key] = dict(example)
            self._used += size

    def __getstate__(self) -> int:
        return self.capacity

    def __setstate__(self, capacity: int) -> None:
        self.__init__(capacity)
