"""Doing one thing to many items, several at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from dms_jax.runtime.cores import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

# More would mostly wait for Python's lock, and each may hold a large image.
_MOST_THREADS = 8


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
    """Calls a function of each item, in as many threads as there are processors, at most 8.

    Of Pillow, numpy, zlib and hashlib, the work on pixels is done without Python's lock. Few results are ever waiting,
    so that memory does not grow with the number of items. When the iterator is closed, or what uses it is interrupted,
    no thread is left.

    Args:
      function: called in the threads; what it raises ends the iteration, at its item.
      items: its arguments.

    Yields:
      Every item and what the function returned for it, in the order of the items.
    """
    count = min(_MOST_THREADS, usable_cores())
    pool = ThreadPoolExecutor(count, thread_name_prefix="dms-jax-read")
    running: deque[tuple[Item, Future[Result]]] = deque()
    try:
        for item in items:
            running.append((item, pool.submit(function, item)))
            if len(running) > 2 * count:
                first, future = running.popleft()
                yield first, future.result()
        while running:
            first, future = running.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)
