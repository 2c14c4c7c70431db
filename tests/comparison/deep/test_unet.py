import comparing
import pytest

from dms_jax.comparison.deep.unet import UNet

TINY = UNet(num_classes=3, width=1 / 16)


def test_it_has_the_parameters_of_the_paper() -> None:
    assert comparing.parameters(UNet(num_classes=6)) == 31_037_633


def test_it_is_a_network() -> None:
    comparing.assert_is_a_network(TINY, outputs=1)


def test_it_agrees_with_pytorch() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch_unet

    comparing.assert_agrees(TINY, torch_unet.UNet(4), torch_unet.names())
    comparing.assert_trains_alike(TINY, torch_unet.UNet(4), torch_unet.names(), gradients=True)


def test_the_full_size_has_as_many_parameters_in_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch_unet

    with torch.device("meta"):
        assert sum(p.numel() for p in torch_unet.UNet().parameters()) == 31_037_633


def test_a_width_is_positive() -> None:
    with pytest.raises(ValueError, match=r"width=0\.0 must be positive"):
        UNet(num_classes=3, width=0.0)
