"""Results that are kept, and the tables and the chart that are made of them."""

import json
import shlex
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import keep_results
import pytest
import results_tables
from learning_curves import Curve, chart

ROOT = Path(__file__).parents[1]
SVG = "{http://www.w3.org/2000/svg}"


def measures(value: float) -> dict[str, Any]:
    own = {"mae": value / 100, "max_f": value, "iou": value, "f1": value, "pixel_ap": value, "accuracy": value}
    return {**own, "defective": {"mae": value / 50, "max_f": value - 0.1}}


def save_run(folder: Path, seed: int, *, name: str = "", value: float = 0.8, failure: str | None = None) -> Path:
    """What `recipes.py` leaves of a run that is brought home: NAME.json and five files of NAME/."""
    workdir = folder / (name or f"mtdd-tiles-bdms-seed{seed}")
    (workdir / "eval").mkdir(parents=True)
    rates = {key: {"false_alarm_rate": value - 0.5} for key in ("map_maximum", "class_head")}
    results = {
        **{"network": "bdms", "size": "full", "ablation": "", "dataset": "mtdd", "dataset_config": "tiles"},
        **measures(value),
        "per_class": {"free": {"images": 226, "mae": value / 1000, "max_f": None, "fired": 0.25, "accuracy": 1.0}},
        "image_level": {**rates, "gated_maximum": None},
        "gated": None,
        "all_black": {"mae": 0.0237, "max_f": 0.916, "defective": {"mae": 0.1, "max_f": 0.0}},
        "outputs": [measures(value - 0.2), measures(value)],
        "note": "maps of /scratch/maps/all.png, half / half",
    }
    (workdir / "eval" / "test.json").write_text(json.dumps(results))
    (workdir / "config.json").write_text(json.dumps({"seed": seed, "steps": 1000, "batch_size": 16}))
    (workdir / "run.json").write_text(json.dumps({"version": "0.0.9"}))
    lines = [
        {"step": step, "train/loss": 100 / step, "train/images_per_second": None if step == 4 else 450.0 + step % 8}
        for step in range(4, 1001, 4)
    ]
    lines += [{"step": step, "validation/mae": 0.1, "validation/defective/max_f": step / 2000} for step in (500, 1000)]
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = {
        "arguments": [
            *("--config=/home/me/configs/bdms.py:recipe=scratch,split=tiles", "--config.augment.scale=(0.5, 1.5)"),
            *(
                "--config.data.manual_dir=../data",
                "--config.init.checkpoint=/home/me/runs/neu",
                f"--config.seed={seed}",
            ),
        ],
        "seconds": 390.0 + 12 * seed,
        "commit": "c0ffee",
        "card": {"kind": "NVIDIA H100 80GB HBM3", "count": 1},
        "runs_on_card": 1,
        "versions": {"dms_jax": "0.1.0", "jax": "0.11.2"},
        "results": None if failure else results,
        "failure": failure,
    }
    file = folder / f"{workdir.name}.json"
    file.write_text(json.dumps(record))
    return file


COMMAND = (
    "python train.py --config=bdms:recipe=scratch,split=tiles '--config.augment.scale=(0.5, 1.5)' "
    "--config.data.manual_dir=DIR --config.init.checkpoint=DIR --config.seed=1"
)


def test_a_run_is_kept_with_what_it_was_made_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "kept"
    assert keep_results.main([str(save_run(tmp_path, 1)), "--output", str(output)]) == 0
    file = output / "mtdd-tiles-bdms-seed1.json"
    assert capsys.readouterr().out == f"{file}\n"
    kept = json.loads(file.read_text())
    assert kept["command"] == COMMAND
    assert (kept["commit"], kept["seed"], kept["steps"], kept["seconds"]) == ("c0ffee", 1, 1000, 402.0)
    assert kept["card"] == {"kind": "NVIDIA H100 80GB HBM3", "count": 1}
    assert kept["runs_on_card"] == 1
    assert kept["versions"] == {"dms_jax": "0.1.0", "jax": "0.11.2"}
    assert kept["images_per_second"] == 450
    assert kept["results"]["outputs"] == [measures(0.8 - 0.2), measures(0.8)]
    assert kept["results"]["note"] == "maps of DIR, half / half"
    assert kept["validation"][-1] == {"step": 1000, "mae": 0.1, "defective/max_f": 0.5}
    assert len(kept["training"]) == 84
    assert kept["training"][-1] == {"step": 1000, "loss": 0.1}
    assert str(tmp_path) not in file.read_text()
    assert "/home" not in file.read_text()


def test_a_work_directory_by_itself_needs_to_be_told_its_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = save_run(tmp_path, 0, name="rate2.5")
    file.unlink()
    arguments = [str(tmp_path / "rate2.5"), "--output", str(tmp_path / "kept")]
    assert keep_results.main(arguments) == 1
    assert "rate2.5.json is not there: say what" in capsys.readouterr().err
    arguments += ["--command", "python train.py --config=sdms --workdir=runs/a", "--card", "TPU v5", "--seconds", "60"]
    assert keep_results.main([*arguments, "--as", "mine"]) == 0
    kept = json.loads((tmp_path / "kept" / "mine.json").read_text())
    assert kept["command"] == "python train.py --config=sdms --workdir=DIR"
    assert (kept["card"], kept["seconds"], kept["commit"]) == ({"kind": "TPU v5", "count": None}, 60.0, None)
    assert kept["runs_on_card"] is None
    assert kept["versions"] == {"dms_jax": "0.0.9", "jax": None}


def test_neither_failures_nor_other_commands_replace_what_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, first = tmp_path / "kept", save_run(tmp_path, 0)
    bad = save_run(tmp_path, 0, name="bad", failure="out of memory")
    assert keep_results.main([str(bad), str(first), "--output", str(output)]) == 1
    assert "bad.json is of a run that failed: out of memory" in capsys.readouterr().err
    assert [file.name for file in output.iterdir()] == [first.name]
    again = [str(first), "--output", str(output), "--commit", "decaf"]
    assert keep_results.main(again) == 0
    assert json.loads((output / first.name).read_text())["commit"] == "decaf"
    assert keep_results.main([*again, "--command", "python train.py --config=sdms"]) == 1
    assert "is of another command" in capsys.readouterr().err
    assert keep_results.main([*again, "--command", "python train.py --config=sdms", "--replace"]) == 0


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Two seeds of one run, and another run."""
    files = [save_run(tmp_path, 0, value=0.8), save_run(tmp_path, 1, value=0.9), save_run(tmp_path, 7, name="other")]
    keep_results.main([*map(str, files), "--output", str(tmp_path / "kept")])
    return tmp_path / "kept"


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in text.splitlines() if "|" in line]


def test_seeds_are_averaged(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    results_tables.main(["--results", str(kept)])
    header, _, both, other = rows(capsys.readouterr().out)
    assert len(header) == len(both) == len(other)
    own = dict(zip(header, both, strict=True))
    assert list(own.values())[:6] == ["mtdd-tiles-bdms", "mtdd", "tiles", "BDMS", "scratch", "0, 1"]
    assert own["MAE"] == "0.00850 ± 0.00050"
    assert own["maxF, defective"] == "0.7500 ± 0.0500"
    assert own["normal images that fire: map"] == own["head"] == "0.350 ± 0.050"
    # No gated maps were measured.
    assert own["gated map"] == ""
    assert (own["minutes"], own["images/s"]) == ("6.6 ± 0.1", "450")
    assert own["card"] == "1 x NVIDIA H100 80GB HBM3"
    assert dict(zip(header, other, strict=True))["maxF"] == "0.8000"


def test_what_a_run_took_that_shared_its_card_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = ["--output", str(tmp_path / "kept")]
    assert keep_results.main([str(save_run(tmp_path, 1)), "--runs-on-card", "2", *output]) == 0
    capsys.readouterr()
    results_tables.main(["--results", str(tmp_path / "kept")])
    header, _, row = rows(capsys.readouterr().out)
    own = dict(zip(header, row, strict=True))
    assert (own["minutes"], own["images/s"], own["maxF"]) == ("", "", "0.8000")


def test_networks_stand_beside_table_4_of_the_paper_on_its_split_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_results.main([str(save_run(tmp_path, 1)), "--output", str(tmp_path / "kept")])
    tiles = json.loads((tmp_path / "kept" / "mtdd-tiles-bdms-seed1.json").read_text())
    for network in ("bdms", "fcn8s", "mine.py:network"):
        results = {**tiles["results"], "dataset_config": "paper", "network": network}
        file = tmp_path / "kept" / f"paper-{network.partition('.')[0]}-seed1.json"
        file.write_text(json.dumps({**tiles, "results": results}))
    capsys.readouterr()
    results_tables.main(["--table4", "--results", str(tmp_path / "kept")])
    header, _, *table = rows(capsys.readouterr().out)
    assert {len(row) for row in table} == {len(header)}
    published = {(row[1], row[2]): row[-2:] for row in table}
    assert published == {
        ("paper", "BDMS"): ["0.0082", "0.934"],
        ("paper", "FCN-8s"): ["0.0532", "0.898"],
        ("paper", "network"): ["", ""],
        ("tiles", "BDMS"): ["", ""],
    }
    assert table[0][header.index("maxF, defective")] == "0.7000"


def test_tables_of_outputs_and_classes(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    results_tables.main(["other", "--outputs", "--classes", "--results", str(kept)])
    table = rows(capsys.readouterr().out)
    assert [row[0] for row in table] == [
        "output",
        "---",
        "0",
        "1 (final)",
        "gated",
        "all black",
        "images of",
        "---",
        "free",
    ]
    assert table[2][1:5] == ["0.00600", "0.60000", "0.01200", "0.50000"]
    assert table[5][1:5] == ["0.02370", "0.91600", "0.10000", "0.00000"]
    assert table[8][1:] == ["226", "0.00080", "", "", "", "1.000", "0.250"]
    results_tables.main(["mtdd-tiles-bdms", "--classes", "--results", str(kept)])
    assert rows(capsys.readouterr().out)[2][1:3] == ["226", "0.00085 ± 0.00005"]


def test_runs_that_are_no_seeds_of_one_are_refused(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        results_tables.main(["none", "--results", str(kept)])
    assert "there is no none: the runs are mtdd-tiles-bdms-seed0," in capsys.readouterr().err
    runs = results_tables.runs_in(kept)
    changed = {**runs["other"], "command": runs["other"]["command"].replace("tiles", "paper")}
    with pytest.raises(ValueError, match="differ in more than their seed"):
        results_tables.by_seeds({"a-seed0": runs["other"], "a-seed1": changed})
    with pytest.raises(ValueError, match="same seed"):
        results_tables.by_seeds({"a-seed0": runs["other"], "a-seed1": runs["other"]})


@pytest.mark.parametrize(
    ("command", "recipe"),
    [
        ("python train.py --config=bdms:split=tiles,recipe=adamw", "adamw"),
        ("python train.py --config=configs/sdms.py:ablation=a", "paper"),
        ("python train.py --config=quickstart", "quickstart"),
    ],
)
def test_the_recipe_of_a_command(command: str, recipe: str) -> None:
    assert results_tables.recipe_of(command) == recipe


def test_every_seed_has_a_line_in_the_colour_of_its_run(kept: Path, tmp_path: Path) -> None:
    results_tables.main(["--chart", str(tmp_path / "curves.svg"), "--results", str(kept)])
    svg = ElementTree.parse(tmp_path / "curves.svg").getroot()
    lines = [path for path in svg.iter(f"{SVG}path") if path.get("fill") == "none"]
    first, second, other = (path.get("stroke") for path in lines)
    assert first == second != other
    texts = [text.text for text in svg.iter(f"{SVG}text")]
    assert texts[-2:] == ["mtdd-tiles-bdms", "other"]
    assert [text for text in texts if text and text.isdigit()] == ["0", "200", "400", "600", "800", "1000"]
    # maxF 0.25 at step 500, 0.5 at the last one: halfway across, and at the right end halfway up.
    (x1, y1), (x2, y2) = (map(float, point.split()) for point in (lines[0].get("d") or "").strip("M").split("L"))
    left, right = 60.0, 720 - 16.0
    assert (x1, x2) == (pytest.approx((left + right) / 2, abs=0.1), pytest.approx(right, abs=0.1))
    assert (y1, y2) == (pytest.approx(332 - 318 / 4, abs=0.1), pytest.approx(332 - 318 / 2, abs=0.1))


def test_nothing_is_drawn_of_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(SystemExit):
        results_tables.main(["--chart", str(tmp_path / "curves.svg"), "--results", str(tmp_path / "none")])
    assert "nothing to draw" in capsys.readouterr().err
    assert not (tmp_path / "curves.svg").exists()


def test_names_are_escaped() -> None:
    assert "a &lt; b" in chart([Curve("a < b", [[(1, 0.5)]])], "x", "y")


def test_all_that_is_kept_can_be_shown() -> None:
    runs = results_tables.runs_in(results_tables.RESULTS)
    groups = results_tables.by_seeds(runs)
    assert len(rows(results_tables.runs_table(groups))) == len(groups) + 2
    for name, run in runs.items():
        assert keep_results.portable(run) == run, name
        assert keep_results.command_of(shlex.split(run["command"])) == run["command"]
        results_tables.outputs_table([run])
        results_tables.classes_table([run])


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ("train.py --workdir='/home/me/a b' --steps=3", "train.py --workdir=DIR --steps=3"),
        ("train.py --workdir 'my runs/a b' --seed=3", "train.py --workdir DIR --seed=3"),
        ("train.py --config '/home/me/a b/sdms.py:split=tiles'", "train.py --config sdms:split=tiles"),
        ("'~me/a b/python' 'file:///home/a b/x' --config.init.backbone='~/a b'", "DIR DIR --config.init.backbone=DIR"),
    ],
)
def test_no_part_of_a_path_is_left_in_a_command(command: str, kept: str) -> None:
    assert keep_results.command_of(shlex.split(command)) == kept


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (".json", "[1]", "has no keys"),
        (".json", "{", "is no JSON"),
        (".json", '{"seed": 1}', "has no arguments"),
        (".json", '{"arguments": [], "card": "H100"}', "has a card that is not"),
        ("/config.json", "[]", "has no keys"),
        ("/config.json", "{}", "has no seed, steps, batch_size"),
        ("/config.json", None, "is not there"),
        ("/metrics.jsonl", "[1]\n[2]\n", "line 1: not a JSON object"),
        ("/metrics.jsonl", None, "cannot be read"),
        ("/eval/test.json", None, "name a run that is finished and tested"),
        ("/eval/test.json", "[]", "has no keys"),
    ],
)
def test_what_is_damaged_or_missing_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str | None, message: str
) -> None:
    run = save_run(tmp_path, 0, name="a run")
    file = tmp_path / f"a run{name}"
    file.unlink()
    if text is not None:
        file.write_text(text)
    assert keep_results.main([str(run), "--output", str(tmp_path / "kept")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"keep_results.py: {file}")
    assert message in line
    assert not (tmp_path / "kept").exists()


def test_two_runs_of_one_name_do_not_become_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        runs.append(str(save_run(tmp_path / folder, 0)))
    with pytest.raises(SystemExit, match="2"):
        keep_results.main([*runs, "--output", str(tmp_path / "kept")])
    assert "would be one file" in capsys.readouterr().err
    assert not (tmp_path / "kept").exists()
    # A pattern names both of what there is of a run.
    assert keep_results.main([runs[0], runs[0].removesuffix(".json"), "--output", str(tmp_path / "kept")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_work_directory_that_one_is_in_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_run(tmp_path, 0, name="mine")
    monkeypatch.chdir(tmp_path / "mine")
    assert keep_results.main([".", "--output", str(tmp_path / "kept")]) == 0
    assert (tmp_path / "kept" / "mine.json").exists()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"command": "x"}', b"\xff"])
def test_a_file_that_is_no_kept_run_is_named(kept: Path, capsys: pytest.CaptureFixture[str], text: str | bytes) -> None:
    (kept / "bad.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SystemExit, match="2"):
        results_tables.main(["--results", str(kept)])
    assert f"{kept / 'bad.json'} " in capsys.readouterr().err


def test_what_a_table_lacks_is_named(kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = kept / "other.json"
    run = json.loads(file.read_text())
    del run["results"]["outputs"]
    file.write_text(json.dumps(run))
    for arguments, message in (
        (["--outputs"], "other has no outputs"),
        (["--chart", str(tmp_path / "none" / "x.svg")], "x.svg"),
        (["--results", str(tmp_path / "none")], "is not a folder"),
    ):
        with pytest.raises(SystemExit, match="2"):
            results_tables.main(["--results", str(kept), *arguments])
        assert message in capsys.readouterr().err
