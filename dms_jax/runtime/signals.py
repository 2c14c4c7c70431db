"""Stopping a run between two steps instead of in the middle of one."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def collect_interruptions(received: list[int] | None = None) -> Iterator[list[int]]:
    """Collect SIGINT (Ctrl-C) and SIGTERM instead of dying from them.

    Args:
      received: what was collected earlier.

    Yields:
      A list of the signals, those collected earlier first. A second signal of the same kind acts as it would have.
    """
    received = [] if received is None else received
    previous: dict[int, Any] = {}

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
        for caught, handler in previous.items():
            signal.signal(caught, handler)
