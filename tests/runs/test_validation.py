"""What the best checkpoint is chosen by."""

from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from image_records import ImageRecords, noting_sources

from dms_jax.data.examples import ExampleSource
from dms_jax.runs import validation
from dms_jax.runs.config import defaults
from dms_jax.runs.validation import Validation, validation_score
from dms_jax.runtime.devices import data_mesh


def test_selection_prefers_the_f_measure_on_defective_images() -> None:
    some = {"mae": 0.1, "max_f": 0.9, "defective": {"max_f": 0.5}}
    none = {"mae": 0.1, "max_f": 0.9, "defective": {"max_f": None}}
    assert validation_score(some) == 0.5
    assert validation_score(none) == -0.1
    # Black maps win that: where classes can be told apart, they say more.
    assert validation_score({**none, "accuracy": 0.75}) == 0.75
    assert validation_score({**none, "accuracy": None}) == -0.1


def test_selection_without_any_mask_goes_by_the_labels() -> None:
    unknown = {"mae": None, "max_f": None}
    assert validation_score({**unknown, "defective": unknown, "accuracy": 0.75}) == 0.75
    assert validation_score({**unknown, "defective": unknown, "accuracy": None}) == 0.0


class Step:
    """In place of an `EvalStep`: keeps what it is given."""

    mesh = data_mesh()
    predict_step = SimpleNamespace(prepare=lambda variables: variables)

    def __init__(self) -> None:
        self.seen: list[dict[str, np.ndarray]] = []

    def with_maps(self, prepared: Any, batch: Any) -> tuple[int, jax.Array]:
        self.seen.append({name: np.asarray(value) for name, value in batch.items()})
        maps = np.stack([batch["image"][..., 0], 255 - batch["image"][..., 0]], axis=1)
        return len(self.seen), jax.device_put(maps, batch["image"].sharding)


@pytest.mark.parametrize(("cache", "decoded_again"), [(1.0, 0), (0.0, 3)])
def test_images_are_decoded_once(cache: float, decoded_again: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (20, 24, 3), np.uint8) for _ in range(3)]
    masks = [np.full((20, 24), 255 * (i % 2), np.uint8) for i in range(3)]
    decoded: list[Any] = []
    source = noting_sources(decoded)(ImageRecords(images, masks, [0, 1, 0]), "train", free_class=0)
    monkeypatch.setattr(validation, "device_metrics", lambda sums: sums)
    config = defaults.default_config()
    config.batch_size, config.data.image_size, config.data.cache = 4, 32, cache
    step = Step()
    chosen_on = Validation(config, source, step)
    assert (chosen_on.measure({}), len(decoded)) == (1, 3)
    assert (chosen_on.measure({}), len(decoded)) == (2, 3 + decoded_again)
    first, second = step.seen
    assert first["valid"].tolist() == [True] * 3 + [False]
    assert all(np.array_equal(first[name], second[name]) for name in first)
    shown = chosen_on.overlays
    assert [image.shape for image in shown] == [(32, 64, 3)] * 3
    np.testing.assert_array_equal(shown[0][:, :32], first["image"][0])
    np.testing.assert_array_equal(shown[0][:, 32:], np.repeat(255 - first["image"][0, ..., :1], 3, axis=2))


def test_no_overlays_where_none_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "device_metrics", lambda sums: sums)
    config = defaults.default_config()
    config.batch_size, config.data.image_size, config.tensorboard_images = 4, 32, 0
    image = np.zeros((32, 32, 3), np.uint8)
    chosen_on = Validation(config, ExampleSource(ImageRecords([image], [image[..., 0]], [0]), "train"), Step())
    assert chosen_on.measure({}) == 1
    assert chosen_on.overlays == ()
