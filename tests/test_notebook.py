"""docs/quickstart.ipynb runs from top to bottom as it stands, but for the size of the network and the steps."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_network import SIZE

from dms_jax.models.dms import SIZES

CELLS = json.loads((Path(__file__).parents[1] / "docs" / "quickstart.ipynb").read_text())["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]
# As the runs of tests/runs/test_loop.py, whose programs are compiled already.
SHORTER = [
    *("--config.steps=5", "--config.batch_size=4", "--config.data.image_size=48", "--config.data.data_dir=data"),
    *("--config.data.synthetic.images=30", "--config.data.synthetic.size=48"),
]


# Of ml_collections, which loads the configuration.
@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
def test_it_runs_from_top_to_bottom(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    monkeypatch.setitem(SIZES, "small", {**SIZE, "schedule": ("HF", "reset MF")})
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    code = [cell.replace('"--config.steps=1000"', ", ".join(map(repr, SHORTER))) for cell in CODE]
    assert code != CODE
    for cell in code:
        exec(cell, names)
    assert "largest difference from the network" in capsys.readouterr().out
    assert (tmp_path / "runs" / "notebook" / "report.html").exists()
    assert len(names["steps"]) == 2


def test_its_outputs_are_kept_and_name_no_machine() -> None:
    kept = json.dumps([cell.get("outputs") for cell in CELLS])
    assert kept.count("image/jpeg") == 2
    assert "/home" not in kept
    assert "Error" not in kept
