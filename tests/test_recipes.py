"""Variants of a configuration that are trained for a table, and what is noted of the code and the card."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import provenance
import pytest
import recipe_table
import recipes

_TRAIN = """
import json, os, pathlib, sys
flags = dict(argument[2:].split("=", 1) for argument in sys.argv[1:])
workdir = pathlib.Path(flags["workdir"])
print("on", os.environ.get("CUDA_VISIBLE_DEVICES"), *sys.argv[1:-1])
print("memory", os.environ.get("XLA_PYTHON_CLIENT_MEM_FRACTION"))
print("1 device(s): NVIDIA H100 80GB HBM3")
if flags.get("config.batch_size") == "0":
    sys.exit("train.py: config.batch_size=0 is too small.")
(workdir / "eval").mkdir(parents=True)
lines = [{"step": 10 * n, "validation/mae": 0.1 / n, "validation/defective/max_f": 0.2 * n} for n in (1, 2, 3)]
text = "".join(json.dumps(line) + "\\n" for line in [{"step": 5, "train/loss": 1.0}, *lines])
(workdir / "metrics.jsonl").write_text(text)
results = {"mae": 0.01, "max_f": 0.9, "defective": {"mae": 0.02, "max_f": 0.8}, "accuracy": None, "best_step": 30}
results["image_level"] = {"map_maximum": {"false_alarm_rate": 0.25}, "class_head": None}
if "seed" in flags.get("config", ""):
    results["gated"] = {"mae": 0.009, "max_f": 0.95, "defective": {"max_f": 0.81}}
(workdir / "eval" / "test.json").write_text(json.dumps(results))
"""


def test_recipes_trains_all_variants_and_prints_a_table_though_one_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train.py").write_text(_TRAIN)
    monkeypatch.setattr(recipes, "ROOT", tmp_path)
    monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION", raising=False)
    output = tmp_path / "search"
    file = tmp_path / "variants.json"
    file.write_text(json.dumps({"scale": {"augment.scale": [0.5, 1.5]}, "gated": {"config": "bdms:seed"}}))
    command = ["--output", str(output), "--config", "quickstart", "--variants", str(file), "--gpus", "3,5"]
    command += ["--variant", "plain", "--variant", "bad", "batch_size=0", "--set", "steps=30", "--reach", "0.4"]
    command += ["--commit", "c0ffee"]
    assert recipes.main(command) == 1
    table = [line for line in capsys.readouterr().out.splitlines() if line]
    assert len({line.count("|") for line in table[:-1]}) == 1
    rows = {row[1]: row for row in ([cell.strip() for cell in line.split("|")] for line in table[2:-1])}
    assert list(rows) == ["scale", "gated", "plain", "bad"]
    assert rows["plain"][2:-2] == [
        *("0.01000", "0.90000", "0.02000", "0.80000", ""),
        *("", "", "", "0.250", "", ""),
        *("30", "0.03333", "0.60000", "", "20"),
    ]
    assert rows["gated"][7:10] == ["0.00900", "0.95000", "0.81000"]
    assert not any(rows["bad"][2:-3])
    assert table[-1] == "bad failed: train.py: config.batch_size=0 is too small."
    assert "--config=bdms:seed --config.steps=30" in (output / "gated.log").read_text()
    assert (
        "--config=quickstart --config.steps=30 --config.augment.scale=(0.5, 1.5)" in (output / "scale.log").read_text()
    )
    assert {(output / f"{name}.log").read_text()[:4] for name in rows} <= {"on 3", "on 5"}
    plain = json.loads((output / "plain.json").read_text())
    assert plain["results"]["max_f"] == 0.9
    assert (plain["commit"], plain["card"]) == ("c0ffee", {"kind": "NVIDIA H100 80GB HBM3", "count": 1})
    assert plain["runs_on_card"] == 1
    assert "memory None" in (output / "plain.log").read_text()
    assert set(plain["versions"]) == {"dms_jax", "jax"}

    # Again: what is done is not trained once more, what failed is.
    assert recipes.main(command) == 1
    assert (output / "plain.log").read_text().count("on ") == 1
    assert (output / "bad.log").read_text().count("on ") == 2
    capsys.readouterr()
    # What another benchmark wrote there is no run.
    (output / "compare.json").write_text("[]")
    (output / "speed.json").write_text("{}")
    assert recipes.main(["--output", str(output), "--table"]) == 1
    printed = capsys.readouterr().out
    assert "| plain | 0.01000 |" in printed
    assert "compare" not in printed
    assert "speed" not in printed

    # A name stands for one run.
    assert recipes.main(["--output", str(output), "--variant", "plain", "steps=60"]) == 1
    assert "plain.json is of --config=quickstart" in capsys.readouterr().out
    assert json.loads((output / "plain.json").read_text())["results"]["max_f"] == 0.9


@pytest.mark.parametrize(
    ("train", "failure"),
    [
        (
            "print('step 900/3500'); sys.stdout.flush(); os.kill(os.getpid(), 9)",
            "it was ended by SIGKILL, after: step 900/3500",
        ),
        ("os.kill(os.getpid(), 9)", "it was ended by SIGKILL"),
        (
            "print('step 900/3500', flush=True); import faulthandler; faulthandler.enable(); os.kill(os.getpid(), 11)",
            "it was ended by SIGSEGV, after: step 900/3500",
        ),
        ("sys.exit(3)", "it ended with 3"),
    ],
)
def test_a_run_that_could_not_say_why_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], train: str, failure: str
) -> None:
    (tmp_path / "train.py").write_text(f"import os, sys\n{train}\n")
    monkeypatch.setattr(recipes, "ROOT", tmp_path)
    command = ["--output", str(tmp_path / "search"), "--config", "quickstart", "--variant", "plain"]
    assert recipes.main(command) == 1
    assert capsys.readouterr().out.splitlines()[-1] == f"plain failed: {failure}"


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--variant", "a", "steps=1", "--variant", "a", "steps=2"), "two variants are called a"),
        (("--variant", "a", "seed=3", "--seeds", "0,1"), "variant a has a seed of its own beside --seeds"),
        (("--set", "seed=3", "--seeds", "0,1"), "--set has a seed beside --seeds"),
        (("--seeds", "0,1,0"), "--seeds has one of them twice"),
        # It would be the configuration as it is, under the name of another.
        (
            ("--variant", "data.mask_share=0.05"),
            "--variant data.mask_share=0.05 has no name: write --variant NAME data",
        ),
        (("--variant", "a", "steps=1", "steps=2"), "steps is given two values"),
        (("--set", "steps=1", "--set", "steps=2"), "steps is given two values"),
        *(
            (("--variant", name), "cannot be the name of a variant")
            for name in ("../a", ".", "", "a|b", "a\n", "a.json")
        ),
        (("--seeds", "0;1"), "--seeds=0;1 is not whole numbers: write them as 0,1,2"),
    ],
)
def test_what_would_pass_for_another_run_is_refused(flags: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=sentence):
        recipes.main(["--output", str(tmp_path / "search"), *flags])
    assert not (tmp_path / "search").exists()


def test_a_file_with_two_variants_of_one_name_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "variants.json"
    file.write_text('{"a": {"steps": 1}, "a": {"steps": 2}}')
    with pytest.raises(SystemExit, match="--variants has a twice"):
        recipes.main(["--output", str(tmp_path / "search"), "--variants", str(file)])
    assert not (tmp_path / "search").exists()


@pytest.mark.parametrize(
    ("text", "sentence"), [("[1]", "must be like"), ('{"a": 3}', "must be like"), ("{", "cannot be")]
)
def test_a_file_of_something_else_than_variants_is_refused(text: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "variants.json"
    file.write_text(text)
    with pytest.raises(SystemExit, match=rf"--variants=.*variants\.json {sentence}"):
        recipes.main(["--output", str(tmp_path / "search"), "--variants", str(file)])


def test_a_table_of_what_is_not_there_is_refused(tmp_path: Path) -> None:
    file, absent, garbled = tmp_path / "file", tmp_path / "absent", tmp_path / "garbled"
    file.touch()
    garbled.mkdir()
    (garbled / "base.json").write_text("{")
    for folder, sentence in (
        (file, f"--output={file} is no folder"),
        (absent, f"--output={absent} is no folder"),
        (garbled, f"{garbled / 'base.json'} cannot be read"),
    ):
        with pytest.raises(SystemExit, match=re.escape(sentence)):
            recipes.main(["--table", "--output", str(folder)])
    assert not absent.exists()
    with pytest.raises(SystemExit, match="is no folder"):
        recipes.main(["--output", str(file)])


def test_a_failure_is_not_told_with_what_an_earlier_start_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recipes, "ROOT", tmp_path)
    command = ["--output", str(tmp_path / "search"), "--config", "quickstart", "--variant", "plain"]
    told = []
    for train in ("print('1 device(s): NVIDIA H100'); sys.exit('no room')", "sys.exit(3)", "os.kill(os.getpid(), 9)"):
        (tmp_path / "train.py").write_text(f"import os, sys\n{train}\n")
        assert recipes.main(command) == 1
        told.append(capsys.readouterr().out.splitlines()[-1])
    assert told == [f"plain failed: {reason}" for reason in ("no room", "it ended with 3", "it was ended by SIGKILL")]
    card = json.loads((tmp_path / "search" / "plain.json").read_text())["card"]
    assert card == {"kind": "NVIDIA H100", "count": 1}


def test_a_gpu_that_is_named_twice_is_shared_and_its_memory_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train.py").write_text(_TRAIN)
    monkeypatch.setattr(recipes, "ROOT", tmp_path)
    monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION", raising=False)
    output = tmp_path / "search"
    command = ["--output", str(output), "--config", "quickstart", "--seeds", "0,1", "--variant", "plain"]
    assert recipes.main([*command, "--gpus", "3,3"]) == 0
    for seed in (0, 1):
        assert json.loads((output / f"plain-seed{seed}.json").read_text())["runs_on_card"] == 2
        assert "memory 0.45" in (output / f"plain-seed{seed}.log").read_text()

    # One alone, and a share that is given.
    assert recipes.main(["--output", str(output), "--config", "quickstart", "--variant", "one", "--gpus", "3,3"]) == 0
    assert json.loads((output / "one.json").read_text())["runs_on_card"] == 1
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.2")
    command = [*command[:4], "--variant", "a", "--variant", "b", "--variant", "c"]
    assert recipes.main([*command, "--gpus", "0,1,0,1"]) == 0
    for name in "abc":
        assert json.loads((output / f"{name}.json").read_text())["runs_on_card"] == 2
        assert "memory 0.2\n" in (output / f"{name}.log").read_text()


def test_recipes_takes_every_variant_with_every_seed() -> None:
    variants = recipes.variants_of("bdms", {"a": {}, "b": {"steps": 5}}, {"steps": 9, "dtype": "float32"}, [0, 1])
    assert [variant.name for variant in variants] == ["a-seed0", "a-seed1", "b-seed0", "b-seed1"]
    assert variants[3].arguments == (
        *("--config=bdms", "--config.steps=5", "--config.dtype=float32", "--config.seed=1"),
    )
    assert recipes.variants_of("bdms", {"a": {}}, {}, [4])[0].name == "a"


def test_the_validation_is_that_of_the_best_step_where_no_mask_shows_a_defect(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    found = ((10, 0.5), (20, 0.75), (30, 0.25))
    lines = [
        {"step": n, "validation/mae": None, "validation/defective/max_f": None, "validation/accuracy": x}
        for n, x in found
    ]
    (tmp_path / "a" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = {"results": {"best_step": 20}, "failure": None, "seconds": 60}
    header, _, row = (
        [cell.strip() for cell in x.split("|")] for x in recipe_table.table_of({"a": record}, tmp_path).splitlines()
    )
    assert row[header.index("best step") : -2] == ["20", "", "", "0.750"]


def test_the_step_that_reached_a_value() -> None:
    lines = [{"step": 1, "defective/max_f": None}, {"step": 2, "defective/max_f": 0.5}]
    assert recipe_table.step_that_reached(lines, 0.5) == 2
    assert recipe_table.step_that_reached(lines, 0.6) is None


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_of_a_checkout(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True, stdout=subprocess.DEVNULL)

    assert provenance.commit_of(tmp_path) is None
    git("init", "--quiet")
    (tmp_path / "code.py").write_text("a = 1\n")
    git("add", "code.py")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--no-verify", "--message", "first")
    commit = provenance.commit_of(tmp_path)
    assert commit is not None
    assert len(commit) == 40
    (tmp_path / "untracked").mkdir()
    assert provenance.commit_of(tmp_path) == commit
    (tmp_path / "code.py").write_text("a = 2\n")
    assert provenance.commit_of(tmp_path) == f"{commit}-dirty"
    # What lies in somebody else's checkout is not of its commit.
    assert provenance.commit_of(tmp_path / "untracked") is None


def test_the_card_is_that_of_the_last_start() -> None:
    assert provenance.card_in("no line of a run's\n") is None
    log = "1 device(s): TPU v4\nfailed\n8 device(s): TPU v5, TPU v6\n"
    assert provenance.card_in(log) == {"kind": "TPU v5, TPU v6", "count": 8}
