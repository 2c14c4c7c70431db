"""The edges of masks, and their loss."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from own_network import OwnNetwork
from scipy import ndimage

from dms_jax.models import SaliencyOutput
from dms_jax.models.preprocessing import normalize
from dms_jax.runtime.devices import data_mesh, replicate, shard_batch
from dms_jax.training.augment import AugmentConfig
from dms_jax.training.edges import edge_loss, edge_target
from dms_jax.training.losses import LossConfig, dms_loss, unit_mean
from dms_jax.training.optimizer import OptimizerConfig, create_optimizer
from dms_jax.training.state import create_state
from dms_jax.training.step import make_train_step


def masks() -> np.ndarray:
    random = np.random.default_rng(0)
    return (ndimage.gaussian_filter(random.standard_normal((4, 20, 24, 1)), (0, 3, 3, 0)) > 0.05).astype(np.float32)


def test_edges_are_where_a_neighbourhood_is_not_the_same_everywhere() -> None:
    found = np.asarray(edge_target(jnp.asarray(masks())))
    for mask, edge in zip(masks()[..., 0], found[..., 0], strict=True):
        padded = np.pad(mask, 1, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
        np.testing.assert_array_equal(edge, windows.max((2, 3)) != windows.min((2, 3)))
    assert 0.05 < found.mean() < 0.5


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_mask_without_edges_costs_nothing(value: float) -> None:
    target = jnp.full((2, 8, 8, 1), value)
    assert float(edge_target(target).max()) == 0
    assert float(edge_loss(jnp.ones((2, 8, 8, 1)), target)) == 0


def test_the_loss_is_balanced_by_hand() -> None:
    target = masks()
    edge = np.asarray(edge_target(jnp.asarray(target)), np.float64)
    logits = np.random.default_rng(1).standard_normal(target.shape)
    weight = np.random.default_rng(2).uniform(0.1, 2, target.shape)
    weight /= weight.mean()
    p, e = 1 / (1 + np.exp(-logits)), np.mean(weight * edge)
    expected = -np.mean(weight * ((1 - e) * edge * np.log(p) + e * (1 - edge) * np.log(1 - p)))
    found = edge_loss(jnp.asarray(logits), jnp.asarray(target), jnp.asarray(weight))
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("axis_name", [None, "data"])
def test_what_is_not_known_changes_nothing(axis_name: str | None) -> None:
    """As if the batch were the known contents alone, on one device or on several of which each knows another part."""
    whole, logits = masks(), np.random.default_rng(1).standard_normal((4, 20, 24, 1))
    known = np.zeros(whole.shape, bool)
    known[:2, 4:15, 2:18] = True
    # Nobody has drawn anything elsewhere; or what was drawn there is to be ignored.
    for elsewhere in (0.0, 1.0):
        target = np.where(known, whole, elsewhere)
        parts = [jnp.asarray(x) for x in (logits, target, known)]

        def loss(logits: jax.Array, target: jax.Array, known: jax.Array) -> jax.Array:
            return edge_loss(logits, target, unit_mean(known, axis_name), axis_name)

        if axis_name is None:
            found = loss(*parts)
        else:
            parts = [x.reshape(4, 1, 20, 24, 1) for x in parts]
            found = jnp.mean(jax.vmap(loss, axis_name=axis_name)(*parts))
        inside = np.s_[:2, 4:15, 2:18]
        expected = edge_loss(jnp.asarray(logits[inside]), jnp.asarray(whole[inside]))
        assert found == pytest.approx(float(expected), rel=1e-5)


def test_several_devices_balance_by_the_whole_batch() -> None:
    target, logits = jnp.asarray(masks()), jnp.asarray(np.random.default_rng(1).standard_normal((4, 20, 24, 1)))
    parts = [x.reshape(2, 2, 20, 24, 1) for x in (logits, target)]
    found = jax.vmap(partial(edge_loss, axis_name="data"), axis_name="data")(*parts)
    assert jnp.mean(found) == pytest.approx(float(edge_loss(logits, target)), rel=1e-5)


def test_the_training_loss_has_it_for_maps_of_edges() -> None:
    target, label = jnp.asarray(masks()), jnp.zeros(4, jnp.int32)
    logits = jnp.asarray(np.random.default_rng(1).standard_normal(target.shape), jnp.float32)
    without, _ = dms_loss([logits], [], target, label, LossConfig())
    both, _ = dms_loss([logits], [], target, label, LossConfig(edge_weight=3.0), edges=[logits, logits])
    assert both - without == pytest.approx(6 * float(edge_loss(logits, target)), rel=1e-4)
    none, _ = dms_loss([logits], [], target, label, LossConfig(edge_weight=0.0), edges=[logits])
    assert none == without


class Edges(OwnNetwork):
    """A network whose map is the same everywhere, and whose map of edges is a mixture of a pixel's colours."""

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> SaliencyOutput:
        level = self.param("level", nn.initializers.zeros_init(), (1, 1, 1, 1))
        saliency = jnp.broadcast_to(level, images[..., :1].shape)
        return SaliencyOutput((saliency,), (), {}, (nn.Dense(1, name="mix")(images),))


@pytest.mark.parametrize("devices", [1, 2])
def test_a_training_step_learns_the_edges_of_masks(devices: int) -> None:
    if jax.device_count() < devices:
        pytest.skip("two devices are needed")
    target = masks()
    random = np.random.default_rng(3)
    images = random.integers(0, 256, (4, 20, 20, 3), np.uint8)
    batch = {"image": images, "mask": (255 * target[:, :, :20]).astype(np.uint8), "label": np.zeros(4, np.int32)}
    model, mesh = Edges(), data_mesh(jax.devices()[:devices])
    optimizer = create_optimizer(OptimizerConfig(learning_rate=1.0, momentum=0.0, weight_decay=0.0, power=0.0), 10)
    still = AugmentConfig(horizontal_flip=False, rotation=0.0)
    step = make_train_step(model, optimizer, mesh, loss=LossConfig(edge_weight=2.0), augment=still, seed=0)
    before = create_state(model, optimizer, seed=0)
    first = jax.device_get(before.params)
    after = jax.device_get(step(replicate(before, mesh), shard_batch(batch, mesh))).params

    def loss(mix: Any) -> jax.Array:
        logits = normalize(jnp.asarray(images)) @ mix["kernel"] + mix["bias"].reshape(1, 1, 1, 1)
        return 2 * edge_loss(logits, jnp.asarray(target[:, :, :20]))

    gradient = jax.grad(loss)(first["mix"])
    for name, value in gradient.items():
        np.testing.assert_allclose(first["mix"][name] - after["mix"][name], value, rtol=1e-3, atol=1e-6)
    assert float(np.abs(gradient["kernel"]).max()) > 1e-3
