import comparing
import pytest

from dms_jax.comparison.deep.poolnet import PoolNet

BACKBONE = {"stage_sizes": (1, 2, 1, 2), "groups": 1, "width_per_group": 64, "base_channels": 4}
TINY = PoolNet(num_classes=3, width=1 / 32, **BACKBONE)
COUNTS = {False: 68_261_057, True: 68_286_657}


@pytest.mark.parametrize("batch_norm", COUNTS)
def test_it_has_the_parameters_of_the_paper(batch_norm: bool) -> None:
    assert comparing.parameters(PoolNet(num_classes=6, batch_norm=batch_norm)) == COUNTS[batch_norm]


def test_it_is_a_network() -> None:
    comparing.assert_is_a_network(TINY, outputs=1)


@pytest.mark.parametrize("batch_norm", COUNTS)
def test_it_agrees_with_pytorch(batch_norm: bool) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch_poolnet

    model, net = TINY.clone(batch_norm=batch_norm), torch_poolnet.PoolNet(4, batch_norm, **BACKBONE)
    names = torch_poolnet.names(BACKBONE["stage_sizes"])
    comparing.assert_agrees(model, net, names, folds=batch_norm)
    if batch_norm:
        comparing.assert_trains_alike(model, net, names)


@pytest.mark.parametrize("batch_norm", COUNTS)
def test_the_full_size_has_as_many_parameters_in_pytorch(batch_norm: bool) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch_poolnet

    with torch.device("meta"):
        assert sum(p.numel() for p in torch_poolnet.PoolNet(norm=batch_norm).parameters()) == COUNTS[batch_norm]
