"""`dms-jax predict` on a run of a tiny network: what it prints, its exit codes, and an interruption."""

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_run import save_tiny_run

from dms_jax import Predictor
from dms_jax.cli import main
from dms_jax.data.framing import Framing
from dms_jax.inference.batching import BatchPredictor
from dms_jax.inference.folder.records import RecordFile
from dms_jax.runs import predictor as runs_predictor
from dms_jax.runs.description import OperatingPoint, RunDescription

COUNT = 9

Call = Callable[..., tuple[int, list[str], list[str]]]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as after its test."""
    workdir = tmp_path_factory.mktemp("runs") / "mine"
    save_tiny_run(workdir, tmp_path_factory.mktemp("data"), tested=True)
    return workdir


@pytest.fixture(scope="module")
def network(workdir: Path) -> BatchPredictor:
    return Predictor.load(workdir).batches


@pytest.fixture(autouse=True)
def _compiled_once(network: BatchPredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """All runs here have the same weights, and most of a test's time would go into compiling the network."""
    monkeypatch.setattr(runs_predictor, "batch_predictor", lambda *_, **__: network)


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    Path("in/sub").mkdir(parents=True)
    for number in range(COUNT):
        height, width = random.integers(20, 90, 2)
        image = Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))
        image.save(f"in/{'sub/' * (number % 2)}{number}.png")
    return Path("in")


@pytest.fixture
def call(workdir: Path, images: Path, capfd: pytest.CaptureFixture[str]) -> Call:
    def predict(*flags: Any, output: str = "out", run: Any = workdir, source: str = "in") -> Any:
        code = main(["predict", "--workdir", str(run), "--images", source, "--output", output, *map(str, flags)])
        captured = capfd.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return predict


def table(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: str) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_a_folder_of_images(call: Call, workdir: Path) -> None:
    code, out, err = call()
    assert (code, err) == (0, [])
    assert out[0].startswith(f"{COUNT} images predicted in ")
    assert out[1].startswith("classes: ")
    assert out[2].endswith("(gated map > 60: chosen gated)")
    assert out[3:] == ["maps, overlays and tables are in out"]
    predictor = Predictor.load(workdir)
    rows = table("out/predictions.csv")
    assert len(rows) == COUNT
    for row in rows:
        expected = predictor(row["file"])
        written = np.asarray(Image.open(f"out/maps/{os.path.splitext(os.path.relpath(row['file'], 'in'))[0]}.png"))
        np.testing.assert_allclose(written.astype(int), expected.map, atol=1)
        assert row["class"] == expected.class_name
        assert row["defective"] == str(int(expected.map.max() > 60))
    model = json.loads(Path("out/predictions.json").read_text())["model"]
    assert model == {"run": "mine", "step": 7, "weights": predictor.digest}
    # And again.
    code, out, err = call()
    assert (code, err) == (0, [])
    assert out[0].startswith(f"0 images predicted ({COUNT} more had been predicted before) in ")
    assert out[1:] == ["maps, overlays and tables are in out"]


def test_flags_change_how_answers_are_read(call: Call) -> None:
    assert call("--no-gate", "--no-overlays", output="plain")[1][2:] == [
        f"with a defective pixel: {sum(row['regions'] != '0' for row in table('plain/predictions.csv'))} "
        "(map > 120: chosen plain)",
        "maps and tables are in plain",
    ]
    assert not Path("plain/overlays").exists()
    assert json.loads(Path("plain/predictions.json").read_text())["threshold"] == 120
    call("--max-false-alarms", "0.01", output="few")
    assert json.loads(Path("few/predictions.json").read_text())["threshold"] == 90
    call("--threshold", "0", "--tiles", "40", output="tiles")
    settings = json.loads(Path("tiles/predictions.json").read_text())
    assert (settings["threshold"], settings["note"]) == (0, "given by the user")
    assert settings["framing"] == {"mode": "tiles", "size": 48, "tile": 40, "overlap": 0.25}
    code, out, err = call("--no-gate", output="few")
    assert (code, out) == (1, [])
    assert err == [
        "dms-jax: few holds predictions made otherwise (gates, threshold): choose another --output.",
    ]


def test_tiles_of_another_side_overlap_as_those_of_the_run(call: Call, workdir: Path) -> None:
    shutil.copytree(workdir, "tiled")
    description = RunDescription.load(workdir)
    assert description is not None
    replace(description, framing=Framing("tiles", 48, 24, 0.5)).save(Path("tiled"))
    assert call(run="tiled", output="own")[0] == call("--tiles", 24, run="tiled", output="told")[0] == 0
    assert contents("told/maps") == contents("own/maps")
    # The same command goes on with it.
    assert call("--tiles", 24, run="tiled", output="own")[0] == 0


def test_processes_and_shards_give_the_same(call: Call) -> None:
    call("--workers", 0, output="threads")
    call("--workers", 2, output="processes")
    assert contents("processes") == contents("threads")
    for number in (3, 1, 2):
        assert call("--shard", f"{number}/3", output="shards")[0] == 0
    files = [row["file"] for number in (1, 2, 3) for row in table(f"shards/predictions-{number}-of-3.csv")]
    assert sorted(files) == sorted(row["file"] for row in table("threads/predictions.csv"))
    assert contents("shards/maps").keys() == contents("threads/maps").keys()


def test_bad_files_are_named_and_the_others_are_done(call: Call) -> None:
    good = Path("in/0.png").read_bytes()
    for name in ("0", "2", "4", "6"):
        Path(f"in/{name}.png").write_bytes(b"text")
    code, out, err = call()
    assert code == 1
    assert out[0].startswith(f"{COUNT - 4} images predicted in ")
    (sentence,) = err
    assert sentence.startswith(
        "dms-jax: 4 of 9 images could not be predicted, and are in the table with the reason: in/0.p"
    )
    assert sentence.endswith(" and 1 more.")
    assert sum(bool(row["error"]) for row in table("out/predictions.csv")) == 4
    Path("in/0.png").write_bytes(good)
    code, out, _ = call()
    assert code == 1
    assert out[0].startswith(f"1 images predicted ({COUNT - 4} more")


def test_a_run_without_a_threshold_says_so(call: Call, workdir: Path, tmp_path: Path) -> None:
    shutil.copytree(workdir, "untested")
    description = RunDescription.load(workdir)
    assert description is not None
    replace(description, plain=OperatingPoint(), gated=None).save(Path("untested"))
    code, out, err = call(run="untested")
    assert code == 0
    assert err == ["dms-jax: no masks and no boxes: the run has not been tested yet; give a --threshold."]
    assert not any("defective pixel" in line for line in out)
    assert table("out/predictions.csv")[0]["boxes"] == ""
    for flags, reason in (
        (("--gate",), "its maps cannot be gated yet: the run has not been tested yet"),
        (
            ("--max-false-alarms", 0.1),
            "the run has not been tested yet, and no normal image is known to count false alarms on",
        ),
    ):
        assert call(*flags, run="untested", output="other") == (2, [], [f"dms-jax: untested: {reason}."])
    assert not Path("other").exists()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--threshold", 256), "--threshold=256 must be in 0..255."),
        (
            ("--max-false-alarms", 1),
            "--max-false-alarms=1.0 must be at least 0 and below 1, such as 0.01 (only dms-jax evaluate --workdir ",
        ),
        (("--max-false-alarms", "nan"), "--max-false-alarms=nan must be at least 0 and below 1, such as 0.01."),
        (("--max-false-alarms", 0.1, "--threshold", 3), "--threshold and --max-false-alarms exclude each other: give"),
        (("--tiles", 15), "--tiles=15 must be at least 16."),
        (("--workers", -1), "--workers=-1 must be at least 0."),
        *(((f"--shard={text}",), f"--shard={text} is not I/N") for text in ("0/3", "4/3", "3", "1/0", "a/b", "-1/3")),
    ],
)
def test_wrong_usage(flags: tuple[Any, ...], sentence: str, call: Call) -> None:
    code, out, err = call(*flags)
    assert (code, out, len(err)) == (2, [], 1)
    assert err[0].startswith(f"dms-jax: {sentence}")


def test_masks_among_the_images_are_told(call: Call) -> None:
    Path("in/masks/dent").mkdir(parents=True)
    Path("in/sub/1.png").rename("in/masks/dent/1.png")
    code, _, err = call("--no-overlays")
    assert code == 0
    told = f"dms-jax: 1 of the {COUNT} images lie in folders that are named like those of masks (masks/dent), and are "
    assert [line for line in err if "masks (" in line] == [
        f"{told}predicted like the others: name the folders of the images alone to leave them out."
    ]
    code, _, err = call("--no-overlays", source="in/masks", output="those of masks alone")
    assert (code, [line for line in err if "masks (" in line]) == (0, [])


def test_a_pattern_that_leaves_masks_out_is_named(call: Call) -> None:
    """It keeps the names of images below their folder, which are those of the masks, too."""
    Path("in/masks/sub").mkdir(parents=True)
    for path in Path("in").glob("*.png"):
        path.rename(Path("in", "masks" if path.stem in "012" else "", "sub", f"{path.stem}-.png"))
    code, _, err = call("--no-overlays")
    assert code == 0
    (told,) = (line for line in err if "masks (" in line)
    pattern = str(Path("in", "*", "*"))
    assert told.endswith(f"predicted like the others: give --images '{pattern}' to leave them out.")
    assert call("--no-overlays", source=pattern, output="without")[0] == 0
    names = {path.relative_to("out/maps") for path in Path("out/maps/sub").rglob("*.png")}
    assert {path.relative_to("without/maps") for path in Path("without/maps").rglob("*.png")} == names


def test_what_cannot_be_done_is_a_sentence(call: Call, tmp_path: Path) -> None:
    Path("file").touch()
    assert call(output="file") == (2, [], ["dms-jax: --output=file is a file: name a folder."])
    for options, sentence in (
        ({"output": "file/out"}, "Not a directory"),
        ({"run": tmp_path}, "holds no run"),
        ({"source": "absent"}, "absent does not exist"),
        ({"source": ""}, "one of --images is empty"),
    ):
        code, out, err = call(**options)
        assert (code, out, len(err)) == (1, [], 1), err
        assert sentence in err[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_one_keeps_what_is_done(
    number: signal.Signals, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = RecordFile.append

    def interrupts(self: RecordFile, line: bytes) -> None:
        append(self, line)
        if b"in/2.png" in line:
            signal.raise_signal(number)

    with monkeypatch.context() as patch:
        patch.setattr(RecordFile, "append", interrupts)
        interrupted = call()
    acknowledged = f"dms-jax: {number.name} received: what is under way is finished and saved; again to end at once."
    said = [acknowledged, "dms-jax: interrupted: the same command goes on where it stopped."]
    assert interrupted == (128 + number, [], said)
    assert [row["file"] for row in table("out/predictions.csv")] == ["in/0.png", "in/2.png"]
    assert call()[1][0].startswith(f"{COUNT - 2} images predicted (2 more")
    assert len(table("out/predictions.csv")) == COUNT


@pytest.mark.slow
def test_ctrl_c_at_the_terminal_ends_all_processes(workdir: Path, images: Path) -> None:
    """It is sent to all of them."""
    random = np.random.default_rng(0)
    for index in range(3000):
        Image.fromarray(random.integers(0, 256, (20, 20), np.uint8)).save(f"in/sub/many{index}.png")
    command = [sys.executable, "-c", "import sys; from dms_jax.cli import main; sys.exit(main())", "predict"]
    command += ["--workdir", str(workdir), "--images", "in", "--output", "out", "--workers", "2"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 120
        records = Path("out/predictions.jsonl")
        while not (records.exists() and records.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    acknowledged, sentence = err.splitlines()
    assert acknowledged.startswith("dms-jax: SIGINT received: ")
    assert sentence == "dms-jax: interrupted: the same command goes on where it stopped."
    assert 0 < len(table("out/predictions.csv")) < 3000
    deadline = time.monotonic() + 20
    while running_in(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running_in(process.pid) == []


def running_in(group: int) -> list[str]:
    """The processes of a group that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, own = path.read_text().rpartition(")")[2].split()[:3]
            if int(own) == group and state != "Z":
                found.append(path.parent.name)
    return found
