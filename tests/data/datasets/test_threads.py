import threading
import time

import pytest

from dms_jax.data.datasets.threads import in_threads


def reading_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("dms-jax-read")]


def test_results_are_in_the_order_of_the_items():
    def slow_at_first(number):
        time.sleep(0.02 if number == 0 else 0)
        return number**2

    assert list(in_threads(slow_at_first, range(50))) == [(number, number**2) for number in range(50)]
    assert not reading_threads()


def test_few_results_are_waiting():
    asked = []

    def items():
        for number in range(1000):
            asked.append(number)
            yield number

    results = in_threads(lambda number: number, items())
    next(results)
    assert len(asked) < 20
    results.close()
    assert not reading_threads()


def test_the_first_error_in_order_ends_it():
    def fail(number):
        if number in (3, 4):
            time.sleep(0.02 if number == 3 else 0)
            raise ValueError(f"number {number}")
        return number

    done = []
    with pytest.raises(ValueError, match="number 3"):
        done.extend(item for item, _ in in_threads(fail, range(100)))
    assert not reading_threads()


def test_no_thread_outlives_an_interrupt():
    def items():
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(in_threads(lambda number: number, items()))
    assert not reading_threads()
