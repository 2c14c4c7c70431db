"""The losses of whole maps, against NumPy and SciPy in float64 and against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from jax.sharding import PartitionSpec

from dms_jax.runtime.devices import DATA_AXIS, data_mesh
from dms_jax.training.losses import LossConfig, dms_loss, saliency_loss, unit_mean
from dms_jax.training.regions import soft_iou_loss, ssim_loss

LOSSES = [soft_iou_loss, ssim_loss]


def maps(seed=0, count=3, size=(14, 17)):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, *size, 1)).astype(np.float32)
    target = np.zeros((count, *size, 1), np.float32)
    for n in range(1, count):  # the first has no defect
        target[n, 2 * n : 2 * n + 6, 3:11] = 1
    counted = rng.random((count, *size, 1)) > 0.2
    return logits, target, counted


def numpy_loss(loss, logits, target, counted=None):
    """Each image's loss, in float64."""
    p, y = 1 / (1 + np.exp(-np.float64(logits[..., 0]))), np.float64(target[..., 0])
    counted = np.ones(p.shape, bool) if counted is None else counted[..., 0]
    p, y = p * counted, y * counted
    if loss is soft_iou_loss:
        return np.array([1 - ((a * b).sum() + 1) / ((a + b - a * b).sum() + 1) for a, b in zip(p, y, strict=True)])

    def smooth(x):
        # `truncate` makes the window 11 pixels wide.
        return scipy.ndimage.gaussian_filter(x, (0, 1.5, 1.5), mode="constant", truncate=5 / 1.5)

    c1, c2 = 0.01**2, 0.03**2
    mp, my = smooth(p), smooth(y)
    vp, vy, cov = smooth(p * p) - mp**2, smooth(y * y) - my**2, smooth(p * y) - mp * my
    ssim = (2 * mp * my + c1) * (2 * cov + c2) / ((mp**2 + my**2 + c1) * (vp + vy + c2))
    return np.array([(1 - s)[c].mean() for s, c in zip(ssim, counted, strict=True)])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("whole", [True, False])
def test_values_agree_with_numpy(loss, whole):
    logits, target, counted = maps()
    counted = None if whole else counted
    expected = numpy_loss(loss, logits, target, counted)
    assert float(jax.jit(loss)(logits, target, counted)) == pytest.approx(expected.mean(), rel=1e-4)
    weight = np.array([0.5, 2.5, 0.0], np.float32)
    assert float(loss(logits, target, counted, weight)) == pytest.approx((weight * expected).mean(), rel=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_agree_with_finite_differences(loss):
    logits, target, counted = maps()
    gradient = jax.jit(jax.grad(loss))(logits, target, counted)
    rng = np.random.default_rng(1)
    for _ in range(4):
        direction = rng.normal(size=logits.shape)
        ends = [numpy_loss(loss, logits + t * direction, target, counted).mean() for t in (1e-4, -1e-4)]
        assert np.sum(gradient * direction) == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=2e-3, abs=1e-6)
    assert not np.any(np.asarray(gradient)[~counted])


@pytest.mark.parametrize("loss", LOSSES)
def test_perfect_maps_cost_nothing_and_wrong_ones_one(loss):
    _, target, _ = maps()
    certain = 60 * (2 * target - 1)
    assert float(loss(certain, target)) == pytest.approx(0, abs=1e-4)
    assert float(loss(-certain, target)) > 0.95
    # No defect, and none seen.
    assert float(loss(certain[:1], target[:1])) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_pixels_that_do_not_count_may_be_anything(loss):
    logits, target, counted = maps()
    expected = float(loss(logits, target, counted))
    other = np.where(counted, logits, 30), np.where(counted, target, 1 - target)
    assert float(loss(*other, counted)) == pytest.approx(expected, rel=1e-6)
    assert float(loss(*other)) != pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_extreme_logits_and_an_image_without_pixels_stay_finite(loss, logit):
    _, target, counted = maps()
    counted[1] = False
    value, gradient = jax.value_and_grad(loss)(jnp.full(target.shape, logit, jnp.bfloat16), target, counted)
    assert value.dtype == jnp.float32
    assert bool(jnp.isfinite(value))
    assert bool(jnp.all(jnp.isfinite(gradient)))


@pytest.mark.parametrize("on", ["all", "defective"])
def test_the_terms_are_added_for_each_output_and_averaged_over_the_images_that_count(on):
    logits, target, counted = maps(count=4)
    counted[3] = False  # nothing is known of it
    outputs = [logits, logits[:, ::-1], -logits]
    config = LossConfig(output_weights=(1.0, 0.5, 2.0), iou_weight=0.7, iou_on=on, ssim_weight=0.3)
    images = np.array([1, 2]) if on == "defective" else np.array([0, 1, 2])
    label = np.zeros(4, np.int32)
    weight = unit_mean(jnp.asarray(counted))
    loss, metrics = dms_loss(outputs, (), target, label, config, pixel_weight=weight, counted=counted)
    expected = sum(
        factor
        * (
            float(saliency_loss(output, target, weight))
            + 0.7 * numpy_loss(soft_iou_loss, output, target, counted)[images].mean()
            + 0.3 * numpy_loss(ssim_loss, output[:3], target[:3], counted[:3]).mean()
        )
        for factor, output in zip(config.output_weights, outputs, strict=True)
    )
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    assert float(metrics["loss"]) == float(loss)
    without, _ = dms_loss(outputs, (), target, label, LossConfig(), pixel_weight=weight, counted=counted)
    assert float(without) == pytest.approx(sum(float(saliency_loss(o, target, weight)) for o in outputs), rel=1e-6)


@pytest.mark.skipif(jax.device_count() < 2, reason="needs two devices")
@pytest.mark.parametrize("on", ["all", "defective"])
def test_two_devices_average_as_one_does(on):
    """Where one device has more images that count than the other."""
    logits, target, counted = maps(count=4)
    target[1] = 0
    counted[3] = False
    config = LossConfig(saliency_weight=0.0, iou_weight=1.0, iou_on=on, ssim_weight=1.0)

    def loss(logits, target, counted):
        label = jnp.zeros(logits.shape[0], jnp.int32)
        value, _ = dms_loss([logits], (), target, label, config, counted=counted, axis_name=DATA_AXIS)
        return jax.lax.pmean(value, DATA_AXIS)

    values = []
    for count in (1, 2):
        mesh, data = data_mesh(jax.devices()[:count]), PartitionSpec(DATA_AXIS)
        values.append(jax.jit(jax.shard_map(loss, mesh=mesh, in_specs=data, out_specs=PartitionSpec())))
    one, two = (float(value(logits, target, counted)) for value in values)
    assert one == pytest.approx(two, rel=1e-5)
