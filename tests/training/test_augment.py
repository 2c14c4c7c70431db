import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from jax.sharding import AxisType, PartitionSpec

from dms_jax.models.preprocessing import normalize
from dms_jax.training.augment import (
    AugmentConfig,
    augment,
    augment_batch,
    content_batch,
    example_keys,
    sample_affine,
    warp,
)

# Compiled once per config, where op by op would compile every primitive.
run = jax.jit(augment_batch, static_argnums=3)

NOTHING = AugmentConfig(horizontal_flip=False, rotation=0.0)
EVERYTHING = AugmentConfig(vertical_flip=True, rotation=30.0, scale=(0.6, 1.5), shift=0.2, brightness=0.2, contrast=0.3)


def random_images(count=4, size=(13, 18), seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *size, 3), np.uint8)
    masks = rng.integers(0, 256, (count, *size, 1), np.uint8)
    return images, masks


def keys(count, step=0):
    return jax.jit(example_keys)(7, step, jnp.arange(count))


def affines(keys, size, config):
    return jax.jit(jax.vmap(lambda key: sample_affine(key, size, config)))(keys)


def test_without_options_nothing_changes():
    images, masks = random_images()
    new_images, new_masks = run(keys(4), images, masks, NOTHING)
    assert new_images.dtype == new_masks.dtype == jnp.float32
    np.testing.assert_array_equal(new_images, images)
    np.testing.assert_array_equal(new_masks, masks)


def test_flips_alone_move_whole_pixels_and_trace_no_gather():
    images, masks = random_images(count=1)
    image, mask = images[0], masks[0]
    config = AugmentConfig(vertical_flip=True, rotation=0.0)
    both = np.concatenate([image, mask], axis=-1)
    candidates = [both, both[::-1], both[:, ::-1], both[::-1, ::-1]]
    results = run(keys(40), np.repeat(images, 40, axis=0), np.repeat(masks, 40, axis=0), config)
    seen = [0, 0, 0, 0]
    for result in np.concatenate(results, axis=-1):
        matches = [np.array_equal(result, candidate) for candidate in candidates]
        assert sum(matches) == 1
        seen[matches.index(True)] += 1
    assert min(seen) >= 3

    def traced(config):
        return str(jax.make_jaxpr(lambda k: augment(k, image, mask, config))(jax.random.key(0)))

    assert "gather" not in traced(config)
    assert "gather" in traced(AugmentConfig())


@pytest.mark.parametrize("size", [(13, 18), (24, 9), (1, 7), (2, 2)])
@pytest.mark.parametrize("seed", range(4))
def test_warp_agrees_with_scipy(size, seed):
    rng = np.random.default_rng(seed)
    stacked = rng.integers(0, 256, (*size, 4), np.uint8)
    matrix = rng.normal(size=(2, 2)).astype(np.float32)
    offset = rng.uniform(-30, 30, 2).astype(np.float32)  # far outside: more than one mirror
    expected = [
        scipy.ndimage.affine_transform(channel, matrix, offset, output=np.float64, order=1, mode="reflect")
        for channel in np.moveaxis(stacked, -1, 0)
    ]
    np.testing.assert_allclose(jax.jit(warp)(stacked, matrix, offset), np.stack(expected, -1), atol=5e-3)


def test_warp_beyond_the_border_is_a_symmetric_pad():
    stacked = random_images(count=1, size=(5, 6))[0][0]
    stacked = np.concatenate([stacked, stacked[..., :1]], axis=-1)
    padded = np.pad(stacked, ((3, 0), (0, 4), (0, 0)), "symmetric")
    result = jax.jit(warp)(stacked, jnp.eye(2), jnp.array([-3.0, 4.0]))
    np.testing.assert_array_equal(result, padded[:5, 4:])


@pytest.mark.parametrize("size", [(24, 24), (20, 31)])
def test_rotation_agrees_with_scipy_rotate(size):
    images, masks = random_images(count=3, size=size)
    config = AugmentConfig(horizontal_flip=False, rotation=40.0)
    matrices, offsets = affines(keys(3), size, config)
    old = np.concatenate([images, masks], axis=-1)
    new = jax.jit(jax.vmap(warp))(old, matrices, offsets)
    for n in range(3):
        angle = np.rad2deg(np.arctan2(matrices[n, 0, 1], matrices[n, 0, 0]))
        assert abs(angle) > 1
        expected = scipy.ndimage.rotate(old[n], angle, reshape=False, output=np.float64, order=1, mode="reflect")
        np.testing.assert_allclose(new[n], expected, atol=0.01)


@pytest.mark.parametrize(("option", "axis"), [("vertical_flip", 0), ("horizontal_flip", 1)])
def test_each_flip_has_its_own_switch(option, axis):
    flips = {"vertical_flip": False, "horizontal_flip": False, option: True}
    images, masks = random_images(count=20)
    new_images, _ = run(keys(20), images, masks, AugmentConfig(rotation=0.0, **flips))
    kept = [np.array_equal(new, old) for new, old in zip(new_images, images, strict=True)]
    flipped = [np.array_equal(new, np.flip(old, axis)) for new, old in zip(new_images, images, strict=True)]
    assert np.all(np.logical_xor(kept, flipped))
    assert 3 <= sum(flipped) <= 17

    # The same flips are drawn where the image is also turned.
    matrices, _ = affines(keys(20), (13, 18), AugmentConfig(rotation=5.0, **flips))
    assert np.all(np.sign(matrices[:, 1 - axis, 1 - axis]) == 1)
    turned, _ = run(keys(20), images, masks, AugmentConfig(rotation=1e-4, **flips))
    np.testing.assert_allclose(turned, new_images, atol=0.02)


def test_zoom_magnifies_about_the_centre():
    image = np.zeros((21, 21, 3), np.uint8)
    image[8:13, 8:13] = 255
    config = AugmentConfig(horizontal_flip=False, rotation=0.0, scale=(2.0, 2.0))
    (new,), _ = run(keys(1), image[None], image[None, ..., :1], config)
    assert float(new[..., 0].sum()) / 255 == pytest.approx(4 * 25, rel=0.01)
    np.testing.assert_allclose(new, new[::-1, ::-1], atol=0.01)


def test_shift_is_a_fraction_of_each_side():
    size = (10, 40)
    config = AugmentConfig(horizontal_flip=False, rotation=0.0, shift=0.25)
    _, offsets = affines(keys(400), size, config)
    largest = np.abs(np.asarray(offsets)).max(axis=0)
    assert np.all(largest <= [2.5, 10.0])
    assert np.all(largest >= [2.4, 9.6])


def test_affine_draws_stay_in_their_bounds_and_fill_them():
    size = (30, 50)
    config = AugmentConfig(vertical_flip=True, scale=(0.8, 1.25))
    matrices, offsets = affines(keys(2000), size, config)
    matrices, offsets = np.asarray(matrices, np.float64), np.asarray(offsets)
    signs = np.sign(matrices[:, [0, 1], [0, 1]])
    turns = matrices * signs[:, :, None]
    angles = np.rad2deg(np.arctan2(turns[:, 1, 0], turns[:, 0, 0]))
    zooms = 1 / np.sqrt(np.linalg.det(turns))

    assert np.abs(angles).max() <= 10 + 1e-4
    assert angles.min() < -9.9
    assert angles.max() > 9.9
    assert abs(angles.mean()) < 4 * (20 / 12**0.5) / 2000**0.5
    assert zooms.min() >= 0.8 - 1e-5
    assert zooms.min() < 0.81
    assert zooms.max() <= 1.25 + 1e-5
    assert zooms.max() > 1.24
    assert np.all(np.abs(signs.mean(axis=0)) < 0.1)
    assert abs(np.corrcoef(signs.T)[0, 1]) < 0.1
    centre = np.array([14.5, 24.5])
    np.testing.assert_allclose(matrices @ centre + offsets, np.broadcast_to(centre, (2000, 2)), atol=1e-4)


def test_mask_follows_the_image():
    config = AugmentConfig(vertical_flip=True, rotation=25.0, scale=(0.5, 2.0), shift=0.3)
    images, masks = random_images()
    images[..., 0] = masks[..., 0]
    new_images, new_masks = run(keys(4), images, masks, config)
    assert not np.array_equal(new_masks, masks)
    # Not bit for bit: the compiler may fuse the two outputs apart and round each in its own way.
    np.testing.assert_allclose(new_images[..., 0], new_masks[..., 0], atol=5e-3)


def test_a_plain_image_has_no_black_corners():
    images = np.full((8, 12, 17, 3), 200, np.uint8)
    config = AugmentConfig(rotation=45.0, scale=(0.5, 1.0), shift=0.5)
    new_images, new_masks = run(keys(8), images, images[..., :1], config)
    np.testing.assert_allclose(new_images, 200, atol=1e-3)
    np.testing.assert_allclose(new_masks, 200, atol=1e-3)


def test_brightness_adds_one_value_within_bounds():
    images = np.full((300, 4, 5, 3), 100, np.uint8)
    images[:, 0] = 60
    config = AugmentConfig(horizontal_flip=False, rotation=0.0, brightness=0.1)
    new_images, new_masks = run(keys(300), images, images[..., :1], config)
    added = np.asarray(new_images) - images
    np.testing.assert_allclose(added, np.broadcast_to(added[:, :1, :1, :1], added.shape), atol=1e-4)
    assert np.abs(added).max() <= 25.5 + 1e-4
    assert added.min() < -25
    assert added.max() > 25
    np.testing.assert_array_equal(new_masks, images[..., :1])


def test_contrast_scales_the_distance_to_the_mean_within_bounds():
    images = np.full((300, 4, 6, 3), 120, np.uint8)
    images[:, :2] = 80  # mean 100
    config = AugmentConfig(horizontal_flip=False, rotation=0.0, contrast=0.5)
    new_images, new_masks = run(keys(300), images, images[..., :1], config)
    factors = (np.asarray(new_images) - 100) / (images.astype(np.float32) - 100)
    np.testing.assert_allclose(factors, np.broadcast_to(factors[:, :1, :1, :1], factors.shape), atol=1e-4)
    assert 0.5 - 1e-4 <= factors.min() < 0.51
    assert 1.49 < factors.max() <= 1.5 + 1e-4
    np.testing.assert_array_equal(new_masks, images[..., :1])


def test_values_are_clipped_to_the_range_of_a_byte():
    images, masks = random_images(count=8)
    config = AugmentConfig(brightness=1.0, contrast=1.0)
    new_images, _ = run(keys(8), images, masks, config)
    assert float(new_images.min()) == 0.0
    assert float(new_images.max()) == 255.0


def test_a_photometric_option_leaves_the_geometry_as_it_was():
    images, masks = random_images()
    _, plain = run(keys(4), images, masks, AugmentConfig())
    _, photometric = run(keys(4), images, masks, AugmentConfig(brightness=0.5, contrast=0.5))
    np.testing.assert_array_equal(plain, photometric)


def test_keys_differ_by_seed_step_and_position_only():
    positions = jnp.arange(6)
    drawn = [jax.random.key_data(example_keys(seed, step, positions)) for seed in (0, 1) for step in (0, 1, 2)]
    assert len({tuple(row) for row in np.concatenate(drawn).tolist()}) == 36
    whole = drawn[1]
    np.testing.assert_array_equal(whole, jax.random.key_data(example_keys(jax.random.key(0), 1, positions)))
    traced = jax.jit(lambda step: example_keys(0, step, positions[3:]))(jnp.int32(1))
    np.testing.assert_array_equal(whole[3:], jax.random.key_data(traced))


def test_halves_of_a_batch_draw_what_the_whole_draws():
    images, masks = random_images(count=6)
    whole = run(keys(6), images, masks, EVERYTHING)
    again = run(keys(6), images, masks, EVERYTHING)
    other_step = run(keys(6, step=1), images, masks, EVERYTHING)
    halves = [
        run(
            example_keys(7, 0, jnp.arange(start, start + 3)),
            images[start : start + 3],
            masks[start : start + 3],
            EVERYTHING,
        )
        for start in (0, 3)
    ]
    for n in (0, 1):
        np.testing.assert_array_equal(whole[n], again[n])
        assert not np.allclose(whole[n], other_step[n])
        np.testing.assert_allclose(whole[n], np.concatenate([half[n] for half in halves]), atol=1e-3)


@pytest.mark.skipif(jax.device_count() < 2, reason="needs two devices")
def test_two_devices_draw_what_one_draws():
    images, masks = random_images(count=4)

    def step(positions, images, masks):
        return augment_batch(example_keys(7, 0, positions), images, masks, EVERYTHING)

    mesh = jax.make_mesh((2,), ("data",), (AxisType.Auto,), devices=jax.devices()[:2])
    data = PartitionSpec("data")
    sharded = jax.jit(jax.shard_map(step, mesh=mesh, in_specs=data, out_specs=data))
    arguments = (jnp.arange(4), jnp.asarray(images), jnp.asarray(masks))
    for one, two in zip(jax.jit(step)(*arguments), sharded(*arguments), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-3)


def test_normalize():
    image = np.array([[[0, 128, 255]]], np.uint8)
    expected = [(0 - 0.485) / 0.229, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    result = normalize(jnp.asarray(image))
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result[0, 0], expected, rtol=1e-6)
    np.testing.assert_array_equal(normalize(jnp.asarray(image)[None])[0], result)


def test_other_types_than_bytes_are_refused():
    images, masks = random_images(count=1)
    with pytest.raises(TypeError, match="float32"):
        augment(jax.random.key(0), images[0].astype(np.float32), masks[0], NOTHING)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rotation", -1.0),
        ("rotation", 181.0),
        ("rotation", float("nan")),
        ("shift", 1.5),
        ("brightness", -0.1),
        ("contrast", 1.1),
        ("paste", 1.5),
        ("scale", (0.0, 1.0)),
        ("scale", (1.2, 0.8)),
        ("scale", (1.0,)),
    ],
)
def test_values_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        AugmentConfig(**{field: value})


def test_a_config_from_json_is_hashable():
    assert hash(AugmentConfig(scale=[0.9, 1.1])) == hash(AugmentConfig(scale=(0.9, 1.1)))


@pytest.mark.parametrize(
    "config", [AugmentConfig(rotation=0, vertical_flip=True), AugmentConfig(scale=(0.7, 1.3), shift=0.2)]
)
def test_content_moves_with_the_image(config):
    """A mask that is white in the content alone is white where the content is afterwards, and nowhere else."""
    size, contents = (24, 32), np.array([[3, 5, 12, 20], [0, 0, 24, 32], [10, 10, 1, 1]], np.int32)
    masks = np.zeros((3, *size, 1), np.uint8)
    for mask, (top, left, height, width) in zip(masks, contents, strict=True):
        mask[top : top + height, left : left + width] = 255
    keys = example_keys(0, 3, jnp.arange(3))
    _, moved = augment_batch(keys, np.zeros((3, *size, 3), np.uint8), masks, config)
    inside = content_batch(keys, jnp.array(contents), size, config)
    assert inside.shape == moved.shape
    moved = np.asarray(moved)
    # Between, where the interpolation mixes content and padding, the nearer decides.
    assert np.asarray(inside)[moved == 255].all()
    assert not np.asarray(inside)[moved == 0].any()
    assert np.asarray(inside)[1].all()
