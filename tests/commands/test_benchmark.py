"""`dms-jax benchmark`, on a run of a tiny network."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_run import SIZE, save_tiny_run

from dms_jax.cli import main
from dms_jax.runs.exporting import export_run

QUICK = ("--batches", "4", "--seconds", "0.001")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    save_tiny_run(folder, tmp_path_factory.mktemp("data"), tested=True)
    return folder


def benchmark(workdir: Path, *flags: str | Path) -> int:
    return main(["benchmark", "--workdir", str(workdir), *QUICK, *map(str, flags)])


def test_the_run_and_its_files_are_timed(workdir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exported = [tmp_path / "model.onnx", tmp_path / "model.jaxexport"]
    export_run(str(workdir), str(exported[0]), "onnx")
    export_run(workdir, exported[1], "jax")
    assert benchmark(workdir, "--exported", *exported, "--json", tmp_path / "times.json") == 0
    timings = json.loads((tmp_path / "times.json").read_text())["timings"]
    assert [timing["what"] for timing in timings][1:] == [*map(str, exported), "files to maps and overlays"]
    assert {timing["batch"] for timing in timings} == {4}
    assert all(timing["milliseconds"] > 0 for timing in timings)
    assert "ms an image" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".onnx", ".jaxexport"])
def test_a_file_of_other_crops_is_refused_before_anything_is_timed(
    suffix: str, workdir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, file = tmp_path / "other", tmp_path / f"model{suffix}"
    save_tiny_run(other, tmp_path / "data", tested=True)
    for name, section in (("run.json", "framing"), ("config.json", "data")):
        fields = json.loads((other / name).read_text())
        fields[section]["size" if section == "framing" else "image_size"] = 64
        (other / name).write_text(json.dumps(fields))
    export_run(other, file, "onnx" if suffix == ".onnx" else "jax")
    assert benchmark(workdir, "--exported", file) == 1
    assert capsys.readouterr().err == (
        f"dms-jax: {file} is not of the run in {workdir}: it sees crops of 64 x 64, and the run of {SIZE} x {SIZE}; "
        "name the run that it was exported from.\n"
    )


def test_what_cannot_be_read_does_not_count(workdir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad, file = tmp_path / "bad.png", tmp_path / "times.json"
    bad.write_bytes(b"")
    assert benchmark(workdir, "--images", bad, "--json", file) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"dms-jax: {bad} ")
    assert not file.exists()
    Image.fromarray(np.zeros((SIZE, SIZE), np.uint8)).save(tmp_path / "good.png")
    assert benchmark(workdir, "--images", tmp_path) == 0


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--batches", "0"), "--batches=0 must be numbers of at least 1, such as 1,16."),
        (("--seconds", "0"), "--seconds=0.0 must be above 0."),
        (("--json", "absent/x.json"), "absent/x.json cannot be written: absent is not a folder."),
        (("--json", "."), ". is a folder: name a file to write to."),
    ],
)
def test_wrong_usage_is_said_before_anything_is_timed(
    flags: tuple[str, ...], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark(tmp_path, *flags) == 2
    assert capsys.readouterr().err == f"dms-jax: {sentence}\n"
