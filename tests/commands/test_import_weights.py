"""`dms-jax import-weights`, from the file to the first state of a run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")

import torch
from torch_backbones import random_network

from configs import bdms
from dms_jax.cli import main
from dms_jax.models.resnext import BACKBONES
from dms_jax.runs.config import build
from dms_jax.runs.initialization import check_sources

SHALLOW = (1, 1, 1, 1)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "größe.pth"
    torch.save(random_network("torchvision", SHALLOW, 1, 64).state_dict(), path)
    return path


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The named backbones, with a block a stage."""
    for name, fields in BACKBONES.items():
        monkeypatch.setitem(BACKBONES, name, {**fields, "stage_sizes": SHALLOW})


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: Any, exit_code: int = 1) -> str:
        assert main(["import-weights", *map(str, arguments)]) == exit_code
        printed = capsys.readouterr()
        assert printed.out == ""
        [sentence] = printed.err.splitlines()
        return sentence

    return run


@pytest.mark.usefixtures("short")
def test_says_what_was_used_and_left_alone_and_how_to_start(source: Path, tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "new" / "backbone"
    assert main(["import-weights", "--source", str(source), "--output", str(folder)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    used, left, start = printed.out.splitlines()
    assert used == "größe.pth: resnet50 with names of torchvision or timm, 85 tensors used"
    assert left == "left alone: num_batches_tracked (17), fc (2)"
    assert start == f"{folder}: start from it with --config.init.backbone={folder} --config.model.backbone=resnet50"
    config = bdms.get_config("backbone=resnet50")
    config.init.backbone = str(folder)
    check_sources(config, build.build_model(config, num_classes=1))


@pytest.mark.usefixtures("short")
def test_the_configurations_own_backbone_needs_no_name(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "weights.pth"
    torch.save(random_network("lua", SHALLOW, 32, 4).state_dict(), path)
    assert main(["import-weights", "--source", str(path), "--output", str(tmp_path / "b")]) == 0
    used, left, start = capsys.readouterr().out.splitlines()
    assert used == "weights.pth: resnext101_32x4d with names of converted from Lua Torch, 85 tensors used"
    assert left == "left alone: num_batches_tracked (17), 10.1 (2)"
    assert start.endswith(f"--config.init.backbone={tmp_path / 'b'}")


def test_an_empty_folder_is_filled_and_nothing_beside_it_touched(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here.tmp").mkdir()
    (tmp_path / "here.tmp" / "precious").touch()
    monkeypatch.chdir(tmp_path / "here")
    assert main(["import-weights", "--source", str(source), "--output", "."]) == 0
    # Through the current folder: another one in its place would not be seen.
    assert {path.name for path in Path(".").iterdir()} == {"backbone.json", "variables"}
    assert {path.name for path in tmp_path.iterdir()} == {"here", "here.tmp"}
    assert (tmp_path / "here.tmp" / "precious").exists()


def test_a_folder_with_something_in_it(source: Path, tmp_path: Path, fails: Any) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "precious").touch()
    for output in (tmp_path / "b", source):
        assert fails("--source", source, "--output", output) == (
            f"dms-jax: {output} exists already: name another folder, or remove it."
        )
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["precious"]


@pytest.mark.parametrize("content", ["missing", "surplus", "shape", "none"])
def test_what_does_not_fit_is_named_with_the_file_and_leaves_nothing(
    content: str, source: Path, tmp_path: Path, fails: Any
) -> None:
    tensors = torch.load(source, weights_only=True)
    if content == "missing":
        del tensors["bn1.weight"]
    elif content == "surplus":
        tensors["extra.weight"] = torch.zeros(2)
    elif content == "shape":
        tensors["bn1.weight"] = torch.zeros(65)
    else:
        tensors = {"a": torch.from_numpy(np.zeros(2, np.float32))}
    path = tmp_path / "odd.pth"
    torch.save(tensors, path)
    sentence = fails("--source", path, "--output", tmp_path / "b")
    assert sentence.startswith(f"dms-jax: {path}: ")
    if content == "shape":
        assert "bn1.weight of the file is [65], but params/stem_norm/scale takes [64]" in sentence
    assert [path.name for path in tmp_path.iterdir()] == ["odd.pth"]


def test_a_file_that_is_not_there(tmp_path: Path, fails: Any) -> None:
    assert "absent.pth cannot be read" in fails("--source", tmp_path / "absent.pth", "--output", tmp_path / "b")


def test_wrong_usage(tmp_path: Path, capsys: Any) -> None:
    assert main(["import-weights", "--source", str(tmp_path)]) == 2
    assert "--output" in capsys.readouterr().err
