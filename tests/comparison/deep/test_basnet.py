import comparing
import pytest

from dms_jax.comparison.deep.basnet import BASNet

TINY = BASNet(num_classes=3, width=1 / 16)
COUNT = 87_052_680


def test_it_has_the_parameters_of_the_paper() -> None:
    assert comparing.parameters(BASNet(num_classes=6)) == COUNT


def test_it_is_a_network() -> None:
    comparing.assert_is_a_network(TINY, outputs=8)


def test_it_agrees_with_pytorch() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch_basnet

    comparing.assert_agrees(TINY, torch_basnet.BASNet(4), torch_basnet.names())
    comparing.assert_trains_alike(TINY, torch_basnet.BASNet(4), torch_basnet.names())


def test_the_full_size_has_as_many_parameters_in_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch_basnet

    with torch.device("meta"):
        assert sum(p.numel() for p in torch_basnet.BASNet().parameters()) == COUNT
