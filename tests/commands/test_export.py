"""`dms-jax export`, and `dms-jax evaluate --onnx`, on a run of a tiny network."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from own_network import OwnNetwork
from realistic_variables import realistic_variables
from tiny_network import FIELDS

from configs import quickstart
from dms_jax.checkpoints.manager import Checkpoints
from dms_jax.cli import main
from dms_jax.inference.exported import extras
from dms_jax.inference.exported.jax_program import read_jax_program
from dms_jax.inference.exported.onnx_session import OnnxPredictor
from dms_jax.models.dms import SIZES
from dms_jax.runs import exporting
from dms_jax.runs.config import build, saved
from dms_jax.runs.dataset import digests, open_dataset
from dms_jax.runs.description import RunDescription
from dms_jax.runs.open_run import open_run

TINY = {name: value for name, value in FIELDS.items() if name != "num_classes"}
SIZE = 48


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "small", TINY)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that could have been trained."""
    folder = tmp_path_factory.mktemp("run")
    config = quickstart.get_config()
    config.batch_size = 4
    config.data.data_dir = str(tmp_path_factory.mktemp("data"))
    config.data.image_size = config.data.synthetic.size = SIZE
    config.data.synthetic.images = 40
    dataset = open_dataset(config)
    saved.save(config, folder)
    RunDescription.of(dataset, build.framing_config(config), digests(dataset)).save(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "small", TINY)
        model = build.build_model(config, len(dataset.class_names))
    images = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), np.uint8)
    with Checkpoints(folder) as checkpoints:
        checkpoints.save_best(7, realistic_variables(model, images), 0.5)
    return folder


def export(workdir: Path, output: Path, *flags: str) -> int:
    return main(["export", "--workdir", str(workdir), "--output", str(output), *flags])


def test_an_onnx_file_is_scored_as_the_run_is(workdir: Path, tmp_path: Path, capsys: Any) -> None:
    output = tmp_path / "new" / "model.onnx"
    assert export(workdir, output, "--outputs", "all") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.startswith(f"{output}: ONNX, opset 17, step 7, ")
    assert (
        "images uint8 [B, H, W, 3], RGB; the network was trained on whole images, shrunk or enlarged to 48 x 48"
        in printed.out
    )

    flags = ["evaluate", "--workdir", str(workdir)]
    assert main([*flags, "--onnx", str(output), "--json", str(tmp_path / "exported.json")]) == 0
    printed = capsys.readouterr()
    of_file = printed.out.splitlines()
    assert "other thresholds" not in printed.err
    assert of_file[0] == f"{output}, in the place of the run's network:"
    assert not (workdir / "eval").exists()
    assert main([*flags, "--json", str(tmp_path / "run.json")]) == 0
    of_run = capsys.readouterr().out.splitlines()
    assert len(of_file) == len(of_run) + 1
    exported, run = (saved_json(tmp_path / f"{name}.json") for name in ("exported", "run"))
    assert exported.pop("file") == str(output)
    assert exported.keys() == run.keys()
    for metric in ("mae", "max_f", "accuracy", "pixel_ap"):
        assert exported[metric] == pytest.approx(run[metric], abs=1e-4), metric
    assert len(exported["outputs"]) == 6
    # Now the run is tested, as the file does not know: it could as well be another run's.
    assert main([*flags, "--onnx", str(output)]) == 0
    assert f"{output} has other thresholds than the run in {workdir}: " in capsys.readouterr().err


def saved_json(path: Path) -> Any:
    return json.loads(path.read_text())


def test_int8_says_what_it_costs(workdir: Path, tmp_path: Path, capsys: Any) -> None:
    quantized = tmp_path / "int8.onnx"
    assert export(workdir, quantized, "--int8") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "images of validation, maxF of all 0." in printed.out
    model = onnx.load(quantized)
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in model.graph.node}
    assert OnnxPredictor(quantized).metadata.form == "ONNX, opset 17, INT8"


def test_int8_without_a_known_mask_says_so(workdir: Path, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    unknown = {"mae": None, "defective": {"max_f": None}}
    monkeypatch.setattr(exporting, "_metrics", lambda *unused: unknown)
    assert export(workdir, tmp_path / "int8.onnx", "--int8") == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("no mask of the ")


def test_a_file_of_jax_export_knows_the_run(workdir: Path, tmp_path: Path, capsys: Any) -> None:
    assert export(workdir, tmp_path / "model", "--format", "jax") == 0
    assert "six months" in capsys.readouterr().out
    predict, metadata = read_jax_program(tmp_path / "model")
    run = RunDescription.load(workdir)
    assert run is not None
    assert metadata.description == run.model
    saliency, probabilities = predict(np.zeros((3, SIZE, SIZE, 3), np.uint8))
    assert saliency.shape == (3, 1, SIZE, SIZE)
    assert probabilities.shape == (3, 1, 4)


@pytest.mark.parametrize(("flags", "rest"), [((), ""), (("--int8",), ", without --int8")])
def test_of_a_network_that_is_not_ours_the_other_file_is_named(
    flags: tuple[str, ...], rest: str, workdir: Path, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(exporting, "open_run", lambda of: replace(open_run(of), model=OwnNetwork()))
    assert export(workdir, tmp_path / "g.onnx", *flags) == 1
    told = f"export it with --output {tmp_path / 'g.jaxexport'}{rest}.\n"
    assert capsys.readouterr().err.endswith(told)


@pytest.mark.parametrize(
    ("name", "flags", "sentence"),
    [
        ("model", (), "model must end in .jaxexport or .onnx, or --format must say what to write."),
        ("model.onnx", ("--format", "jax"), "--format=jax contradicts "),
        ("model.jaxexport", ("--int8",), "--int8 has no meaning for "),
        ("model.onnx", ("--data-dir", "x"), "--data-dir has no meaning without --int8: leave it out."),
        ("folder.onnx", (), "folder.onnx is a folder: name a file to write to."),
    ],
)
def test_wrong_usage(name: str, flags: tuple[str, ...], sentence: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "folder.onnx").mkdir()
    assert export(tmp_path, tmp_path / name, *flags) == 2
    printed = capsys.readouterr().err
    assert sentence in printed
    assert len(printed.splitlines()) == 1


def test_what_cannot_be_done_is_said(workdir: Path, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    (tmp_path / "x.onnx").write_bytes(b"")
    assert main(["evaluate", "--maps", "x", "--masks", "x", "--onnx", "x"]) == 2
    assert "--onnx has no meaning beside --maps" in capsys.readouterr().err
    assert main(["evaluate", "--workdir", str(workdir), "--onnx", str(tmp_path / "x.onnx")]) == 1
    assert "is no ONNX file" in capsys.readouterr().err
    assert export(tmp_path, tmp_path / "model.onnx") == 1
    capsys.readouterr()
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    for name, sentence in (
        ("model.onnx", "ONNX files need the package onnx, which is not installed: pip install 'dms-jax[onnx]'."),
        ("model.jaxexport", "Files of jax.export need the package flatbuffers, which is not installed: "),
    ):
        assert export(workdir, tmp_path / name) == 1
        assert sentence in capsys.readouterr().err
