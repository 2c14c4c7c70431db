"""The table of differences between runs on the same test images."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import paired_runs
import pytest
from finished_runs import save_drawn_run
from paired_runs import mean_and_interval, read_measures
from scipy import stats

COLUMNS = ("name", "label", "predicted", "defective", "maximum", "mae", "iou", "f1", "weighted_f")


def test_of_groups_of_one_size_the_interval_is_that_of_their_means() -> None:
    differences = np.random.default_rng(3).normal(0.2, 1.0, (7, 5))
    groups = [f"tile{i}" for i in range(7) for _ in range(5)]
    mean, low, high = mean_and_interval(differences.ravel(), groups)
    expected = stats.ttest_1samp(differences.mean(1), 0).confidence_interval(0.95)
    assert (mean, low, high) == pytest.approx((differences.mean(), expected.low, expected.high))


def test_of_images_by_themselves_it_is_that_of_the_images() -> None:
    differences = np.random.default_rng(4).normal(0.2, 1.0, 30)
    _, low, high = mean_and_interval(differences, [str(i) for i in range(30)])
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_groups_of_several_sizes_weigh_by_their_images() -> None:
    mean, low, high = mean_and_interval(np.array([1.0, 1.0, 1.0, 5.0]), ["a", "a", "a", "b"])
    # Both groups are 3 away from their share of the mean of 2; sqrt(2 (9 + 9)) / 4 times Student's 12.706.
    assert (mean, low, high) == pytest.approx((2.0, 2 - 1.5 * 12.7062, 2 + 1.5 * 12.7062), abs=1e-3)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Groups of 1 to 8 images that share most of what they differ by."""
    random, hits = np.random.default_rng(5), 0
    sizes = random.integers(1, 9, 20)
    groups = np.repeat([str(i) for i in range(20)], sizes).tolist()
    for _ in range(1000):
        differences = np.repeat(random.normal(0, 1, 20), sizes) + random.normal(0, 0.3, len(groups))
        _, low, high = mean_and_interval(differences, groups)
        hits += low <= 0 <= high
    assert 910 <= hits <= 975


def test_a_single_group_says_nothing_of_others() -> None:
    assert mean_and_interval(np.array([1.0, 3.0]), ["a", "a"]) == (2.0, -np.inf, np.inf)


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
    first, second = tmp_path / "first", tmp_path / "second"
    source = save_drawn_run(first, tmp_path / "data")
    shutil.copytree(first, second)
    defective = source.defective()
    assert 0 < defective.sum() < len(source)
    for workdir, better in ((first, 0.0), (second, 0.25)):
        rows = []
        for name, is_defective in zip(source.names(), defective, strict=True):
            measured = {"f1": 0.5 + better, "weighted_f": 0.5 + better} if is_defective else {}
            measured["mae"] = 0.5 - better
            rows.append({"name": name, "defective": int(is_defective), "maximum": 100 + 4 * better, **measured})
        write(workdir, rows)
    return first, second


def test_of_two_runs(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    first, second = map(str, runs)
    assert paired_runs.main([first, second]) == 0
    lines = capsys.readouterr().out.splitlines()
    better, fires = "0.250 (+0.250 to +0.250)", "+100.0 (+100.0 to +100.0)"
    lower = "-0.2500 (-0.2500 to -0.2500)"
    assert lines[2] == f"| second | {lower} | {lower} | +{better} | +{better} | {fires} |"
    assert lines[-2].endswith(" groups.")


def test_without_a_threshold_nothing_is_told_to_fire(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (runs[1] / "eval" / "test.json").write_text(json.dumps({"operating_threshold": {"value": None}}))
    assert paired_runs.main([str(runs[0]), str(runs[1])]) == 0
    assert capsys.readouterr().out.splitlines()[2].endswith("|  |")


def test_an_image_without_a_mask_has_no_measures(tmp_path: Path) -> None:
    write(tmp_path, [{"name": "a", "label": "crack", "defective": "", "maximum": 255}])
    assert read_measures(tmp_path, 100) == {"a": {}}


def test_runs_on_other_images_are_refused(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    table = runs[1] / "eval" / "test.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:-1]) + "\n")
    assert paired_runs.main([str(runs[0]), str(runs[1])]) == 1
    assert capsys.readouterr().err == (
        f"paired_runs.py: {runs[1]} was tested on other images than {runs[0]}: name runs on the same.\n"
    )
    table.write_text(table.read_text().replace("weighted_f", "other"))
    assert paired_runs.main([str(runs[0]), str(runs[1])]) == 1
    assert f"{table} lacks the column weighted_f: test the run again" in capsys.readouterr().err
    table.unlink()
    assert paired_runs.main([str(runs[0]), str(runs[1])]) == 1
    assert f"{table} is missing: test the run first" in capsys.readouterr().err
