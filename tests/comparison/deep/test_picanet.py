import comparing
import pytest

from dms_jax.comparison.deep.picanet import PiCANet

TINY = PiCANet(num_classes=3, width=1 / 16)
COUNTS = {False: 36_717_281, True: 36_725_409}


@pytest.mark.parametrize("batch_norm", COUNTS)
def test_it_has_the_parameters_of_the_paper(batch_norm: bool) -> None:
    assert comparing.parameters(PiCANet(num_classes=6, batch_norm=batch_norm)) == COUNTS[batch_norm]


def test_it_is_a_network() -> None:
    comparing.assert_is_a_network(TINY, outputs=6)


@pytest.mark.parametrize("batch_norm", COUNTS)
def test_it_agrees_with_pytorch(batch_norm: bool) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch_picanet

    model = TINY.clone(batch_norm=batch_norm)
    comparing.assert_agrees(model, torch_picanet.PiCANet(4, batch_norm), torch_picanet.names(), folds=batch_norm)
    if batch_norm:
        comparing.assert_trains_alike(model, torch_picanet.PiCANet(4, batch_norm), torch_picanet.names())


@pytest.mark.parametrize("batch_norm", COUNTS)
def test_the_full_size_has_as_many_parameters_in_pytorch_but_for_second_biases(batch_norm: bool) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch_picanet

    with torch.device("meta"):
        net = torch_picanet.PiCANet(norm=batch_norm)
    # Of eight LSTMs with four gates of 256 each.
    assert sum(p.numel() for p in net.parameters()) == COUNTS[batch_norm] + 8 * 4 * 256
