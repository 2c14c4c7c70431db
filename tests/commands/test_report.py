"""`dms-jax report`: what belongs together, and where the page goes."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dms_jax.cli import main


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--workdir", "w", "--masks", "m"], "--masks has no meaning beside --workdir: leave it out."),
        (["--predictions", "p", "--split", "test"], "--split has no meaning beside --predictions: leave it out."),
        (["--predictions", "p", "--data-dir", "d"], "--data-dir has no meaning beside --predictions: leave it out."),
        (["--workdir", "w", "--mask-values", "1"], "--mask-values has no meaning beside --workdir: leave it out."),
        (["--predictions", "p", "--mask-values", "1"], "--mask-values says how --masks are read: give them too."),
        (["--predictions", "p", "--masks", "m", "--mask-values", "x"], "mask_values 'x' is not understood at 'x'"),
        (["--workdir", "w", "--output", "."], "--output=. is a folder: name a file, such as report.html."),
        ([], "one of the arguments --workdir --predictions is required"),
    ],
)
def test_wrong_usage(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", *flags]) == 2
    assert said in capsys.readouterr().err


def test_no_run_is_a_failure_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--workdir", str(tmp_path)]) == 1
    assert "holds no run" in capsys.readouterr().err


@pytest.mark.parametrize("named", [True, False])
def test_predictions_to_a_page(named: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "maps").mkdir()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "maps" / "a.png")
    settings = {"class_names": [], "free_class": None, "threshold": 9, "note": "given", "gates": False}
    settings |= {"value_range": None, "model": {"run": "mine"}}
    (tmp_path / "predictions.json").write_text(json.dumps(settings))
    record = {"file": "a.png", "name": "a", "class": None, "probabilities": {}, "score": 0.0, "area": 0.0, "boxes": []}
    bad = {"file": "b.png", "name": "b", "error": "b.png is empty."}
    (tmp_path / "predictions.jsonl").write_text(f"{json.dumps(record)}\n{json.dumps(bad)}\n")
    page = tmp_path / ("new/page.html" if named else "report.html")
    flags = ["--output", str(page)] if named else []
    assert main(["report", "--predictions", str(tmp_path), *flags]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{page} (0.0 MB): open it in a browser.")
    assert shown.err == "dms-jax: Not predicted: b.png is empty.\n"
    assert "nothing found <b>1</b>" in page.read_text()
