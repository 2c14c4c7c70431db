"""The tables and the chart that are made of kept results."""

import json
import shlex
from pathlib import Path
from xml.etree import ElementTree

import keep_results
import kept_runs
import pytest
import results_tables
from finished_runs import rows, save_run
from learning_curves import Curve, chart

from dms_jax.runs.config.fields import flatten
from dms_jax.runs.config.flags import parse

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Two seeds of one run, and another run."""
    files = [save_run(tmp_path, 0, value=0.8), save_run(tmp_path, 1, value=0.9), save_run(tmp_path, 7, name="other")]
    keep_results.main([*map(str, files), "--output", str(tmp_path / "kept")])
    return tmp_path / "kept"


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # ml_collections, Python 3.11
def test_commands_of_kept_runs_are_still_those_of_different_runs() -> None:
    runs: dict[str, list[str]] = {}
    for name, run in kept_runs.runs_in(kept_runs.RESULTS).items():
        # A recipe may have become another one since.
        fields = flatten(parse(shlex.split(run["command"])[1:], "")[0])
        own = {field: value for field, value in fields.items() if field not in ("log_every", "checkpoint_every")}
        runs.setdefault(repr(sorted(own.items())), []).append(name)
    alike = [names for names in runs.values() if len(names) > 1]
    assert alike == [
        ["mtdd-paper-bdms-reach-sgd-seed0", "mtdd-paper-bdms-sgd-seed0"],
        ["mtdd-tiles-bdms-384-rate40-again-seed0", "mtdd-tiles-bdms-384-rate40-seed0"],
        ["mtdd-tiles-bdms-adamw-again-seed0", "mtdd-tiles-bdms-adamw-seed0"],
    ]


def test_seeds_are_averaged(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    results_tables.main(["--results", str(kept)])
    header, _, both, other = rows(capsys.readouterr().out)
    assert len(header) == len(both) == len(other)
    own = dict(zip(header, both, strict=True))
    assert list(own.values())[:5] == ["mtdd-tiles-bdms", "mtdd", "tiles", "BDMS", "scratch"]
    assert (own["pixels"], own["rate"], own["seeds"]) == ("320", "0.002", "0, 1")
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


def test_seeds_may_differ_in_how_often_they_wrote_something(kept: Path) -> None:
    run = kept_runs.runs_in(kept)["other"]
    program, script, *flags = shlex.split(run["command"])
    often = shlex.join([program, script, "--config.checkpoint_every=9", "--config.log_every=1", *reversed(flags)])
    runs = {"a-seed0": run, "a-seed1": {**run, "seed": 1, "command": often}}
    assert kept_runs.by_seeds(runs) == {"a": list(runs.values())}
    runs["a-seed1"]["command"] += " --config.evaluate_every=9"
    with pytest.raises(ValueError, match="differ in more than their seed"):
        kept_runs.by_seeds(runs)


def test_a_field_and_its_value_may_be_two_words(kept: Path) -> None:
    run = kept_runs.runs_in(kept)["other"]
    runs = {
        f"a-seed{seed}": {**run, "seed": seed, "command": f"python train.py --config bdms --config.seed {seed} --debug"}
        for seed in (0, 1)
    }
    assert kept_runs.by_seeds(runs) == {"a": list(runs.values())}
    command = "python train.py --config bdms --config.data.mask_balance 0.5 --config.deterministic --config.seed -1"
    assert kept_runs.field_of(command, "data.mask_balance") == "0.5"
    assert kept_runs.field_of(command, "seed") == "-1"


def test_runs_that_are_no_seeds_of_one_are_refused(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        results_tables.main(["none", "--results", str(kept)])
    assert "there is no none: of 3 runs, the most alike are " in capsys.readouterr().err
    many = {
        f"{name}-seed{seed}": runs_of_one
        for name, runs_of_one in (("masks5", {}), ("images50", {}))
        for seed in range(9)
    }
    with pytest.raises(ValueError, match=r"of 18 runs, the most alike are (masks5-seed\d, ){4}masks5-seed\d$"):
        kept_runs.by_seeds(many, ["masks5-balanced"])
    runs = kept_runs.runs_in(kept)
    changed = {**runs["other"], "command": runs["other"]["command"].replace("tiles", "paper")}
    with pytest.raises(ValueError, match="differ in more than their seed"):
        kept_runs.by_seeds({"a-seed0": runs["other"], "a-seed1": changed})
    with pytest.raises(ValueError, match="same seed"):
        kept_runs.by_seeds({"a-seed0": runs["other"], "a-seed1": runs["other"]})


def test_a_run_that_has_got_other_seeds_since_is_one_of_them(tmp_path: Path) -> None:
    names = ("base", "base-seed1", "base-seed2")
    files = [save_run(tmp_path, seed, name=name) for seed, name in enumerate(names)]
    keep_results.main([*map(str, files), "--output", str(tmp_path / "kept")])
    runs = kept_runs.runs_in(tmp_path / "kept")
    for asked in ([], ["base"]):
        groups = kept_runs.by_seeds(runs, asked)
        assert {name: sorted(run["seed"] for run in own) for name, own in groups.items()} == {"base": [0, 1, 2]}
    assert kept_runs.by_seeds(runs, ["base-seed1"]) == {"base-seed1": [runs["base-seed1"]]}


def test_runs_of_one_command_whose_recipe_has_changed_in_between_are_no_seeds_of_one(kept: Path) -> None:
    run = kept_runs.runs_in(kept)["other"]
    later = {**run, "seed": 1, "learning_rate": 0.004}
    with pytest.raises(ValueError, match=r"the runs of a differ in learning_rate \(0\.002, 0\.004\), though"):
        kept_runs.by_seeds({"a-seed0": run, "a-seed1": later})
    # Of an earlier version, it is not known.
    assert len(kept_runs.by_seeds({"a-seed0": run, "a-seed1": {**later, "learning_rate": None}})["a"]) == 2


@pytest.mark.parametrize(
    ("command", "recipe"),
    [
        ("python train.py --config=bdms:split=tiles,recipe=adamw", "adamw"),
        ("python train.py --config=configs/sdms.py:ablation=a", "paper"),
        ("python train.py --config=quickstart", "quickstart"),
        ("python train.py --config=compare:method=unet,split=tiles", "paper"),
        ("python train.py --config configs/bdms.py:recipe=scratch --config.seed=1", "scratch"),
    ],
)
def test_the_recipe_of_a_command(command: str, recipe: str) -> None:
    assert kept_runs.recipe_of(command) == recipe


def test_of_runs_that_do_not_say_it_pixels_and_rate_are_those_of_the_command(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in kept.glob("*.json"):
        run = json.loads(file.read_text())
        file.write_text(json.dumps({key: run[key] for key in run if key not in ("image_size", "learning_rate")}))
    capsys.readouterr()
    results_tables.main(["--results", str(kept)])
    header, _, both, _ = rows(capsys.readouterr().out)
    own = dict(zip(header, both, strict=True))
    assert (own["pixels"], own["rate"]) == ("384", "0.004")


@pytest.mark.parametrize(
    ("command", "pixels"),
    [
        ("python train.py --config=bdms:recipe=adamw", "300"),
        ("python train.py --config=bdms:recipe=scratch", "384"),
        ("python train.py --config=bdms:recipe=scratch --config.data.image_size=96", "96"),
        ("python train.py --config=of_ones_own.py --config.data.image_size=96", "96"),
        ("python train.py --config=of_ones_own.py", "None"),
    ],
)
def test_the_field_of_a_command(command: str, pixels: str) -> None:
    assert str(kept_runs.field_of(command, "data.image_size")) == pixels


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
    runs = kept_runs.runs_in(kept_runs.RESULTS)
    groups = kept_runs.by_seeds(runs)
    assert len(rows(results_tables.runs_table(groups))) == len(groups) + 2
    for name, run in runs.items():
        assert keep_results.portable(run) == run, name
        assert keep_results.command_of(shlex.split(run["command"])) == run["command"]
        results_tables.outputs_table([run])
        results_tables.classes_table([run])


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
