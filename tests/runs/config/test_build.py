"""The batches of a configuration."""

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from image_records import ImageRecords

from dms_jax.data.cache import ExampleCache
from dms_jax.data.examples import ExampleSource
from dms_jax.runs.config import build, defaults
from dms_jax.runs.config.build import read_training_batches


def source(seed: int, count: int) -> ExampleSource:
    random = np.random.default_rng(seed)
    images = [random.integers(0, 256, (20, 24, 3), np.uint8) for _ in range(count)]
    masks = [np.full((20, 24), 255 * (i % 2), np.uint8) for i in range(count)]
    return ExampleSource(ImageRecords(images, masks, [i % 2 for i in range(count)]), "train", free_class=0)


def batches(sources: tuple[ExampleSource, ...], **fields: Any) -> list[dict[str, np.ndarray]]:
    config = defaults.default_config()
    config.batch_size, config.data.image_size, config.data.threads = 4, 32, 2
    config.data.update(fields)
    iterator = read_training_batches(config, SimpleNamespace(train=sources))
    try:
        return list(itertools.islice(iterator, 6))
    finally:
        iterator.close()


@pytest.mark.parametrize("balance", [0.0, 0.5])
def test_they_are_the_same_from_the_cache(balance: float, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = (source(0, 5), source(1, 3))
    decoded: list[Any] = []
    example = ExampleSource.__getitem__
    monkeypatch.setattr(ExampleSource, "__getitem__", lambda self, index: decoded.append(index) or example(self, index))
    always = batches(sources, cache=0.0, balance=balance)
    assert len(decoded) >= 24
    decoded.clear()
    kept = batches(sources, cache=1.0, balance=balance)
    # Each of the eight once; threads that ask for one at the same time may both decode it.
    assert len(decoded) <= 16
    for ours, theirs in zip(kept, always, strict=True):
        assert ours.keys() == theirs.keys()
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(("gib", "workers", "expected"), [(2.0, 0, 2 * 2**30), (0.5, 0, 2**29), (2.0, 4, 2**29)])
def test_the_cache_is_in_gib_and_shared_out_among_workers(
    gib: float, workers: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms: list[int] = []

    class Noted(ExampleCache):
        def __init__(self, capacity: int) -> None:
            rooms.append(capacity)
            super().__init__(capacity)

    monkeypatch.setattr(build, "ExampleCache", Noted)
    monkeypatch.setattr(build, "training_batches", lambda order, **options: options["workers"])
    config = defaults.default_config()
    config.data.cache, config.data.workers = gib, workers
    assert read_training_batches(config, SimpleNamespace(train=(source(0, 2), source(1, 3)))) == workers
    # One for all splits.
    assert rooms == [expected]
