"""The table of groups whose images get a wrong name."""

import csv
import itertools
import json
import shutil
from pathlib import Path

import errors_by_tile
import numpy as np
import pytest
from errors_by_tile import ImageResult, rows_of_groups
from finished_runs import save_drawn_run
from PIL import Image

from dms_jax.data.framing import Framing
from dms_jax.runs.config import saved
from dms_jax.runs.dataset import digests, open_dataset
from dms_jax.runs.description import RunDescription

COLUMNS = ("name", "label", "predicted", "defective", "maximum", "mae", "iou")


def image(name: str, label: str, predicted: str, fired: bool = False, iou: float | None = None) -> ImageResult:
    return ImageResult(name, label, predicted, fired, mae=0.25 if fired else 0.0, iou=iou)


def test_a_row_for_each_group_with_a_wrong_name_the_worst_first() -> None:
    group_of = {"a": "tile0", "b": "tile0", "c": "tile1", "d": "tile2", "e": "tile2"}
    results = [
        *(image("a", "crack", "free", True, 0.5), image("b", "crack", "crack", True, 0.7), image("c", "free", "free")),
        *(image("a", "crack", "free", True, 0.5), image("b", "crack", "dent", False, 0.1), image("c", "free", "free")),
        *(image("d", "free", "crack", True), image("e", "dent", "dent", False, 0.0)),
    ]
    assert rows_of_groups(results, group_of) == [
        ["tile0", "2", "crack 2", "3 of 4", "free 2, dent 1", "0.75", "0.1875", "0.450"],
        ["tile2", "2", "free 1, dent 1", "1 of 2", "crack 1", "0.50", "0.1250", "0.000"],
    ]


def test_groups_without_a_defect_have_no_iou() -> None:
    assert rows_of_groups([image("a", "free", "crack")], {"a": "tile"})[0][-1] == ""


def test_an_image_without_a_label_has_no_wrong_name_and_one_without_a_mask_no_error() -> None:
    group_of = {"a": "tile0", "b": "tile0", "c": "tile1"}
    unmasked = ImageResult("a", "crack", "free", fired=False, mae=None, iou=None)
    unlabelled = image("b", "", "free", True, 0.5)
    assert rows_of_groups([unmasked, unlabelled, image("c", "", "crack")], group_of) == [
        ["tile0", "2", "crack 1, no label 1", "1 of 1", "free 1", "0.50", "0.2500", "0.500"]
    ]
    assert rows_of_groups([unmasked], group_of)[0][-2:] == ["", ""]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A tested run on drawn images, of which the first is called by another name."""
    workdir = tmp_path / "run"
    names = save_drawn_run(workdir, tmp_path / "data").names()
    rows = [dict(zip(COLUMNS, (name, "free", "free", 0, 99, 0.5, ""), strict=True)) for name in names]
    rows[0]["predicted"], rows[0]["maximum"] = "blob", 101
    with (workdir / "eval" / "test.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    (workdir / "eval" / "test.json").write_text(json.dumps({"operating_threshold": {"value": 100}}))
    return workdir


def test_of_a_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert errors_by_tile.main([str(run), str(run)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].endswith("| 1 | free 1 | 2 of 2 | blob 2 | 1.00 | 0.5000 |  |")
    assert lines[-1].startswith("2 of ")


def test_a_run_that_is_not_tested_or_is_on_other_images_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = run / "eval" / "test.csv"
    text = table.read_text()
    table.write_text(text.replace(text.splitlines()[1].split(",")[0], "elsewhere.png"))
    assert errors_by_tile.main([str(run)]) == 1
    assert "elsewhere.png is no test image of" in capsys.readouterr().err
    table.unlink()
    assert errors_by_tile.main([str(run)]) == 1
    assert f"{table} is missing: test the run first" in capsys.readouterr().err
    results = run / "eval" / "test.json"
    results.write_text("{")
    assert errors_by_tile.main([str(run)]) == 1
    assert f"{results} is not valid JSON" in capsys.readouterr().err
    results.unlink()
    assert errors_by_tile.main([str(run)]) == 1
    assert f"{results} is missing: test the run first" in capsys.readouterr().err


def test_a_run_tested_on_other_images_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = run / "eval" / "test.json"
    told = json.loads(results.read_text())
    results.write_text(json.dumps(told | {"dataset": "synthetic", "dataset_config": "a", "split": "test"}))
    other = tmp_path / "other"
    shutil.copytree(run, other)
    assert errors_by_tile.main([str(run), str(other)]) == 0
    capsys.readouterr()
    for fields, sentence in (
        ({"dataset_config": "b"}, f"{other} was tested on synthetic b, not on the images of {run}: name runs on one."),
        ({"split": "train"}, f"{other} was tested on images of train: name a run that was tested on test images."),
    ):
        (other / "eval" / "test.json").write_text(json.dumps(json.loads(results.read_text()) | fields))
        assert errors_by_tile.main([str(run), str(other)]) == 1
        assert capsys.readouterr().err == f"errors_by_tile.py: {sentence}\n"
    # The name of a folder's configuration has its path in it.
    for workdir, config in ((run, "b"), (other, "c")):
        folder = told | {"dataset": "folder", "dataset_config": config}
        (workdir / "eval" / "test.json").write_text(json.dumps(folder))
    assert errors_by_tile.main([str(run), str(other)]) == 0


def rewrite(run: Path, **cells: str) -> None:
    """Put other cells into each line of the table of images."""
    table = run / "eval" / "test.csv"
    with table.open(newline="") as file:
        rows = [{**row, **cells} for row in csv.DictReader(file)]
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def test_a_run_without_a_threshold_or_masks(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "eval" / "test.json").write_text(json.dumps({"operating_threshold": {"value": None}}))
    rewrite(run, defective="1", iou="")
    assert errors_by_tile.main([str(run)]) == 0
    assert "| 1 | free 1 | 1 of 1 | blob 1 |  | 0.5000 |  |" in capsys.readouterr().out
    rewrite(run, defective="", mae="")
    assert errors_by_tile.main([str(run)]) == 0
    assert "| 1 | free 1 | 1 of 1 | blob 1 |  |  |  |" in capsys.readouterr().out


@pytest.mark.parametrize("column", ["label", "predicted"])
def test_a_network_without_class_heads_and_images_without_labels(
    column: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(run, **{column: ""})
    assert errors_by_tile.main([str(run)]) == 1
    assert "no image has both a label and a predicted class" in capsys.readouterr().err


def test_a_folder_that_has_changed_since_keeps_the_groups_that_the_run_began_with(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, rng = tmp_path / "mine", np.random.default_rng(0)
    for split, name in itertools.product(("train", "test"), ("free", "crack")):
        (folder / split / name).mkdir(parents=True)
        for i in range(12):
            Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(folder / split / name / f"{i}.png")
    config = saved.load_run(run)
    with config.unlocked():
        config.data.dataset, config.data.manual_dir = "folder", str(folder)
    saved.save(config, run)
    dataset = open_dataset(config)
    RunDescription.of(dataset, Framing("squash", size=32), digests(dataset)).save(run)
    with (run / "eval" / "test.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        for name in dataset.source("test").names():
            row = (name, name.split("/")[-2], "free", "", 0, "", "")
            table.writerow(dict(zip(COLUMNS, row, strict=True)))
    (folder / "test" / "crack" / "0.png").unlink()
    assert errors_by_tile.main([str(run)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "12 of 24 names are wrong, in 12 of 24 groups."


def test_a_folder_that_is_no_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert errors_by_tile.main([str(tmp_path / "none")]) == 1
    told = capsys.readouterr().err
    assert str(tmp_path / "none") in told
    assert "test the run first" not in told
