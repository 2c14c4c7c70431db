import comparing
import pytest

from dms_jax.comparison.deep.r3net import R3Net

BACKBONE = {"stage_sizes": (1, 2, 1, 1), "groups": 2, "width_per_group": 32, "base_channels": 8}
TINY = R3Net(num_classes=3, width=1 / 32, **BACKBONE)
COUNT = 56_152_414


def test_it_has_the_parameters_of_the_paper() -> None:
    assert comparing.parameters(R3Net(num_classes=6)) == COUNT


def test_it_is_a_network() -> None:
    comparing.assert_is_a_network(TINY, outputs=7)


def test_it_agrees_with_pytorch() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch_r3net

    names = torch_r3net.names(BACKBONE["stage_sizes"])
    comparing.assert_agrees(TINY, torch_r3net.R3Net(8, **BACKBONE), names)
    comparing.assert_trains_alike(TINY, torch_r3net.R3Net(8, **BACKBONE), names)


def test_the_full_size_has_as_many_parameters_in_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch_r3net

    with torch.device("meta"):
        assert sum(p.numel() for p in torch_r3net.R3Net().parameters()) == COUNT
