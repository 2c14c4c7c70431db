"""The examples of the README and of docs/network.md run as they stand, but for the size of the network."""

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/network.md")
EXAMPLES = re.findall(r"```python\n(.*?)```", "".join((ROOT / page).read_text() for page in PAGES), flags=re.DOTALL)
NARROW = "stage_sizes=(1, 1, 1, 1), groups=1, width_per_group=64, base_channels=8, side_channels=8, residual_channels=4"


def test_the_pages_have_examples() -> None:
    assert len(EXAMPLES) == 4


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_runs(example: str) -> None:
    example = re.sub(r"(B?DMS)\(num_classes=6", rf"\1(num_classes=6, {NARROW}", example)
    example = example.replace("300, 300", "48, 48").replace("75, 75, ", "12, 12, ").replace("38, 38, 256", "6, 6, 8")
    example = example.replace("12, 12, 256", "12, 12, 8")
    names: dict[str, Any] = {}
    exec(example, names)
    assert "model" in names or names["output"].saliency.shape == (1, 12, 12, 1)


def test_what_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text())
    assert len(links) > 8
    assert all((ROOT / link).exists() for link in links)
