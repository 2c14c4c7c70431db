"""Defects pasted on normal images: what changes, where, and that the devices have no say in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from dms_jax.runtime.devices import DATA_AXIS, data_mesh
from dms_jax.training.augment import AugmentConfig, augment_batch, example_keys
from dms_jax.training.paste import NOISE, OFFSET, SHOWS, blob_opacity, crack_opacity, paste, paste_defects

SIZE = (60, 52)
COUNT = 24
run = jax.jit(paste_defects)


def keys(count=COUNT, seed=3, step=0):
    return example_keys(seed, step, jnp.arange(count))


def batch_of(count=COUNT, seed=0, **more):
    """With all entries and of one size, so that it is compiled once."""
    rng = np.random.default_rng(seed)
    return {
        "has_mask": np.ones(count, bool),
        "content": np.tile(np.array([[0, 0, *SIZE]], np.int32), (count, 1)),
        "image": rng.integers(90, 160, (count, *SIZE, 3), np.uint8),
        "mask": np.zeros((count, *SIZE, 1), np.uint8),
        "label": np.arange(count, dtype=np.int32) % 3,
        **more,
    }


def as_numpy(batch):
    return {name: np.asarray(value) for name, value in batch.items()}


def test_masks_are_where_the_image_changed_and_labels_become_any_other():
    batch = batch_of()
    new = as_numpy(run(batch, keys(), 1.0))
    assert new.keys() == batch.keys()
    for name, value in new.items():
        assert (value.shape, value.dtype) == (batch[name].shape, batch[name].dtype)
    change = np.abs(new["image"].astype(int) - batch["image"]).max(axis=-1, keepdims=True)
    np.testing.assert_array_equal(new["mask"], np.where(change > SHOWS, 255, 0))
    pasted = new["mask"].any(axis=(1, 2, 3))
    assert pasted.sum() > 16
    np.testing.assert_array_equal(new["label"], np.where(pasted, -2 - batch["label"], batch["label"]))
    # What does not show at all is no defect.
    np.testing.assert_array_equal(new["image"][~pasted], batch["image"][~pasted])
    np.testing.assert_array_equal(new["content"], batch["content"])


def test_only_normal_images_whose_mask_is_known_are_touched():
    batch = batch_of(has_mask=np.arange(COUNT) % 3 != 0)
    batch["mask"][1::3, 5, 5] = 1  # ignored pixels: it is not known to be normal either
    new = as_numpy(run(batch, keys(), 1.0))
    touched = new["label"] < -1
    assert not touched[0::3].any()
    assert not touched[1::3].any()
    assert touched[2::3].any()
    for name in ("image", "mask", "label"):
        np.testing.assert_array_equal(new[name][~touched], batch[name][~touched])


def test_the_share_is_that_of_the_normal_images():
    batch = batch_of()
    counts = [
        sum(int(np.sum(np.asarray(run(batch, keys(step=step), share)["label"]) < -1)) for step in range(20))
        for share in (0.0, 0.25, 1.0)
    ]
    assert counts[0] == 0
    assert counts[2] > 0.7 * 20 * COUNT
    assert counts[1] == pytest.approx(counts[2] / 4, rel=0.25)


def test_nothing_is_drawn_outside_of_the_content():
    batch = batch_of(content=np.tile(np.array([[10, 8, 30, 25]], np.int32), (COUNT, 1)))
    new = as_numpy(run(batch, keys(), 1.0))
    outside = np.ones(SIZE, bool)
    outside[10:40, 8:33] = False
    np.testing.assert_array_equal(new["image"][:, outside], batch["image"][:, outside])
    assert not new["mask"][:, outside].any()
    assert (new["label"] < -1).any()


def test_defects_are_of_every_size_and_of_the_stated_brightness():
    batch = {"image": np.full((200, *SIZE, 3), 120, np.uint8)}
    inside = np.ones((200, *SIZE, 1), bool)
    images, masks = jax.jit(jax.vmap(paste))(keys(200), batch["image"], batch["image"], inside)
    images, masks = np.asarray(images, int), np.asarray(masks)
    # A grey image stays grey.
    assert (images == images[..., :1]).all()
    change = images[..., 0] - 120
    assert change.min() < OFFSET[0] / 2
    assert change.max() > OFFSET[1] / 2
    means = np.array([c[m[..., 0] > 0].mean() for c, m in zip(change, masks, strict=True) if m.any()])
    assert means.min() >= OFFSET[0] - NOISE
    assert means.max() <= OFFSET[1] + NOISE
    assert np.mean(means < 0) == pytest.approx(90 / 120, abs=0.12)
    shares = np.mean(masks > 0, axis=(1, 2, 3))
    assert np.mean(shares == 0) < 0.2
    assert np.mean((shares > 0) & (shares < 0.02)) > 0.1
    assert np.mean(shares > 0.1) > 0.02
    assert shares.max() < 0.7


def test_cracks_are_thin_and_blobs_are_not():
    size = (200, 200)
    draws = {
        kind: np.asarray(jax.jit(jax.vmap(lambda key, kind=kind: kind(key, size)))(keys(20)))
        for kind in (blob_opacity, crack_opacity)
    }
    cores = {}
    for kind, opacity in draws.items():
        assert opacity.shape == (20, *size)
        assert opacity.dtype == np.float32
        assert opacity.min() >= 0
        assert opacity.max() <= 1
        assert (opacity.max(axis=(1, 2)) > 0).mean() > 0.8
        # Of a crack, hardly a pixel has only defective ones within four pixels.
        solid = np.lib.stride_tricks.sliding_window_view(opacity > 0, (9, 9), axis=(1, 2)).all(axis=(-1, -2))
        cores[kind] = solid.sum() / (opacity > 0).sum()
    assert cores[crack_opacity] < 0.02
    assert cores[blob_opacity] > 0.2


def test_the_fill_is_partly_the_next_image():
    """With one value in each image, a defect's lies between its own and the next one's, but for offset and noise."""
    batch = batch_of()
    batch["image"][0::2], batch["image"][1::2] = 0, 250
    found = []
    for step in range(4):
        new = as_numpy(run(batch, keys(step=step), 1.0))
        even = [n for n in range(0, COUNT, 2) if new["mask"][n].any()]
        found += [new["image"][n][new["mask"][n, ..., 0] > 0].mean() for n in even]
    # Their own is 0, and an offset adds 30 at most.
    assert np.mean(np.array(found) > 60) > 0.3


def test_it_is_a_function_of_the_key_alone():
    batch = batch_of()
    first, again, other = (as_numpy(run(batch, keys(step=step), 0.7)) for step in (0, 0, 1))
    for name in ("image", "mask", "label"):
        np.testing.assert_array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])


def test_the_draws_of_augment_stay_as_they_were():
    """A normal image that gets no defect looks as it would without any pasting, and so does a defective one."""
    batch = batch_of()
    config = AugmentConfig(rotation=0, brightness=0.2, contrast=0.2, vertical_flip=True)
    new = run(batch, keys(), 0.5)
    same = np.asarray(new["label"]) >= 0
    assert 0 < same.sum() < COUNT
    view = jax.jit(lambda images, masks: augment_batch(keys(), images, masks, config)[0])
    plain, pasted = view(batch["image"], batch["mask"]), view(new["image"], new["mask"])
    np.testing.assert_array_equal(plain[same], pasted[same])


@pytest.mark.parametrize(("count", "devices"), [(6, 2), (4, 4)])
def test_several_devices_paste_what_one_pastes(count, devices):
    """Also where a device has an odd number of images, or one: the next image is then another device's."""
    if jax.device_count() < devices:
        pytest.skip(f"{devices} devices are needed")
    batch, ours = batch_of(count), keys(count)

    def step(batch, keys):
        return paste_defects(batch, keys, 0.8, DATA_AXIS)

    data = PartitionSpec(DATA_AXIS)
    mesh = data_mesh(jax.devices()[:devices])
    several = as_numpy(jax.jit(jax.shard_map(step, mesh=mesh, in_specs=data, out_specs=data))(batch, ours))
    one = as_numpy(run(batch, ours, 0.8))
    np.testing.assert_array_equal(several["label"], one["label"])
    assert (one["label"] < -1).any()
    # A sum in another order may round a level up instead of down.
    assert np.abs(several["image"].astype(int) - one["image"]).max() <= 1
    assert np.mean(several["mask"] != one["mask"]) < 1e-3
