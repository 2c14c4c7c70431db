"""The tables of what runs learnt from."""

import json
from pathlib import Path
from typing import Any

import pytest
import scarcity_tables
from finished_runs import rows

BASE = {"network": "bdms", "size": "small", "ablation": "", "dataset": "mtdd", "dataset_config": "tiles"}


def keep(folder: Path, name: str, seed: int, max_f: float, *without: str, **trained_on: Any) -> None:
    """A kept run on cracks and dents, of which it finds all as well."""
    of_class = {"images": 9, "max_f": max_f, "fired": max_f / 2}
    results = {
        **BASE,
        "trained_on": {"images": 100, "masks": 40, "mask_share": 1.0, "without": list(without), **trained_on},
        "defective": {"mae": max_f / 10, "max_f": max_f},
        "accuracy": 0.75,
        "per_class": {"free": {"images": 30, "max_f": None, "fired": 0.25}, "crack": of_class, "dent": of_class},
        "image_level": {
            "map_maximum": {"false_alarm_rate": 0.25, "auroc": 0.9},
            "class_head": {"false_alarm_rate": 0.5, "auroc": 0.8},
        },
    }
    own = {"command": f"python train.py --config=bdms --config.seed={seed}", "seed": seed, "seconds": 1.0, "card": None}
    (folder / f"{name}-seed{seed}.json").write_text(json.dumps({**own, "results": results, "validation": []}))


def printed(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> list[dict[str, str]]:
    scarcity_tables.main([*arguments, "--results", str(folder)])
    header, _, *body = rows(capsys.readouterr().out)
    # Titles that stand twice, such as "unseen", by their place.
    titles = [f"{title} {header[:i].count(title)}" if title in header[:i] else title for i, title in enumerate(header)]
    return [dict(zip(titles, row, strict=True)) for row in body]


def test_by_images_and_masks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(tmp_path, "all", 0, 0.7)
    keep(tmp_path, "all", 1, 0.8)
    keep(tmp_path, "few", 0, 0.5, masks=4)
    both, few = printed(capsys, tmp_path, "all", "few")
    assert both == {
        **{"images": "100", "masks of defects": "40", "seeds": "0, 1", "MAE, defective": "0.0750 ± 0.0050"},
        **{"maxF, defective": "0.750 ± 0.050", "of crack": "0.75 ± 0.05", "of dent": "0.75 ± 0.05"},
        **{"normal images that fire": "25.0 ± 0.0 %", "accuracy": "75.0 ± 0.0 %"},
        **{"AUROC: map": "0.900 ± 0.000", "head": "0.800 ± 0.000"},
    }
    assert (few["masks of defects"], few["maxF, defective"], few["accuracy"]) == ("4", "0.500", "75.0 %")


def test_by_how_often_masks_are_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(tmp_path, "few", 0, 0.5, masks=4)
    keep(tmp_path, "half", 0, 0.6, masks=4)
    file = tmp_path / "half-seed0.json"
    kept = json.loads(file.read_text())
    kept["command"] += " --config.data.mask_balance=0.5"
    file.write_text(json.dumps(kept))
    title = "with a mask, in a batch"
    assert [row[title] for row in printed(capsys, tmp_path, "few", "half")] == ["as they come", "50 %"]
    assert title not in printed(capsys, tmp_path, "few")[0]


def test_by_the_class_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(tmp_path, "all", 0, 0.75)
    keep(tmp_path, "no-dent", 0, 0.5, "dent")
    nothing, dent = printed(capsys, tmp_path, "all", "no-dent", "--left-out")
    assert (nothing["left out"], nothing["maxF of all defective images"]) == ("nothing", "0.750")
    assert dent == {
        **{"left out": "dent", "its test images": "9", "maxF, seen": "0.750", "unseen": "0.500"},
        **{"images that fire, seen": "37.5 %", "unseen 1": "25.0 %"},
        **{"maxF of all defective images": "0.500", "normal images that fire": "25.0 %"},
    }


def test_runs_that_are_not_what_the_table_is_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(tmp_path, "all", 0, 0.75)
    keep(tmp_path, "no-dent", 0, 0.5, "dent")
    file = tmp_path / "old-seed0.json"
    kept = json.loads((tmp_path / "all-seed0.json").read_text())
    del kept["results"]["trained_on"]
    file.write_text(json.dumps(kept))
    for arguments, sentence in (
        (("no-dent", "all", "--left-out"), "no-dent left out a class: name a run first that learnt from all of them"),
        (("all", "all-seed0", "--left-out"), "all-seed0 left out 0 classes: name runs that left out one"),
        (("all", "--left-out"), "there is nothing beside the first run"),
        (("all", "old"), "old does not say what it learnt from: leave it out"),
        (("all", "none"), "there is no none: of 3 runs, the most alike are"),
    ):
        with pytest.raises(SystemExit, match="2"):
            scarcity_tables.main([*arguments, "--results", str(tmp_path)])
        assert sentence in capsys.readouterr().err
