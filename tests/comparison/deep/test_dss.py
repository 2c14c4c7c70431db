import comparing
import pytest

from dms_jax.comparison.deep.dss import DSS

TINY = DSS(num_classes=3, width=1 / 16)
COUNTS = {False: 62_225_505, True: 62_233_313}


@pytest.mark.parametrize("batch_norm", COUNTS)
def test_it_has_the_parameters_of_the_paper(batch_norm: bool) -> None:
    assert comparing.parameters(DSS(num_classes=6, batch_norm=batch_norm)) == COUNTS[batch_norm]


def test_it_is_a_network() -> None:
    comparing.assert_is_a_network(TINY, outputs=7)


@pytest.mark.parametrize("batch_norm", COUNTS)
def test_it_agrees_with_pytorch(batch_norm: bool) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch_dss

    model = TINY.clone(batch_norm=batch_norm)
    comparing.assert_agrees(model, torch_dss.DSS(4, batch_norm), torch_dss.names(), folds=batch_norm)
    if batch_norm:
        comparing.assert_trains_alike(model, torch_dss.DSS(4, batch_norm), torch_dss.names())


@pytest.mark.parametrize("batch_norm", COUNTS)
def test_the_full_size_has_as_many_parameters_in_pytorch(batch_norm: bool) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch_dss

    with torch.device("meta"):
        assert sum(p.numel() for p in torch_dss.DSS(norm=batch_norm).parameters()) == COUNTS[batch_norm]
