"""Stopping a run between two steps instead of in the middle of one."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def collect_interruptions() -> Iterator[list[int]]:
    """Collect SIGINT (Ctrl-C) and SIGTERM instead of dying from them.

    Yields:
      A list, empty until a signal comes. A second signal of the same kind acts as it would have.
    """
    received: list[int] = []
    previous = {}

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)
        signal.signal(number, previous[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            previous[number] = signal.signal(number, receive)
        except ValueError:
            # Not in the main thread: whoever runs this in another one handles signals there.
            break
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
