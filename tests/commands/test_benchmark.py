"""`dms-jax benchmark` on a run of a tiny network."""

import json
from pathlib import Path

import pytest
from tiny_run import save_tiny_run

from dms_jax.cli import main


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    save_tiny_run(folder, tmp_path_factory.mktemp("data"), tested=True)
    return folder


def test_the_run_its_exported_files_and_whole_files_are_timed(
    workdir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported = [str(tmp_path / "model.onnx"), str(tmp_path / "model.jaxexport")]
    for file in exported:
        assert main(["export", "--workdir", str(workdir), "--output", file]) == 0
    capsys.readouterr()
    flags = ["--batches", "4,8", "--seconds", "0.05", "--exported", *exported, "--json", str(tmp_path / "times.json")]
    assert main(["benchmark", "--workdir", str(workdir), *flags]) == 0
    timings = json.loads((tmp_path / "times.json").read_text())["timings"]
    runs = [(timing["what"], timing["batch"]) for timing in timings]
    assert [batch for what, batch in runs if what.startswith("the run on 4 x cpu")] == [4, 8]
    assert [run for run in runs if run[0] in exported] == [(file, batch) for file in exported for batch in (4, 8)]
    assert runs[-1] == ("files to maps and overlays", 8)
    for timing in timings:
        assert timing["milliseconds"] > 0
        assert timing["images_per_second"] == pytest.approx(1e3 / timing["milliseconds"])
        assert (timing["first_call"] is None) == timing["what"].startswith("files")
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) == 2 + len(timings)


@pytest.mark.parametrize(
    ("flags", "code", "sentence"),
    [
        (["--batches", "1,no"], 2, "--batches=1,no must be numbers of at least 1, such as 1,16."),
        (["--batches", "0"], 2, "--batches=0 must be numbers"),
        (["--seconds", "0"], 2, "--seconds=0.0 must be above 0."),
        (["--exported", "model.pt"], 1, "model.pt is neither .onnx nor .jaxexport: name a file of dms-jax export."),
        (["--images", "absent"], 1, "absent does not exist: name a file, a folder or a pattern"),
    ],
)
def test_what_makes_no_sense_is_said(
    workdir: Path, flags: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["benchmark", "--workdir", str(workdir), "--batches", "4", "--seconds", "0.01", *flags]) == code
    assert sentence in capsys.readouterr().err
