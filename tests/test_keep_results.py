"""Results that are kept: what of a run, and what is refused."""

import json
import shlex
from pathlib import Path

import keep_results
import pytest
from finished_runs import measures, save_run

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


def test_names_of_classes_are_no_paths(tmp_path: Path) -> None:
    run = save_run(tmp_path, 0)
    file = run.with_suffix("") / "eval" / "test.json"
    results = json.loads(file.read_text())
    names = ["crack", "crack /open", "of /dev", "/home/me"]
    results |= {
        "per_class": {name: {} for name in names},
        "trained_on": {"without": names},
        "note": "without crack /open. Maps of crack /open/maps, /scratch/crack /open and (of /dev), of /dev/shm",
    }
    file.write_text(json.dumps(results))
    record = json.loads(run.read_text())
    record["arguments"] += ["--config.data.without=crack /open,of /dev", "--config.data.manual_dir", "crack /open"]
    run.write_text(json.dumps(record))
    assert keep_results.main([str(run), "--output", str(tmp_path / "kept")]) == 0
    kept = json.loads((tmp_path / "kept" / run.name).read_text())
    assert list(kept["results"]["per_class"]) == names
    # What begins as a path does is one.
    assert kept["results"]["trained_on"] == {"without": ["crack", "crack /open", "of /dev", "DIR"]}
    assert kept["results"]["note"] == "without crack /open. Maps of crack DIR, DIR DIR and (of /dev), of DIR"
    assert kept["command"].endswith("'--config.data.without=crack /open,of /dev' --config.data.manual_dir DIR")


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


def test_figures_of_what_a_run_learnt_from_are_not_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = save_run(tmp_path, 0)
    file = run.with_suffix("") / "eval" / "test.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "split": "train"}))
    assert keep_results.main([str(run), "--output", str(tmp_path / "kept")]) == 1
    assert "test.json is of images of train: evaluate the run on test" in capsys.readouterr().err


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
