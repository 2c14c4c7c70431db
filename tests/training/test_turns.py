"""How long Python's threads compute in turn."""

import sys
import threading
import time

import pytest

from dms_jax.training.turns import short_turns


def seconds_beside_a_busy_thread(waits: int) -> float:
    """What a thread takes that waits for a moment, so many times, while another one computes."""
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            sum(range(1000))

    thread = threading.Thread(target=compute)
    thread.start()
    start = time.perf_counter()
    for _ in range(waits):
        time.sleep(0)
    stop.set()
    thread.join()
    return time.perf_counter() - start


def test_a_thread_that_waits_often_is_soon_its_turn_again() -> None:
    usual = seconds_beside_a_busy_thread(50)
    with short_turns():
        short = min(seconds_beside_a_busy_thread(50) for _ in range(3))
    assert short < usual / 3


def test_turns_are_as_long_as_before_afterwards_and_never_longer_within() -> None:
    before = sys.getswitchinterval()
    with short_turns():
        assert sys.getswitchinterval() == pytest.approx(1e-4)
    assert sys.getswitchinterval() == before
    with pytest.raises(ZeroDivisionError), short_turns():
        _ = 1 / 0
    assert sys.getswitchinterval() == before
    try:
        sys.setswitchinterval(1e-5)
        with short_turns():
            assert sys.getswitchinterval() == pytest.approx(1e-5)
    finally:
        sys.setswitchinterval(before)
