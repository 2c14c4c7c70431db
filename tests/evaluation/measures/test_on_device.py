"""The sums on the device against the host's, over one device and several, batches and padding."""

from functools import partial, reduce

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from PIL import Image

from dms_jax.data.image_files import IGNORED
from dms_jax.evaluation.maps.evaluate import evaluate_maps
from dms_jax.evaluation.measures.on_device import EvaluationMetrics, SaliencySums, device_metrics
from dms_jax.runs.validation import make_eval_step
from dms_jax.runtime.devices import data_mesh, shard_batch

BATCH, OUTPUTS, SIZE, CLASSES = 8, 3, 24, 4


def make_batch(seed, valid=BATCH):
    """Maps and masks with empty, full, single-pixel and grey images among them."""
    rng = np.random.default_rng(seed)
    maps = rng.integers(0, 256, (BATCH, OUTPUTS, SIZE, SIZE), np.uint8)
    masks = rng.choice(np.array([0, 0, 60, 127, 128, 255], np.uint8), (BATCH, SIZE, SIZE))
    maps[0], maps[1], masks[1], masks[2], masks[3] = 0, 255, 255, 0, 0
    masks[4] = 0
    masks[4, 3, 5] = 255
    return {
        "image": maps,  # the network of these tests gives back what it is shown
        "mask": masks[..., None],
        "has_mask": np.ones(BATCH, bool),
        "content": np.array([[0, 0, SIZE, SIZE]] * BATCH, np.int32),
        "label": rng.integers(-1, CLASSES, BATCH).astype(np.int32),
        "valid": np.arange(BATCH) < valid,
        "probabilities": rng.dirichlet(np.ones(CLASSES), (BATCH, OUTPUTS)).astype(np.float32),
    }


def sums_of(batches, devices, class_heads=True, ignores=False):
    if jax.device_count() < devices:
        pytest.skip(f"{devices} devices are needed")
    mesh = data_mesh(jax.devices()[:devices])
    sums = []
    for batch in batches:
        probabilities = batch["probabilities"] if class_heads else batch["probabilities"][:, :0]

        finite = batch.get("finite", np.ones(BATCH, bool))

        def predict(variables, images, probabilities=probabilities, finite=finite):
            return images, shard_batch(probabilities, mesh), shard_batch(finite, mesh)

        truth = {name: value for name, value in batch.items() if name not in ("probabilities", "finite")}
        sums.append(make_eval_step(predict, mesh, ignores=ignores)(None, shard_batch(truth, mesh)))
    return reduce(EvaluationMetrics.merge, sums)


def write_images(folder, images):
    folder.mkdir()
    for name, image in images.items():
        Image.fromarray(image).save(folder / f"{name}.png")


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_agrees_with_files_of_the_same_8_bit_maps(tmp_path, devices):
    batches = [make_batch(0), make_batch(1, valid=5)]
    metrics = device_metrics(sums_of(batches, devices))
    rows = [(batch, i) for batch in batches for i in np.flatnonzero(batch["valid"])]
    write_images(tmp_path / "maps", {str(n): batch["image"][i, -1] for n, (batch, i) in enumerate(rows)})
    write_images(tmp_path / "masks", {str(n): batch["mask"][i, ..., 0] for n, (batch, i) in enumerate(rows)})
    expected = evaluate_maps(tmp_path / "maps", tmp_path / "masks", with_sod=False).metrics
    assert metrics["images"] == expected["images"] == 13
    assert metrics["defective"]["images"] == expected["defective"]["images"] == 9
    for name in ("mae", "max_f"):
        assert metrics[name] == pytest.approx(expected[name], rel=1e-6)
        assert metrics["defective"][name] == pytest.approx(expected["defective"][name], rel=1e-6)
    known = [(batch["probabilities"][i, -1].argmax(), batch["label"][i]) for batch, i in rows if batch["label"][i] >= 0]
    assert metrics["accuracy"] == np.mean([guess == label for guess, label in known])


@pytest.mark.parametrize("value", [10, 250])
def test_the_error_of_an_image_of_more_than_eight_million_pixels(value):
    side = 2904  # 255 side**2 is more than an int32 holds
    sums = SaliencySums.from_model_output(
        maps=np.full((1, 1, side, side), value, np.uint8),
        masks=np.zeros((1, side, side), np.uint8),
        has_mask=np.array([True]),
        contents=np.array([[0, 0, side, side]], np.int32),
        valid=np.array([True]),
    )
    assert float(sums.mae[0]) == pytest.approx(value / 255, rel=1e-6)


def test_every_output_has_its_sums():
    batch = make_batch(2)
    computed = sums_of([batch], 1).compute()
    errors = np.abs(batch["image"].astype(int) - batch["mask"][:, None, ..., 0]).mean(axis=(2, 3)).sum(axis=0) / 255
    assert [sums.mae_sum for sums in computed["everything"]] == pytest.approx(list(errors), rel=1e-6)
    hits = (batch["probabilities"].argmax(-1) == batch["label"][:, None]).sum(axis=0)
    assert [count.correct for count in computed["accuracy"]] == hits.tolist()


def test_padding_and_unknown_masks_do_not_count(tmp_path):
    batch = make_batch(6)
    batch["content"][:, 0], batch["content"][:, 2] = 5, 12
    batch["content"][:, 1], batch["content"][:, 3] = 3, 20
    batch["has_mask"][5] = False
    metrics = device_metrics(sums_of([batch], 2))
    known = [i for i in range(BATCH) if i != 5]
    write_images(tmp_path / "maps", {str(i): batch["image"][i, -1, 5:17, 3:23] for i in known})
    masks = {i: batch["mask"][i, 5:17, 3:23, 0] for i in known}
    write_images(tmp_path / "masks", {str(i): mask for i, mask in masks.items()})
    expected = evaluate_maps(tmp_path / "maps", tmp_path / "masks", with_sod=False).metrics
    assert metrics["images"] == expected["images"] == 7
    assert metrics["defective"]["images"] == sum((mask > 127).any() for mask in masks.values()) < 6
    for name in ("mae", "max_f"):
        assert metrics[name] == pytest.approx(expected[name], rel=1e-6)
        assert metrics["defective"][name] == pytest.approx(expected["defective"][name], rel=1e-6)


def test_without_a_defect_there_is_no_max_f():
    batch = make_batch(5)
    batch["mask"] = np.minimum(batch["mask"], 127)
    metrics = device_metrics(sums_of([batch], 2))
    assert (metrics["max_f"], metrics["defective"]["max_f"], metrics["images"]) == (None, None, BATCH)
    assert metrics["mae"] > 0


def test_batches_of_padding_add_nothing():
    batch, padding = make_batch(3), make_batch(4, valid=0)
    alone, padded = device_metrics(sums_of([batch], 2)), device_metrics(sums_of([batch, padding], 2))
    assert padded == alone


def test_metrics_that_do_not_exist():
    padding = device_metrics(sums_of([make_batch(5, valid=0)], 1, class_heads=False))
    nothing = {"mae": None, "max_f": None, "images": 0}
    assert padding == {**nothing, "defective": nothing, "accuracy": None, "not_finite": 0}


def test_images_without_numbers_are_counted():
    finite = np.arange(BATCH) % 3 > 0
    batches = [{**make_batch(6), "finite": finite}, {**make_batch(7, valid=2), "finite": finite}]
    assert device_metrics(sums_of(batches, 2))["not_finite"] == np.sum(~finite) + 1


def test_nothing_but_sums_is_exchanged():
    """The compiled measurement reduces its sums, and gathers neither maps nor masks."""
    if jax.device_count() < 2:
        pytest.skip("two devices are needed")
    mesh = data_mesh(jax.devices()[:2])

    def measure(batch):
        sums = EvaluationMetrics.single_from_model_output(
            maps=batch["image"],
            probabilities=batch["probabilities"],
            masks=batch["mask"][..., 0],
            has_mask=batch["has_mask"],
            contents=batch["content"],
            labels=batch["label"],
            finite=batch["valid"],
            valid=batch["valid"],
        )
        return jax.lax.psum(sums, "data")

    sharded = jax.jit(partial(jax.shard_map, mesh=mesh, in_specs=P("data"), out_specs=P())(measure))
    program = sharded.lower(shard_batch(make_batch(0), mesh)).compile().as_text()
    assert "all-reduce" in program
    assert "all-gather" not in program


def test_ignored_pixels_do_not_count():
    """Whatever the maps say there; and an image whose defects are ignored has none."""
    batch, random = make_batch(0), np.random.default_rng(5)
    masks = np.where(batch["mask"] == IGNORED, 0, batch["mask"])
    ignored = random.random(masks.shape) < 0.3
    batch["mask"] = np.where(ignored, IGNORED, masks).astype(np.uint8)
    metrics = device_metrics(sums_of([batch], 1, ignores=True))
    other = np.where(np.moveaxis(ignored, -1, 1), random.integers(0, 256, batch["image"].shape), batch["image"])
    again = device_metrics(sums_of([{**batch, "image": other.astype(np.uint8)}], 1, ignores=True))
    assert again == metrics
    errors, counted = [], ~ignored[..., 0]
    for i in range(BATCH):
        difference = np.abs(batch["image"][i, -1].astype(float) - masks[i, ..., 0])[counted[i]]
        errors.append(difference.mean() / 255)
    assert metrics["mae"] == pytest.approx(np.mean(errors), rel=1e-6)
    defective = [bool((masks[i, ..., 0][counted[i]] > 127).any()) for i in range(BATCH)]
    assert metrics["defective"]["images"] == sum(defective)


def test_an_image_of_which_all_is_ignored_has_no_error():
    """As on the host, where what is ignored is black in map and mask."""
    batch = make_batch(7)
    batch["mask"][2] = IGNORED
    metrics = device_metrics(sums_of([batch], 1, ignores=True))
    masks = np.where(batch["mask"] == IGNORED, 0, batch["mask"])[..., 0].astype(float)
    errors = [np.abs(batch["image"][i, -1] - masks[i]).mean() / 255 for i in range(BATCH)]
    errors[2] = 0.0
    assert metrics["images"] == BATCH
    assert metrics["mae"] == pytest.approx(np.mean(errors), rel=1e-6)
    assert np.isfinite(metrics["defective"]["mae"])
