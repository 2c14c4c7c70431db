"""The example of bulk prediction with Ray Data gives what the predictor does, where Ray is installed."""

import csv
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_run import save_tiny_run

from dms_jax import Predictor

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'ray[data]' tries its example")
def test_ray_predicts_what_the_predictor_does(tmp_path: Path) -> None:
    save_tiny_run(tmp_path / "run", tmp_path / "data", tested=True)
    images = tmp_path / "images"
    images.mkdir()
    numbers = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(numbers.integers(0, 256, (50, 60 + number, 3), np.uint8)).save(images / f"{number}.png")
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "docs" / "ray_prediction.py"), "--workdir", str(tmp_path / "run")),
            *("--images", str(images), "--output", str(tmp_path / "out"), "--workers", "2", "--batch", "2"),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    rows = [row for path in (tmp_path / "out").glob("*.csv") for row in csv.DictReader(path.read_text().splitlines())]
    found = {Path(row["file"]).name: row for row in rows}
    assert sorted(found) == [f"{number}.png" for number in range(5)]
    predictor = Predictor.load(tmp_path / "run")
    for name, row in found.items():
        prediction = predictor(images / name)
        assert row["class"] == prediction.class_name
        assert float(row["score"]) == pytest.approx(prediction.score, abs=1e-4)
        assert float(row["area"]) == pytest.approx(prediction.area, abs=1e-3)
