"""The networks of the comparison by `train.py`'s own machinery: small, on drawn defects."""

import json
import re
from pathlib import Path

import comparing
import jax
import jax.numpy as jnp
import pytest

from configs import compare
from dms_jax.cli import main
from dms_jax.commands.train import launch
from dms_jax.comparison.deep import DEEP_NETWORKS
from dms_jax.errors import UsageError
from dms_jax.runs.config import build
from dms_jax.runs.config.build import build_model
from dms_jax.runs.config.checks import check
from dms_jax.runtime.devices import DATA_AXIS, data_mesh
from dms_jax.training.optimizer import create_optimizer
from dms_jax.training.state import abstract_state
from dms_jax.training.step import abstract_batch, make_train_step

# ml_collections reads configuration files in a way that Python will drop one day.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


def test_unet_is_trained_tested_predicted_and_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As wide everywhere: Muon's step is compiled for each shape of a kernel, and here are few.
    monkeypatch.setattr(DEEP_NETWORKS["unet"], "channels", lambda self, published: 4)
    workdir = tmp_path / "run"
    command = [
        "train.py",
        "--config=configs/compare.py:method=unet,dataset=synthetic,size=small,recipe=scratch",
        f"--workdir={workdir}",
        f"--config.data.data_dir={tmp_path / 'data'}",
        "--config.data.synthetic.images=40",
        "--config.data.synthetic.size=48",
        "--config.data.image_size=32",
        "--config.batch_size=4",
        "--config.steps=2",
        "--config.evaluate_every=2",
    ]
    assert launch("", command) == 0
    results = json.loads((workdir / "eval" / "test.json").read_text())
    assert (results["network"], results["size"], results["accuracy"]) == ("unet", "small", None)
    assert len(results["outputs"]) == 1
    assert 0 < results["mae"] < 1
    # The prior: 3 % of the pixels are defective, and two steps do not unlearn it.
    assert results["mae"] < 0.3
    assert (workdir / "report.html").exists()
    capsys.readouterr()
    assert launch("", command) == 0
    assert "U-Net small on synthetic" in capsys.readouterr().out
    exported = tmp_path / "unet.jaxexport"
    assert main(["export", "--workdir", str(workdir), "--output", str(exported)]) == 0
    assert main(["export", "--workdir", str(workdir), "--output", str(tmp_path / "unet.onnx")]) == 1
    assert "UNet cannot be written as ONNX, only SDMS and BDMS" in capsys.readouterr().err


@pytest.mark.parametrize("method", DEEP_NETWORKS)
@pytest.mark.parametrize("loss", ["shared", "published"])
def test_every_method_has_a_configuration(method: str, loss: str) -> None:
    for size in ("full", "small"):
        config = compare.get_config(f"method={method},size={size},recipe=scratch,loss={loss}")
        check(config)
        model = build_model(config, 3, "data", saliency_prior=0.03)
        assert isinstance(model, DEEP_NETWORKS[method])
        assert (model.saliency_prior, model.axis_name) == (0.03, "data")
        # The recipe's own term is for all, or for none.
        assert (config.loss.iou_weight > 0) == (loss == "shared" or method == "basnet")


@pytest.mark.parametrize("method", DEEP_NETWORKS)
def test_every_method_can_be_differentiated_on_several_devices(method: str) -> None:
    """The step is traced, and with it what differs between devices checked; nothing is compiled."""
    config = compare.get_config(f"method={method},size=small,loss=published")
    config.batch_size, config.data.image_size = 4, 32
    mesh = data_mesh(jax.devices()[:2])
    model = build.build_model(config, 3, DATA_AXIS)
    optimizer = create_optimizer(build.optimizer_config(config), config.steps)
    step = make_train_step(
        *(model, optimizer, mesh), loss=build.loss_config(config), augment=build.augment_config(config), seed=0
    )
    state = abstract_state(model, optimizer, mesh)
    after = step.eval_shape(state, abstract_batch(4, 32, mesh))
    assert jax.tree.map(jnp.shape, after.params) == jax.tree.map(jnp.shape, state.params)
    assert f"saliency_loss/{model.num_outputs - 1}" in after.metrics


def test_what_was_published_without_batch_norm_can_do_without() -> None:
    for norm in ("", ",norm=batch", ",norm=none"):
        config = compare.get_config(f"method=fcn8s{norm}")
        check(config)
        assert build_model(config, 3).batch_norm == (norm != ",norm=none")


def test_the_page_has_every_method_with_its_parameters() -> None:
    page = (Path(__file__).parents[3] / "docs" / "comparison-networks.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \|(?:[^|]*\|){2}([^|]*\|[^|]*)\|", page, flags=re.MULTILINE))
    found = {name: row.split("|") for name, row in rows.items() if name in DEEP_NETWORKS}
    models = {name: network(num_classes=6) for name, network in DEEP_NETWORKS.items()}
    assert {name: tuple(int(cell.replace(" ", "")) for cell in row) for name, row in found.items()} == {
        name: (model.num_outputs, comparing.parameters(model)) for name, model in models.items()
    }


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("method=net", "method='net' is unknown; known are unet"),
        ("method=unet,size=lite", "size='lite' is unknown; known are full, small"),
        ("method=unet,backbone=resnet50", "backbone='resnet50' is not for this method: leave backbone out"),
        ("method=unet,ablation=a", "'ablation' is unknown"),
        ("method=unet,norm=none", "norm='none' is not for this method: leave norm out"),
        ("method=unet,loss=mine", "loss='mine' is unknown; known are shared, published"),
    ],
)
def test_what_a_method_does_not_have_is_refused(argument: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        compare.get_config(argument)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("size", "lite", "config.model.size='lite' is not for unet: known are full, small"),
        ("backbone", "resnet50", "config.model.backbone='resnet50' is not for unet: known are none"),
        ("ablation", "a", "config.model.ablation='a' is not for unet: leave it out"),
        ("remat", True, "config.model.remat=True is not for unet"),
    ],
)
def test_fields_of_our_networks_are_refused(field: str, value: object, message: str) -> None:
    config = compare.get_config("method=unet")
    config.model[field] = value
    with pytest.raises(UsageError, match=message):
        check(config)
