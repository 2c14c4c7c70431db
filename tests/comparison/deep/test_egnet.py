import comparing
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_peer

from dms_jax.comparison.deep.egnet import EGNet

BACKBONE = {"stage_sizes": (1, 2, 1, 2), "groups": 1, "width_per_group": 64, "base_channels": 4}
TINY = EGNet(num_classes=3, width=1 / 32, **BACKBONE)
COUNTS = {False: 111_659_850, True: 111_672_906}


@pytest.mark.parametrize("batch_norm", COUNTS)
def test_it_has_the_parameters_of_the_paper(batch_norm: bool) -> None:
    assert comparing.parameters(EGNet(num_classes=6, batch_norm=batch_norm)) == COUNTS[batch_norm]


def test_it_is_a_network() -> None:
    comparing.assert_is_a_network(TINY, outputs=9)


@pytest.mark.parametrize("batch_norm", COUNTS)
def test_it_agrees_with_pytorch(batch_norm: bool) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch_egnet

    model, net = TINY.clone(batch_norm=batch_norm), torch_egnet.EGNet(4, batch_norm, **BACKBONE)
    names = torch_egnet.names(BACKBONE["stage_sizes"])
    comparing.assert_agrees(model, net, names, folds=batch_norm)
    if batch_norm:
        comparing.assert_trains_alike(model, net, names)


def test_the_edges_agree_with_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch_egnet

    net = torch_egnet.EGNet(4, **BACKBONE).eval()
    variables = torch_peer.carry_over_by(net, torch_egnet.names(BACKBONE["stage_sizes"]))
    images = np.random.default_rng(0).standard_normal((2, 45, 61, 3), np.float32)
    with torch.no_grad():
        net(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    model = TINY.clone(batch_norm=False)
    (found,) = jax.jit(lambda v: model.apply(v, images, train=False).edges)(variables)
    expected = net.edges.numpy().transpose(0, 2, 3, 1)
    assert found.dtype == jnp.float32
    assert expected.std() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch_norm", COUNTS)
def test_the_full_size_has_as_many_parameters_in_pytorch(batch_norm: bool) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch_egnet

    with torch.device("meta"):
        assert sum(p.numel() for p in torch_egnet.EGNet(norm=batch_norm).parameters()) == COUNTS[batch_norm]
