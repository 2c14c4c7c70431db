"""What is kept of examples, and how much."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dms_jax.data.cache import ExampleCache


def example(value: int, size: int = 10) -> dict[str, np.ndarray]:
    return {"image": np.full(size, value, np.uint8), "label": np.int32(value)}


def test_the_first_examples_are_kept_as_far_as_there_is_room() -> None:
    cache = ExampleCache(capacity=25)
    for key in range(3):
        cache.keep(key, example(key))
    cache.keep("small", example(7, size=5))
    kept = [cache.get(key) for key in (0, 1, 2, "small")]
    assert [found and found["image"].tolist() for found in kept] == [[0] * 10, [1] * 10, None, [7] * 5]
    assert kept[1]["label"] == 1


def test_what_is_kept_cannot_be_changed() -> None:
    cache = ExampleCache(capacity=100)
    given = example(1)
    cache.keep("a", given)
    given["image"][0] = 3
    found = cache.get("a")
    with pytest.raises(ValueError, match="read-only"):
        found["image"][0] = 2
    found["image"] = None
    assert cache.get("a")["image"].tolist() == [1] * 10


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_copy_in_another_process_begins_empty_with_the_same_room(protocol: int) -> None:
    cache = ExampleCache(capacity=15)
    cache.keep("a", example(1))
    assert pickle.loads(pickle.dumps(ExampleCache(0), protocol)).get("a") is None
    copy = pickle.loads(pickle.dumps(cache, protocol))
    assert copy.get("a") is None
    copy.keep("b", example(2))
    copy.keep("c", example(3))
    assert copy.get("b")["image"].tolist() == [2] * 10
    assert copy.get("c") is None


def test_threads_together_keep_no_more_than_there_is_room_for() -> None:
    cache = ExampleCache(capacity=1000)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: cache.keep(key % 300, example(key % 100)), range(2000)))
    assert sum(cache.get(key) is not None for key in range(300)) == 100
