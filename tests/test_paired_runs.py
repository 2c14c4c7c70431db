"""The table of differences between runs on the same test images."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import paired_runs
import pytest
from paired_runs import mean_and_interval, read_measures

from dms_jax.data.framing import Framing
from dms_jax.runs.config import saved
from dms_jax.runs.config.defaults import default_config
from dms_jax.runs.dataset import digests, open_dataset
from dms_jax.runs.description import RunDescription

COLUMNS = ("name", "label", "predicted", "defective", "maximum", "mae", "iou", "f1", "weighted_f")


def test_the_interval_is_that_of_whole_groups() -> None:
    # Ten exposures of each of two tiles: what is seen is two tiles, of which one is better.
    differences, groups = np.repeat([0.0, 1.0], 10), ["a"] * 10 + ["b"] * 10
    assert mean_and_interval(differences, groups) == (0.5, 0.0, 1.0)
    mean, low, high = mean_and_interval(differences, [str(i) for i in range(20)])
    assert mean == 0.5
    assert 0.2 < low < 0.4 < 0.6 < high < 0.8


def test_the_interval_of_many_equal_groups_is_that_of_the_normal_distribution() -> None:
    differences = np.random.default_rng(3).normal(0.2, 1.0, 400)
    mean, low, high = mean_and_interval(differences, [str(i) for i in range(400)])
    assert mean == pytest.approx(differences.mean())
    error = 1.96 * differences.std() / 20
    assert (low, high) == pytest.approx((mean - error, mean + error), abs=0.1 * error)


def test_groups_of_several_sizes_weigh_by_their_images() -> None:
    mean, low, high = mean_and_interval(np.array([1.0, 1.0, 1.0, 5.0]), ["a", "a", "a", "b"])
    assert (mean, low, high) == (2.0, 1.0, 5.0)


def write(workdir: Path, rows: list[dict[str, object]], threshold: int | None = 100) -> None:
    (workdir / "eval").mkdir(exist_ok=True)
    with (workdir / "eval" / "test.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, restval="")
        table.writeheader()
        table.writerows(rows)
    (workdir / "eval" / "test.json").write_text(json.dumps({"operating_threshold": {"value": threshold}}))


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """Two tested runs; the second is better on the defective images, and fires on all normal ones."""
    config = default_config()
    config.data.dataset, config.data.data_dir = "synthetic", str(tmp_path / "data")
    config.data.synthetic.images, config.data.synthetic.size = 30, 48
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    saved.save(config, first)
    dataset = open_dataset(config)
    RunDescription.of(dataset, Framing("squash", size=32), digests(dataset)).save(first)
    shutil.copytree(first, second)
    source = dataset.source("test")
    defective = source.defective()
    assert 0 < defective.sum() < len(source)
    for workdir, better in ((first, 0.0), (second, 0.25)):
        rows = []
        for name, is_defective in zip(source.names(), defective, strict=True):
            measured = {"mae": 0.5 - better, "f1": 0.5 + better, "weighted_f": 0.5 + better} if is_defective else {}
            rows.append({"name": name, "defective": int(is_defective), "maximum": 100 + 4 * better, **measured})
        write(workdir, rows)
    return first, second


def test_of_two_runs(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    first, second = map(str, runs)
    assert paired_runs.main([first, second]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == (
        "| second | -0.2500 (-0.2500 to -0.2500) | +0.250 (+0.250 to +0.250) | +0.250 (+0.250 to +0.250) "
        "| +100.0 (+100.0 to +100.0) |"
    )
    assert lines[-2].endswith(" groups.")


def test_without_a_threshold_nothing_is_told_to_fire(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (runs[1] / "eval" / "test.json").write_text(json.dumps({"operating_threshold": {"value": None}}))
    assert paired_runs.main([str(runs[0]), str(runs[1])]) == 0
    assert capsys.readouterr().out.splitlines()[2].endswith("|  |")


def test_an_image_without_a_mask_has_no_measures(tmp_path: Path) -> None:
    write(tmp_path, [{"name": "a", "label": "crack", "defective": "", "maximum": 255}])
    assert read_measures(tmp_path) == {}


def test_runs_on_other_images_are_refused(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    table = runs[1] / "eval" / "test.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:-1]) + "\n")
    assert paired_runs.main([str(runs[0]), str(runs[1])]) == 1
    assert capsys.readouterr().err == (
        f"paired_runs.py: {runs[1]} was tested on other images than {runs[0]}: name runs on the same.\n"
    )
    table.unlink()
    assert paired_runs.main([str(runs[0]), str(runs[1])]) == 1
    assert f"{table} is missing: test the run first" in capsys.readouterr().err
