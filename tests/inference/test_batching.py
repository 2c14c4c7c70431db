"""Any number of crops on several devices, by a step that compiles at once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from dms_jax.inference import batching
from dms_jax.inference.batching import BatchPredictor
from dms_jax.inference.predict_step import PredictStep
from dms_jax.runtime.devices import data_mesh

DEVICES = 4
ROWS = 12


class Predicted:
    """Maps that are the crops' red plus the variables, and the sizes of the batches that were predicted."""

    def __init__(self, classes: int) -> None:
        mesh = data_mesh(jax.devices()[:DEVICES])
        self.sizes: list[int] = []
        self.at_work = 0

        def predict(prepared: Any, images: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            maps = images[:, None, :, :, 0] + prepared
            shares = jnp.mean(images, axis=(1, 2, 3), keepdims=True)[..., 0] / 255
            probabilities = jnp.broadcast_to(shares, (len(images), min(classes, 1), max(classes, 3)))
            return maps, probabilities, images[:, 0, 0, 0] % 2 > 0

        parts = {"in_specs": (PartitionSpec(), PartitionSpec("data")), "out_specs": PartitionSpec("data")}
        compiled = jax.jit(jax.shard_map(predict, mesh=mesh, **parts))

        def run(prepared: Any, images: jax.Array) -> Any:
            assert not self.at_work
            self.at_work += 1
            self.sizes.append(len(images))
            output = compiled(prepared, images)
            self.at_work -= 1
            return output

        step = PredictStep(prepare=lambda v: v + jnp.uint8(1), trace_prepare=lambda v: v, run=run, freeze=lambda v: v)  # type: ignore[arg-type]
        self.predict = BatchPredictor(step, jnp.uint8(1), mesh, ROWS)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, (40, 8, 8, 3), np.uint8)


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("classes", [3, 0])
def test_each_crop_has_its_answer(images: np.ndarray, gpu: bool, classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if jax.device_count() < DEVICES:
        pytest.skip("four devices are needed")
    monkeypatch.setattr(batching, "is_gpu", lambda mesh: gpu)
    predicted = Predicted(classes)
    for count in (0, 1, 3, 4, 5, 11, 12, 13, 16, 24, 25, 40):
        maps, probabilities, finite = predicted.predict(images[:count])
        np.testing.assert_array_equal(maps, images[:count, None, :, :, 0] + 2)
        np.testing.assert_array_equal(finite, images[:count, 0, 0, 0] % 2 > 0)
        assert probabilities.shape == (count, min(classes, 1), 3)
        if classes:
            np.testing.assert_allclose(probabilities[:, 0, 0], images[:count].mean(axis=(1, 2, 3)) / 255, rtol=1e-5)
    # No more than these are compiled.
    assert set(predicted.sizes) == {DEVICES, ROWS}


def test_a_cpu_computes_no_more_than_it_must_and_a_gpu_no_more_often(
    images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    if jax.device_count() < DEVICES:
        pytest.skip("four devices are needed")
    sizes = {}
    for gpu in (False, True):
        monkeypatch.setattr(batching, "is_gpu", lambda mesh, gpu=gpu: gpu)
        predicted = Predicted(3)
        predicted.predict(images[:19])
        sizes[gpu] = predicted.sizes
        assert predicted.predict.calls_at_once == (2 if gpu else 1)
    assert sizes == {False: [12, 4, 4], True: [12, 12]}


def test_one_step_at_a_time(images: np.ndarray) -> None:
    """However many threads ask."""
    if jax.device_count() < DEVICES:
        pytest.skip("four devices are needed")
    predicted = Predicted(3)
    with ThreadPoolExecutor(8) as threads:
        for number, (maps, *_) in enumerate(threads.map(lambda n: predicted.predict(images[n : n + 5]), range(30))):
            np.testing.assert_array_equal(maps, images[number : number + 5, None, :, :, 0] + 2)
