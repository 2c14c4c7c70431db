"""The networks of the comparison by `train.py`'s own machinery: small, on drawn defects."""

import json
from pathlib import Path

import pytest

from configs import compare
from dms_jax.cli import main
from dms_jax.commands.train import launch
from dms_jax.comparison.deep import DEEP_NETWORKS
from dms_jax.errors import UsageError
from dms_jax.runs.config.build import build_model
from dms_jax.runs.config.checks import check

# ml_collections reads configuration files in a way that Python will drop one day.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


def test_unet_is_trained_tested_predicted_and_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
        config = compare.get_config(f"method={method},size={size},recipe=adamw,loss={loss}")
        check(config)
        model = build_model(config, 3, "data", saliency_prior=0.03)
        assert isinstance(model, DEEP_NETWORKS[method])
        assert (model.saliency_prior, model.axis_name) == (0.03, "data")
        # The recipe's own term is for all, or for none.
        assert (config.loss.iou_weight > 0) == (loss == "shared" or method == "basnet")


def test_what_was_published_without_batch_norm_can_do_without() -> None:
    for norm in ("", ",norm=batch", ",norm=none"):
        config = compare.get_config(f"method=fcn8s{norm}")
        check(config)
        assert build_model(config, 3).batch_norm == (norm != ",norm=none")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("method=net", "method='net' is unknown; known are unet"),
        ("method=unet,size=lite", "size='lite' is unknown; known are full, small"),
        ("method=unet,backbone=resnet50", "backbone='resnet50' is unknown"),
        ("method=unet,ablation=a", "'ablation' is unknown"),
        ("method=unet,norm=none", "norm='none' is unknown"),
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
