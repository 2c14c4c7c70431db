"""Many images through a network that needs no compilation: their order, what is held at a time, and failures."""

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from fake_network import FakeNetwork

from dms_jax.data.framing import Crop
from dms_jax.inference import streaming
from dms_jax.inference.streaming import stream
from dms_jax.inference.underway import Answered, Loaded

CROP = Crop(0, 0, 8, 8, (0, 0, 8, 8))
THREADS = 4


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(THREADS) as threads:
        # All are started: it starts none while one has nothing to do, so that each has to wait for the others.
        together = threading.Barrier(THREADS, timeout=60)
        list(threads.map(lambda _: together.wait(), range(THREADS)))
        yield threads


def load(number: int, crops: int = 1) -> Loaded[int]:
    inputs = np.full((crops, 8, 8, 3), number % 251, np.uint8)
    inputs[:, 0, 0] = np.arange(crops)[:, None]
    return Loaded(number, (8, 8), [CROP] * crops, inputs if crops else None)


def finish(image: Answered[int]) -> tuple[int, int]:
    assert len(image.maps) == len(image.probabilities) == len(image.crops)
    for place, saliency_map in enumerate(image.maps):
        assert saliency_map[0, 0] == place
        assert saliency_map[7, 7] == image.item % 251
    return image.item, len(image.maps)


@pytest.mark.parametrize("rows", [1, 3, 4])
@pytest.mark.parametrize("calls_at_once", [1, 2])
@pytest.mark.parametrize("chunk", [1, 3])
def test_answers_come_in_order_with_all_crops(rows: int, calls_at_once: int, chunk: int, pool: Any) -> None:
    """However images and batches are cut, and whichever image is ready first."""
    random = np.random.default_rng(0)
    crops = [*random.integers(0, 8, 40).tolist(), 0, 0, 11]

    def slowly(number: int) -> Loaded[int]:
        time.sleep(0.002 * (number % 3 == 0))
        return load(number, crops[number])

    predict = FakeNetwork(rows, calls_at_once)
    answered = list(stream(range(len(crops)), slowly, predict, finish, pool, chunk=chunk, ahead=5))
    assert answered == list(enumerate(crops))
    # Every batch is full but for the last, and an empty one is not computed.
    assert sum(predict.sizes) == sum(crops)
    assert sum(size < rows for size in predict.sizes) <= 1


def test_nothing_to_predict(pool: Any) -> None:
    predict = FakeNetwork()
    assert list(stream([], load, predict, finish, pool)) == []
    assert list(stream([1, 2], lambda n: load(n, 0), predict, finish, pool)) == [(1, 0), (2, 0)]
    assert predict.sizes == []


def test_few_images_are_held_at_a_time_however_many_there_are(pool: Any) -> None:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most: dict[int, int] = {}

    def noted(number: int) -> Loaded[int]:
        image = load(number)
        alive.add(image)
        return image

    for count in (50, 400):
        most[count] = 0
        for _ in stream(range(count), noted, FakeNetwork(4, 2), finish, pool, ahead=8):
            most[count] = max(most[count], len(alive))
    # Being read, in a batch, being predicted; of few images as many, unless threads are slow.
    assert max(most.values()) <= 8 + 4 * 4 + 1


@pytest.mark.parametrize("chunk", [1, 8])
def test_fewer_large_images_are_held_from_the_beginning(chunk: int, pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "usable_cores", lambda: 2)
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0

    def noted(number: int) -> Loaded[int]:
        nonlocal most
        image = load(number, 40)
        alive.add(image)
        most = max(most, len(alive))
        return image

    count = sum(1 for _ in stream(range(60), noted, FakeNetwork(16, 2), finish, pool, chunk=chunk, ahead=33))
    assert count == 60
    # Being read: at most as many crops as 33 chunks of small images have, or one image a core. And in batches.
    assert most <= max(33 * chunk // 40, 3) + 5


def test_what_is_asked_for_is_not_read_far_ahead(pool: Any) -> None:
    asked: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1000):
            asked.append(number)
            yield number

    answers = stream(items(), load, FakeNetwork(2), finish, pool, ahead=3)
    assert next(answers) == (0, 1)
    assert len(asked) < 30
    answers.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("where", ["items", "load", "predict", "finish"])
def test_failures_arrive_and_leave_no_thread(where: str, pool: Any) -> None:
    before = set(threading.enumerate())

    class Broken(FakeNetwork):
        def __call__(self, images: Any) -> Any:
            if where == "predict" and len(self.sizes) == 2:
                raise RuntimeError("broken")
            return super().__call__(images)

    def items() -> Iterator[int]:
        for number in range(100):
            if where == "items" and number == 20:
                raise RuntimeError("broken")
            yield number

    def loads(number: int) -> Loaded[int]:
        if where == "load" and number == 20:
            raise RuntimeError("broken")
        return load(number)

    def finishes(image: Answered[int]) -> Any:
        if where == "finish" and image.item == 20:
            raise RuntimeError("broken")
        return finish(image)

    done: list[Any] = []
    with pytest.raises(RuntimeError, match="broken") as caught:
        done.extend(stream(items(), loads, Broken(4, 2), finishes, pool, ahead=4))
    # Whoever keeps the error keeps nothing else.
    assert set(threading.enumerate()) <= before
    assert caught.value is not None
    assert done == [(number, 1) for number in range(len(done))]
    assert len(done) <= 20


def test_whoever_stops_early_leaves_no_thread(pool: Any) -> None:
    before = set(threading.enumerate())
    answers = stream(range(100), load, FakeNetwork(4, 2), finish, pool)
    next(answers)
    del answers
    gc.collect()
    assert set(threading.enumerate()) <= before
