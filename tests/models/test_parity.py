"""The whole network against the same network in PyTorch, written independently, with its weights carried over."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_peer

from dms_jax.models import BDMS, SDMS
from dms_jax.models.dms import ABLATIONS

TOLERANCE = 1e-4
NETWORKS = {"SDMS": (SDMS, 3), "BDMS": (BDMS, 6)}
FULL = (3, 4, 23, 3)
SHALLOW = (1, 1, 1, 1)
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
    network: str,
    variant: dict,
    blocks: tuple,
    size: tuple[int, int],
    *,
    train: bool,
    batch: int,
    double: bool = False,
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch.manual_seed(0)
    cls, steps = NETWORKS[network]
    ablation = variant.get("ablation", "")
    net = torch_peer.reference(6, network, stage_sizes=blocks, **variant)
    torch_peer.randomise(net)
    variables = torch_peer.carry_over(net, steps, blocks, ablation)
    dtype = np.float64 if double else np.float32
    model = cls(num_classes=6, stage_sizes=blocks, dtype=dtype, **variant)
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
    assert len(ours_saliency) == len(saliency) == steps
    assert len(ours_classes) == len(classes) == (0 if ablation in ("b", "baseline") else steps)
    errors = [relative_error(a, b) for a, b in zip(ours_saliency, saliency, strict=True)]
    errors += [relative_error(a, b) for a, b in zip(ours_classes, classes, strict=True)]
    print(f"{network} {variant} {size} train={train}: worst of {len(errors)} outputs {max(errors):.1e}")
    assert max(errors) < TOLERANCE


@every_variant
@every_network
def test_shallow_networks_agree_at_an_odd_size(network: str, variant: dict) -> None:
    compare(network, variant, SHALLOW, (65, 97), train=False, batch=1)


def test_a_shallow_network_agrees_on_a_training_batch() -> None:
    compare("BDMS", {}, SHALLOW, (65, 97), train=True, batch=3)


@pytest.mark.full
@every_variant
@every_network
def test_full_networks_agree_at_an_odd_size(network: str, variant: dict) -> None:
    compare(network, variant, FULL, (161, 193), train=False, batch=1)


@pytest.mark.full
def test_the_full_network_agrees_at_300() -> None:
    compare("BDMS", {}, FULL, (300, 300), train=False, batch=1)


@pytest.mark.full
@every_network
def test_full_networks_agree_on_a_training_batch(network: str) -> None:
    # In float64: a hundred layers, each normalised by the statistics of a few hundred values, amplify rounding so that
    # either float32 network is 3e-4 away from its own float64 result.
    compare(network, {}, FULL, (161, 193), train=True, batch=4, double=True)
