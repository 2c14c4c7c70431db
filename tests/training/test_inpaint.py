"""Defects covered with their own image's surface: what changes, where, and with what."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dms_jax.training.augment import AugmentConfig, augment_batch, example_keys
from dms_jax.training.inpaint import LARGEST, inpaint_defects

SIZE = (60, 52)
COUNT = 24
FAR = 4  # pixels from a defect that nothing changes beyond: a margin and a fade of one each, twice, at this size
run = jax.jit(inpaint_defects)


def keys(count=COUNT, seed=3, step=0):
    return example_keys(seed, step, jnp.arange(count))


def batch_of(defect=((20, 26), (30, 35)), **more):
    """Noise between 100 and 110, with a defect of 250 within (rows, columns)."""
    rng = np.random.default_rng(0)
    batch = {
        "has_mask": np.ones(COUNT, bool),
        "content": np.tile(np.array([[0, 0, *SIZE]], np.int32), (COUNT, 1)),
        "image": np.repeat(rng.integers(100, 111, (COUNT, *SIZE, 1), np.uint8), 3, axis=-1),
        "mask": np.zeros((COUNT, *SIZE, 1), np.uint8),
        "label": np.arange(COUNT, dtype=np.int32) % 3,
        **more,
    }
    where = (slice(None), *(slice(*ends) for ends in defect))
    batch["image"][where], batch["mask"][where] = 250, 255
    return batch


def as_numpy(batch):
    return {name: np.asarray(value) for name, value in batch.items()}


@pytest.mark.parametrize(
    "defect",
    [((20, 26), (30, 35)), ((0, 4), (10, 20)), ((55, 60), (48, 52)), ((0, 60), (25, 27))],
    ids=["inside", "at the top", "in a corner", "from top to bottom"],
)
def test_a_defect_gives_way_to_the_surface_around_it(defect):
    batch = batch_of(defect)
    new = as_numpy(run(batch, keys(), 1.0))
    assert new.keys() == batch.keys()
    for name, value in new.items():
        assert (value.shape, value.dtype) == (batch[name].shape, batch[name].dtype)
    covered = new["label"] < -1
    assert covered.mean() > 0.8
    np.testing.assert_array_equal(new["label"], np.where(covered, -2 - batch["label"], batch["label"]))
    assert not new["mask"][covered].any()
    # No trace of 250: the surface's own values, but for what it is brightened or darkened by.
    assert new["image"][covered].min() >= 100 - 5
    assert new["image"][covered].max() <= 110 + 5
    assert (new["image"] == new["image"][..., :1]).all()
    # Noise, not a mean of it.
    assert new["image"][(covered, *(slice(*ends) for ends in defect))].std() > 2
    near = np.zeros(SIZE, bool)
    near[tuple(slice(max(begin - FAR, 0), end + FAR) for begin, end in defect)] = True
    np.testing.assert_array_equal(new["image"][:, ~near], batch["image"][:, ~near])
    for name in ("image", "mask"):
        np.testing.assert_array_equal(new[name][~covered], batch[name][~covered])


def test_only_images_with_a_defect_and_a_known_mask_are_touched():
    batch = batch_of(has_mask=np.arange(COUNT) % 3 != 0)
    batch["mask"][1::3] = 0
    new = as_numpy(run(batch, keys(), 1.0))
    touched = new["label"] < -1
    assert not touched[0::3].any()
    assert not touched[1::3].any()
    assert touched[2::3].any()
    for name in ("image", "mask", "label"):
        np.testing.assert_array_equal(new[name][~touched], batch[name][~touched])


def test_the_share_is_that_of_the_defective_images():
    batch = batch_of()
    counts = [
        sum(int(np.sum(np.asarray(run(batch, keys(step=step), share)["label"]) < -1)) for step in range(20))
        for share in (0.0, 0.25, 1.0)
    ]
    assert counts[0] == 0
    assert counts[2] > 0.8 * 20 * COUNT
    assert counts[1] == pytest.approx(counts[2] / 4, rel=0.25)


def test_an_unknown_class_stays_unknown():
    new = as_numpy(run(batch_of(label=np.full(COUNT, -1, np.int32)), keys(), 1.0))
    assert (new["label"] == -1).all()
    assert (~new["mask"].any(axis=(1, 2, 3))).mean() > 0.8


def test_what_covers_too_much_of_the_image_stays():
    batch = batch_of(((0, 60), (0, 20)))
    assert batch["mask"][0].mean() / 255 > LARGEST
    new = as_numpy(run(batch, keys(), 1.0))
    for name in batch:
        np.testing.assert_array_equal(new[name], batch[name])


def test_padding_covers_nothing_and_is_not_covered():
    content = np.tile(np.array([[10, 8, 40, 40]], np.int32), (COUNT, 1))
    batch = batch_of(content=content)
    outside = np.ones(SIZE, bool)
    outside[10:50, 8:48] = False
    batch["image"][:, outside] = 0
    new = as_numpy(run(batch, keys(), 1.0))
    assert (new["label"] < -1).any()
    np.testing.assert_array_equal(new["image"][:, outside], batch["image"][:, outside])
    assert new["image"][:, 10:50, 8:48].min() >= 95


def test_another_brightness_is_matched():
    """One half of the surface is 60 levels darker: what is taken from there is brightened, where it fades in."""
    batch = batch_of()
    batch["image"] = np.where(np.arange(SIZE[1])[:, None] < 20, batch["image"] - 60, batch["image"]).astype(np.uint8)
    new = as_numpy(run(batch, keys(), 1.0))
    covered = new["label"] < -1
    assert new["image"][covered, 20:26, 30:35].min() >= 85


def test_it_is_a_function_of_the_key_alone():
    batch = batch_of()
    first, again, other = (as_numpy(run(batch, keys(step=step), 0.7)) for step in (0, 0, 1))
    for name in ("image", "mask", "label"):
        np.testing.assert_array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])


def test_the_draws_of_augment_stay_as_they_were():
    """An image that is not covered has the view that it has without this option."""
    batch = batch_of()
    batch["mask"][:] = 0
    new = run(batch, keys(), 1.0)
    views = [np.asarray(augment_batch(keys(), b["image"], b["mask"], AugmentConfig())[0]) for b in (batch, new)]
    np.testing.assert_array_equal(*views)
