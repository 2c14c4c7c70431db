"""What is kept of examples, and how much."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dms_jax.data.memory import Memory


def example(value: int, size: int = 10) -> dict[str, np.ndarray]:
    return {"image": np.full(size, value, np.uint8), "label": np.int32(value)}


def test_the_first_examples_are_kept_as_far_as_there_is_room() -> None:
    memory = Memory(capacity=25)
    for key in range(3):
        memory.keep(key, example(key))
    memory.keep("small", example(7, size=5))
    kept = [memory.get(key) for key in (0, 1, 2, "small")]
    assert [found and found["image"].tolist() for found in kept] == [[0] * 10, [1] * 10, None, [7] * 5]
    assert kept[1]["label"] == 1


def test_what_is_kept_cannot_be_changed() -> None:
    memory = Memory(capacity=100)
    given = example(1)
    memory.keep("a", given)
    given["image"][0] = 3
    found = memory.get("a")
    with pytest.raises(ValueError, match="read-only"):
        found["image"][0] = 2
    found["image"] = None
    assert memory.get("a")["image"].tolist() == [1] * 10


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_copy_in_another_process_begins_empty_with_the_same_room(protocol: int) -> None:
    memory = Memory(capacity=15)
    memory.keep("a", example(1))
    assert pickle.loads(pickle.dumps(Memory(0), protocol)).get("a") is None
    copy = pickle.loads(pickle.dumps(memory, protocol))
    assert copy.get("a") is None
    copy.keep("b", example(2))
    copy.keep("c", example(3))
    assert copy.get("b")["image"].tolist() == [2] * 10
    assert copy.get("c") is None


def test_threads_together_keep_no_more_than_there_is_room_for() -> None:
    memory = Memory(capacity=1000)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: memory.keep(key % 300, example(key % 100)), range(2000)))
    assert sum(memory.get(key) is not None for key in range(300)) == 100
