"""The examples of the README and of two pages run as they stand, but for the size of the network."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_run import save_tiny_run

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/network.md", "docs/prediction.md")
EXAMPLES = re.findall(r"```python\n(.*?)```", "".join((ROOT / page).read_text() for page in PAGES), flags=re.DOTALL)
NARROW = "stage_sizes=(1, 1, 1, 1), groups=1, width_per_group=64, base_channels=8, side_channels=8, residual_channels=4"


def test_the_pages_have_examples() -> None:
    assert len(EXAMPLES) == 7


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a run, and an image."""
    folder = tmp_path_factory.mktemp("folder")
    save_tiny_run(folder / "runs" / "mine", folder / "data", tested=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)).save(folder / "image.png")
    return folder


@pytest.mark.parametrize("example", [example for example in EXAMPLES if "Predictor" in example])
def test_example_of_prediction_runs(example: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(example, names)
    assert names["prediction"].map.shape == names["prediction"].mask.shape == (50, 70)


@pytest.mark.parametrize("example", [example for example in EXAMPLES if "Predictor" not in example])
def test_example_runs(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    example = re.sub(r"(B?DMS)\(num_classes=6", rf"\1(num_classes=6, {NARROW}", example)
    example = example.replace("300, 300", "48, 48").replace("75, 75, ", "12, 12, ").replace("38, 38, 256", "6, 6, 8")
    example = example.replace("12, 12, 256", "12, 12, 8")
    names: dict[str, Any] = {}
    exec(example, names)
    assert "model" in names or names["output"].saliency.shape == (1, 12, 12, 1)
    if "optax" in names:
        first, _, last = map(float, capsys.readouterr().out.split())
        assert last < first


def test_what_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text())
    assert len(links) > 8
    assert all((ROOT / link).exists() for link in links)
