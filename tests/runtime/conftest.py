"""Signals of tests, which are handled afterwards as they were before."""

import signal
import threading
from collections.abc import Iterator

import pytest

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def signals_as_before() -> Iterator[None]:
    hangup = signal.getsignal(signal.SIGHUP)
    # `nohup` has it ignored, which stays so.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    before = [signal.getsignal(number) for number in _SIGNALS]
    yield
    assert [signal.getsignal(number) for number in _SIGNALS] == before
    signal.signal(signal.SIGHUP, hangup)
    assert signal.set_wakeup_fd(-1) == -1
    assert "interruptions" not in {thread.name for thread in threading.enumerate()}
