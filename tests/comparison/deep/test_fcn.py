import comparing
import pytest

from dms_jax.comparison.deep.fcn import FCN8s

TINY = FCN8s(num_classes=3, width=1 / 16, batch_norm=False)


@pytest.mark.parametrize(("batch_norm", "expected"), [(False, 134_265_411), (True, 134_277_827)])
def test_it_has_the_parameters_of_the_paper(batch_norm: bool, expected: int) -> None:
    assert comparing.parameters(FCN8s(num_classes=6, batch_norm=batch_norm)) == expected


def test_it_is_a_network() -> None:
    comparing.assert_is_a_network(TINY, outputs=1)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_it_agrees_with_pytorch(batch_norm: bool) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch_fcn

    model = TINY.clone(batch_norm=batch_norm)
    comparing.assert_agrees(model, torch_fcn.FCN8s(4, batch_norm), torch_fcn.names(), folds=batch_norm)
    if batch_norm:
        comparing.assert_trains_alike(model, torch_fcn.FCN8s(4, batch_norm), torch_fcn.names(), gradients=True)


@pytest.mark.parametrize(("batch_norm", "expected"), [(False, 134_265_411), (True, 134_277_827)])
def test_the_full_size_has_as_many_parameters_in_pytorch(batch_norm: bool, expected: int) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch_fcn

    with torch.device("meta"):
        assert sum(p.numel() for p in torch_fcn.FCN8s(norm=batch_norm).parameters()) == expected
