"""What docs/data.md says of the published masks and labels is what its command measures."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from published_datasets import DATASETS, found_in

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def facts() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dataset_facts", ROOT / "docs" / "dataset_facts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def real(name: str) -> Path:
    if not (DATASETS / name).is_dir():
        pytest.skip(f"needs ../shared/datasets/{name}: the published files")
    return DATASETS / name


def test_mtdd(facts: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts.mtdd, "find_images", lambda root: found_in(root.name))
    found = facts.mtdd_facts(real("mtdd"))
    assert (found["tiles of several classes"], found["their images"]) == (7, 56)
    assert found["their classes"]["MT_Blowhole/853"] == {"blowhole": 1, "fray": 2, "free": 11}
    empty = found["empty masks of defective classes, and the defective shares of their tile's other exposures"]
    assert len(empty) == 4
    assert min(least for least, _ in empty.values()) == pytest.approx(0.046, abs=5e-4)
    assert max(most for _, most in empty.values()) == pytest.approx(0.366, abs=5e-4)
    assert found["masks that are not empty"] == found["of these, with greys between 0 and 255"] == 388
    growth = found["defective pixels at > 0 by those at > 127, mean over images"]
    assert growth == pytest.approx(
        {"blowhole": 1.11, "break": 1.27, "crack": 1.52, "fray": 1.04, "uneven": 1.41}, abs=0.01
    )


def test_neu_seg(facts: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts.neu_seg, "find_images", lambda root: found_in(root.name))
    found = facts.neu_seg_facts(real("neu_seg"))
    assert found["pairs of copies"] == 6788
    assert found["of these, with identical masks"] == pytest.approx(0.769, abs=5e-4)
    assert found["mean IoU of their masks"] == pytest.approx(0.935, abs=5e-4)
    assert found["test images with a copy in training"] == 810
    assert found["mean IoU of their masks with those of the copies"] == pytest.approx(0.920, abs=5e-4)
    assert found["share of them below 0.9"] == pytest.approx(0.298, abs=5e-4)
    assert found["groups with two labels"] == 33


def test_crackforest(facts: ModuleType) -> None:
    found = facts.crackforest_facts(real("crackforest"))
    assert found["files with each value"] == {1: 118, 2: 118, 3: 22, 4: 5}
    assert found["F1 of a mask with itself a pixel aside, mean"] == pytest.approx(0.794, abs=5e-4)
    contrasts = found["the crack is darker than its surroundings by, in their standard deviations, least"]
    assert [stem for _, stem in contrasts] == ["042", "054", "023", "052"]
    assert [value for value, _ in contrasts] == pytest.approx([-0.06, 0.05, 0.53, 0.63], abs=0.02)
    shifts = {stem: by for _, stem, by in found["the mask would be darkest when shifted by (down, right), most"]}
    assert shifts["054"] == (4, -1)
