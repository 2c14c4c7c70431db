"""The whole network against the same network in PyTorch, written independently, with its weights carried over."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_peer

from dms_jax.models.dms import ABLATIONS, NETWORKS

TOLERANCE = 1e-4
SHALLOW: dict[str, Any] = {"stage_sizes": (1, 1, 1, 1)}
NARROW: dict[str, Any] = {
    "stage_sizes": (1, 2, 1, 1),
    "groups": 2,
    "width_per_group": 32,
    "base_channels": 8,
    "side_channels": 12,
    "residual_channels": 4,
}
SCHEDULES = {
    "third pass": ("HF", "MF", "LF", "reset LF", "MF", "HF", "reset LF", "MF", "HF"),
    "up only": ("LF", "MF", "HF"),
    "more than twice as large": ("HF", "LF", "MF"),
    "resets to a larger and to a smaller": ("HF", "reset MF", "LF", "reset HF", "MF"),
    "one step": ("MF",),
}
# Every switch of Tables 2 and 3, and the growth of features that the paper leaves open.
VARIANTS = [{"ablation": a} for a in ABLATIONS] + [{"feature_growth": "reduce"}]
every_variant = pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: next(iter(v.values())) or "standard")
every_network = pytest.mark.parametrize("network", NETWORKS)


def relative_error(ours: Any, theirs: Any) -> float:
    """Max |a - b| / max |b|; `theirs` is a tensor [B, C, H, W] or [B, K]."""
    b = theirs.detach().numpy()
    a = np.asarray(ours)
    if b.ndim == 4:
        a = a.transpose(0, 3, 1, 2)
    assert a.shape == b.shape
    return float(np.abs(a - b).max() / np.abs(b).max())


def compare(
    network: str, fields: dict[str, Any], size: tuple[int, int], *, train: bool, batch: int, double: bool = False
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch.manual_seed(0)
    net = torch_peer.reference(6, network, **fields)
    torch_peer.randomise(net)
    variables = torch_peer.carry_over(net)
    dtype = np.float64 if double else np.float32
    model = NETWORKS[network](num_classes=6, dtype=dtype, **fields)
    images = np.random.default_rng(0).standard_normal((batch, *size, 3), np.float32).astype(dtype)
    net = net.double() if double else net

    with jax.enable_x64(double):
        shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, *size, 3)), train=False))
    assert jax.tree.map(jnp.shape, dict(shapes)) == jax.tree.map(jnp.shape, variables)

    with torch.no_grad():
        saliency, classes = net.train(train)(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))

    @jax.jit
    def predict(variables: Any, images: Any) -> tuple[Any, Any]:
        output = model.apply(variables, images, train=train, mutable=["batch_stats"] if train else False)
        output = output[0] if train else output
        return output.saliency, output.classes

    with jax.enable_x64(double):
        ours_saliency, ours_classes = predict(variables, images)
    assert len(ours_saliency) == len(saliency) == len(model.schedule)
    has_classes = fields.get("ablation") not in ("b", "baseline")
    assert len(ours_classes) == len(classes) == (len(model.schedule) if has_classes else 0)
    errors = [relative_error(a, b) for a, b in zip(ours_saliency, saliency, strict=True)]
    errors += [relative_error(a, b) for a, b in zip(ours_classes, classes, strict=True)]
    print(f"{network} {fields} {size} train={train}: worst of {len(errors)} outputs {max(errors):.1e}")
    assert max(errors) < TOLERANCE


@every_variant
@every_network
def test_shallow_networks_agree_at_an_odd_size(network: str, variant: dict[str, Any]) -> None:
    compare(network, SHALLOW | variant, (65, 97), train=False, batch=1)


def test_a_shallow_network_agrees_on_a_training_batch() -> None:
    compare("bdms", SHALLOW, (65, 97), train=True, batch=3)


@pytest.mark.parametrize("ablation", ["", "d"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_other_sizes_and_schedules_agree(schedule: str, ablation: str) -> None:
    fields = {**NARROW, "schedule": SCHEDULES[schedule], "ablation": ablation}
    compare("bdms", fields, (65, 97), train=False, batch=2)


@pytest.mark.full
@every_variant
@every_network
def test_full_networks_agree_at_an_odd_size(network: str, variant: dict[str, Any]) -> None:
    compare(network, variant, (161, 193), train=False, batch=1)


@pytest.mark.full
def test_the_full_network_agrees_at_300() -> None:
    compare("bdms", {}, (300, 300), train=False, batch=1)


@pytest.mark.full
@every_network
def test_full_networks_agree_on_a_training_batch(network: str) -> None:
    # In float64: a hundred layers, each normalised by the statistics of a few hundred values, amplify rounding so that
    # either float32 network is 3e-4 away from its own float64 result.
    compare(network, {}, (161, 193), train=True, batch=4, double=True)
