"""The examples of docs/extending.md, as they stand: what is registered from outside of the package trains."""

import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from dms_jax.cli import main
from dms_jax.commands.train import launch
from dms_jax.models import Network, SaliencyOutput
from dms_jax.references import resolve
from dms_jax.runs.config.build import build_model
from dms_jax.runs.config.checks import check
from dms_jax.runs.config.defaults import RECIPES, network_config
from dms_jax.runs.config.own_network import check_own_network
from dms_jax.runs.testing import evaluate_run

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE.read_text(), flags=re.DOTALL))
# ml_collections reads configuration files in a way that Python will drop one day.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mine")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def test_the_page_shows_all_four() -> None:
    assert FILES.keys() == {"my_config.py", "my_network.py", "my_backbone.py", "my_dataset.py", "my_metric.py"}


def test_a_network_a_dataset_and_a_metric_train_and_are_tested(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir = tmp_path / "run"
    overrides = [f"--config.data.data_dir={tmp_path / 'data'}", "--config.dtype=float32"]
    assert launch("", ["train.py", f"--config={folder}/my_config.py", f"--workdir={workdir}", *overrides]) == 0
    shown = capsys.readouterr().out
    assert "TwoStrides on stripes" in shown
    assert re.search(r"^boundary_recall +(0|1)\.\d", shown, flags=re.MULTILINE)
    results = json.loads((workdir / "eval" / "test.json").read_text())
    assert results["images"] == 8
    assert len(results["outputs"]) == 1
    # Bright stripes in noise are learnt in a moment.
    assert results["defective"]["max_f"] > 0.6
    assert 0 <= results["extra"]["boundary_recall"]["defective"] <= 1
    assert "boundary_recall" in (workdir / "eval" / "test.csv").read_text().splitlines()[0]
    description = json.loads((workdir / "run.json").read_text())
    assert (description["class_names"], description["free_class"]) == (["free", "stripe"], "free")
    assert description["plain"]["threshold"] == results["operating_threshold"]["value"]
    # From another folder, the run finds all of it again.
    monkeypatch.chdir(tmp_path)
    assert evaluate_run(workdir).results == results
    assert main(["evaluate", "--workdir", "run"]) == 0


@pytest.mark.parametrize(
    "instead",
    ["x", 'x + self.param(f"positions{i}", nn.initializers.normal(), (1, *x.shape[1:])).astype(x.dtype)'],
    ids=["without statistics", "with a parameter of each place of the image"],
)
def test_a_network_is_averaged_resumed_and_opened_again(instead: str, folder: Path, tmp_path: Path) -> None:
    normalised = "nn.BatchNorm(not train, axis_name=self.axis_name, dtype=self.dtype)(x)"
    assert normalised in FILES["my_network.py"]
    network = tmp_path / "own.py"
    network.write_text(FILES["my_network.py"].replace(normalised, instead))
    workdir = tmp_path / "run"
    command = [
        "train.py",
        f"--config={folder}/my_config.py",
        f"--workdir={workdir}",
        f"--config.model.network={network}:TwoStrides",
        f"--config.data.data_dir={tmp_path / 'data'}",
        "--config.dtype=float32",
        "--config.average_decay=0.9",
        "--config.report=False",
    ]
    assert launch("", [*command, "--config.steps=1"]) == 0
    assert launch("", [*command, "--config.steps=2"]) == 0
    assert evaluate_run(workdir).results == json.loads((workdir / "eval" / "test.json").read_text())


def test_a_network_is_what_the_protocol_says(folder: Path) -> None:
    model = resolve("network", f"{folder}/my_network.py:TwoStrides")(num_classes=3)
    assert isinstance(model, Network)
    output, _ = model.init_with_output(jax.random.key(0), np.zeros((1, 20, 30, 3), np.float32), train=False)
    assert isinstance(output, SaliencyOutput)
    assert output.saliency[0].shape == (1, 20, 30, 1)


def test_a_backbone_trains_under_the_side_outputs(folder: Path, tmp_path: Path) -> None:
    command = [
        "train.py",
        f"--config=configs/sdms.py:dataset=synthetic,size=small,backbone={folder}/my_backbone.py:Plain",
        f"--workdir={tmp_path / 'run'}",
        f"--config.data.data_dir={tmp_path / 'data'}",
        "--config.data.synthetic.images=30",
        "--config.data.synthetic.size=48",
        "--config.data.image_size=32",
        "--config.batch_size=4",
        "--config.steps=1",
        "--config.model.schedule=('HF', 'reset LF')",
    ]
    assert launch("", command) == 0
    parameters = (tmp_path / "run" / "parameters.txt").read_text()
    assert "backbone/Conv_4/kernel" in parameters
    assert "step1/residual" in parameters
    assert "step2/" not in parameters


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_goes_with_a_network_or_a_backbone_of_ones_own(name: str, folder: Path) -> None:
    """Also where it sets what is about our own alone."""
    for field, reference in (("network", "my_network.py:TwoStrides"), ("backbone", "my_backbone.py:Plain")):
        config = network_config("bdms", f"recipe={name}")
        config.model[field] = f"{folder}/{reference}"
        check(config)
        assert isinstance(build_model(config, num_classes=3), Network)


NETWORK_FAULTS = [
    ("*, train: bool)", "*, training: bool)", "takes no train: its __call__ must be (self, images, *, train)"),
    ('return SaliencyOutput((saliency,), (classes,), {"features": x})', "return saliency", "returns a bare array: "),
    (
        'saliency = jax.image.resize(logits, (*images.shape[:3], 1), "bilinear")',
        "saliency = logits",
        "of shapes [[1, 8, 8, 1]] for an",
    ),
    ("num_outputs = 1", "num_outputs = 2", "with num_outputs=2 they must be [[1, 32, 32, 1], [1, 32, 32, 1]]"),
    ("(classes,)", "()", "returns classes of shapes [] for an image and 2 classes: "),
    ("nn.Dense(self.num_classes)", "nn.Dense(1)", "returns classes of shapes [[1, 1]] for"),
]
BACKBONE_FAULTS = [
    ("*, train: bool)", "*, training: bool)", "takes no train: its __call__ must be (self, images, *, train)"),
    (
        "return tuple(maps)",
        "return tuple(maps[1:])",
        "returns 4 maps: it must return five maps at strides of 4, 4, ",
    ),
    ("return tuple(maps)", "return x", "returns a bare array: it must return five maps"),
    ("(7, 7), 4)", "(7, 7), 2)", "returns maps of shapes [[1, 16, 16, 4], [1, 16, 16, 4], [1, 8, 8, 8], "),
    (
        "(1, 2, 2, 2)",
        "(2, 2, 2, 2)",
        "of 32 x 32: it must return five maps at strides of 4, 4, 8, 16 and 32",
    ),
]


@pytest.mark.parametrize(
    ("field", "right", "wrong", "message"),
    [
        *(("network", *fault) for fault in NETWORK_FAULTS),
        *(("backbone", *fault) for fault in BACKBONE_FAULTS),
    ],
)
def test_what_breaks_the_contract_is_named_before_anything_is_written(
    field: str, right: str, wrong: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, name = FILES[f"my_{field}.py"], {"network": "TwoStrides", "backbone": "Plain"}[field]
    assert right in text
    (tmp_path / "mine.py").write_text(text.replace(right, wrong))
    command = [
        "train.py",
        "--config=configs/sdms.py:dataset=synthetic",
        f"--workdir={tmp_path / 'run'}",
        # So few are refused where the dataset is prepared, which comes later.
        "--config.data.synthetic.images=1",
        "--config.data.image_size=32",
        f"--config.model.{field}={tmp_path}/mine.py:{name}",
    ]
    assert launch("", command) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"train.py: config.model.{field}={tmp_path}/mine.py:{name} ")
    assert message in error
    assert error.endswith("(docs/extending.md).\n")
    assert not (tmp_path / "run").exists()


def test_maps_of_a_backbone_may_be_rounded_down(tmp_path: Path) -> None:
    text = FILES["my_backbone.py"].replace("(7, 7), 4)", "(4, 4), 4, 'VALID')")
    assert "VALID" in text
    (tmp_path / "mine.py").write_text(text)
    config = network_config("sdms", "")
    config.model.backbone = f"{tmp_path}/mine.py:Plain"
    config.data.image_size = 47
    check_own_network(config)


def test_a_dataset_is_prepared_by_its_reference(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", "--dataset", f"{folder}/my_dataset.py:Stripes", "--data-dir", str(tmp_path)]) == 0
    assert re.search(r"stripe +12 +4 +4 +20", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("absent.py:Net", r"absent\.py cannot be imported"),
        ("no_such_module:Net", "no_such_module cannot be imported"),
        ("dms_jax.models:Net", "dms_jax.models has no Net"),
    ],
)
def test_what_cannot_be_had_is_named(
    reference: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train.py", "--config=configs/bdms.py", f"--workdir={tmp_path}", f"--config.model.network={reference}"]
    assert launch("", command) == 2
    assert re.search(
        rf"^train\.py: config\.model\.network=\S*{re.escape(reference)}: .*{message}", capsys.readouterr().err
    )


def test_fields_of_our_networks_are_refused_beside_another(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train.py", f"--config={folder}/my_config.py", f"--workdir={tmp_path}", "--config.model.size=lite"]
    assert launch("", command) == 2
    assert "config.model.size='lite' is not for" in capsys.readouterr().err
