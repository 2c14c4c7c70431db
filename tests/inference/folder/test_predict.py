"""Folders of predictions, by a network that needs no compilation: bad files, interruptions, shards and processes."""

import contextlib
import csv
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_network import FakeNetwork, WithoutNumbers, are_imported, reading
from PIL import Image

from dms_jax.data.framing import Framing
from dms_jax.errors import UserError
from dms_jax.inference.folder.listing import list_files, take_shard
from dms_jax.inference.folder.predict import FolderSummary, earlier_predictions, predict_files
from dms_jax.inference.folder.workers import WorkerPool, open_pool
from dms_jax.inference.image_predictor import ImagePredictor
from dms_jax.inference.interpretation import Interpretation

COUNT = 23


def save_images(folder: Path, count: int = COUNT, largest: int = 60) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for number in range(count):
        height, width = random.integers(1, largest, 2)
        Image.fromarray(random.integers(0, 256, (height, width), np.uint8)).save(folder / f"{number:04}.png")


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save_images(tmp_path / "in")
    return Path("in")


def predict(
    output: str | Path,
    *sources: str,
    workers: int = 0,
    shard: tuple[int, int] | None = None,
    how: Interpretation | None = None,
    model: str = "mine",
    network: FakeNetwork | None = None,
    **options: Any,
) -> FolderSummary:
    files = list_files(sources or ["in"], earlier_predictions(Path(output)))
    if shard is not None:
        files, options["shard"] = take_shard(files, *shard), f"-{shard[0]}-of-{shard[1]}"
    how = how or reading()
    with open_pool(workers, how.framing.size) as pool:
        return predict_files(
            network or FakeNetwork(),  # type: ignore[arg-type]
            how,
            files,
            Path(output),
            model={"run": model},
            pool=pool,
            **options,
        )


def contents(folder: str | Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def table(path: str | Path) -> list[dict[str, str]]:
    with Path(path).open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def records(path: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


class OfOneClass(FakeNetwork):
    """It names all images alike."""

    def __call__(self, images: Any) -> Any:
        red, _, finite = super().__call__(images)
        return red, np.ones((len(images), 1, 1), np.float32), finite


@pytest.mark.parametrize("classes", [3, 0])
def test_an_image_that_the_network_has_no_numbers_for_is_told(images: Path, classes: int) -> None:
    Image.new("L", (9, 9)).save(images / "black.png")
    summary = predict("out", network=WithoutNumbers(classes=classes))
    (reason,) = summary.failed
    assert reason == (
        "in/black.png cannot be predicted: the network's map or probabilities for it are no numbers (NaN), as where it "
        "divides by 0: mend the network, or train it anew with a lower learning rate."
    )
    assert summary.predicted == COUNT
    assert [row["file"] for row in table("out/predictions.csv") if row["error"]] == ["in/black.png"]
    assert not Path("out/maps/black.png").exists()


def test_of_a_single_class_nothing_is_counted(images: Path) -> None:
    summary = predict("out", how=reading(class_names=("crack",), free_class=None), network=OfOneClass())
    assert (summary.predicted, summary.classes) == (COUNT, {})
    assert {row["class"] for row in table("out/predictions.csv")} == {"crack"}


def test_a_folder_has_what_the_predictor_says(images: Path) -> None:
    progress: list[int] = []
    summary = predict("out", progress=progress.append)
    assert (summary.predicted, summary.earlier, summary.failed) == (COUNT, 0, ())
    assert sum(summary.classes.values()) == sum(progress) == COUNT
    assert list(summary.classes) == ["free", "crack", "stain"]
    rows = table("out/predictions.csv")
    # All of them, however few seconds it took.
    assert [row["file"] for row in rows] == [f"in/{number:04}.png" for number in range(COUNT)]
    predictor = ImagePredictor(FakeNetwork(), reading())  # type: ignore[arg-type]
    for row, record in zip(rows, records("out/predictions.jsonl"), strict=True):
        expected = predictor(record["file"])
        with Image.open(f"out/maps/{record['name']}.png") as written:
            np.testing.assert_array_equal(written, expected.map)
        with Image.open(f"out/overlays/{record['name']}.jpg") as drawn:
            assert drawn.size == expected.map.shape[::-1]
        assert record["boxes"] == [[*region.box, region.area] for region in expected.regions]
        assert record["score"] == pytest.approx(expected.score, abs=1e-6)
        assert record["area"] == pytest.approx(expected.area, abs=1e-6)
        assert (record["class"], row["class"]) == (expected.class_name,) * 2
        assert row["regions"] == str(len(expected.regions))
    assert summary.firing == sum(bool(record["boxes"]) for record in records("out/predictions.jsonl"))
    settings = json.loads(Path("out/predictions.json").read_text())
    assert settings["model"] == {"run": "mine"}
    assert (settings["free_class"], settings["threshold"], settings["framing"]["size"]) == ("free", 100, 32)


def test_the_same_again_does_nothing(images: Path) -> None:
    predict("out")
    before = contents("out")
    network = FakeNetwork()
    summary = predict("out", network=network)
    assert (summary.predicted, summary.earlier) == (0, COUNT)
    assert network.sizes == []
    assert contents("out") == before


@pytest.mark.parametrize("overlays", [True, False])
def test_what_a_machine_that_went_down_left_empty_is_written_again(images: Path, overlays: bool) -> None:
    """A file system may have kept the record of an image and the names of its files, but not what was in them."""
    predict("out", overlays=overlays)
    before = contents("out")
    Path("out/maps/0003.png").write_bytes(b"")
    Path("out/overlays").mkdir(exist_ok=True)
    Path("out/overlays/0005.jpg").write_bytes(b"")
    # Whoever has removed a map does not want it.
    Path("out/maps/0007.png").unlink()
    again = predict("out", overlays=overlays)
    assert (again.predicted, again.earlier) == (1 + overlays, COUNT - 1 - overlays)
    after = contents("out")
    for name in ("maps/0003.png", *(["overlays/0005.jpg"] if overlays else [])):
        assert after[name] == before[name]
    assert sorted(row["file"] for row in table("out/predictions.csv")) == sorted(f"in/{n:04}.png" for n in range(COUNT))


def test_bad_files_are_reported_and_tried_again(images: Path) -> None:
    good = contents("in")
    for name, content in (("0003", b""), ("0010", b"text"), ("0022", good["0022.png"][:40])):
        (images / f"{name}.png").write_bytes(content)
    os.symlink("nothing", images / "broken.png")
    summary = predict("out")
    assert (summary.predicted, len(summary.failed)) == (COUNT - 3, 4)
    assert all(reason.startswith("in/") for reason in summary.failed)
    assert {row["file"] for row in table("out/predictions.csv") if row["error"]} == {
        *("in/0003.png", "in/0010.png", "in/0022.png", "in/broken.png")
    }
    (images / "0003.png").write_bytes(good["0003.png"])
    again = predict("out")
    assert (again.predicted, again.earlier, len(again.failed)) == (1, COUNT - 3, 3)
    assert len(table("out/predictions.csv")) == COUNT + 1
    assert Path("out/maps/0003.png").exists()


def interrupt_at(count: int) -> Callable[[int], None]:
    done = [0]

    def progress(more: int) -> None:
        done[0] += more
        if done[0] >= count:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("workers", [0, 2])
def test_an_interrupted_one_has_a_table_and_goes_on(images: Path, workers: int) -> None:
    predict("whole")
    before = set(threading.enumerate())
    for count in (1, 9):
        with pytest.raises(KeyboardInterrupt):
            predict("out", workers=workers, progress=interrupt_at(count))
        assert len(table("out/predictions.csv")) == count
    # Those that other tests have left may end meanwhile.
    assert set(threading.enumerate()) <= before
    summary = predict("out", workers=workers)
    assert (summary.predicted, summary.earlier) == (COUNT - 9, 9)
    assert contents("out") == contents("whole")


def test_a_killed_one_goes_on_as_if_nothing_had_happened(images: Path, tmp_path: Path) -> None:
    predict("whole")
    choose = random.Random(0)
    script = f"""
import sys, time
sys.path[:0] = {sys.path!r}
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from fake_network import FakeNetwork, reading
from dms_jax.inference.folder import records
from dms_jax.inference.folder.listing import list_files
from dms_jax.inference.folder.predict import predict_files
records._FLUSH_SECONDS = 0
print(flush=True)
with ThreadPoolExecutor(2) as pool:
    predict_files(FakeNetwork(2), reading(), list_files(["in"]), Path("out"), model={{"run": "mine"}}, pool=pool,
                  progress=lambda count: time.sleep(0.02))
"""
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(choose.random() * 0.3)
            process.kill()
    if Path("out/predictions.jsonl").exists():
        # The last line may be cut off anywhere.
        data = Path("out/predictions.jsonl").read_bytes()
        Path("out/predictions.jsonl").write_bytes(data[: max(len(data) - 17, 0)])
    predict("out")
    whole = {name: data for name, data in contents("out").items() if not name.endswith(".tmp")}
    assert whole == contents("whole")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"how": reading(threshold=101)}, "threshold"),
        ({"how": reading(gates=True, note="another")}, "gates"),
        ({"how": reading(framing=Framing("tiles", 32))}, "framing"),
        ({"model": "another"}, "model"),
        ({"overlays": False}, "overlays"),
    ],
)
@pytest.mark.parametrize("shard", [None, (2, 3)])
def test_other_settings_are_refused(images: Path, change: Any, named: str, shard: Any) -> None:
    """Of another shard, too."""
    predict("out", shard=None if shard is None else (1, 3))
    before = contents("out")
    with pytest.raises(UserError, match=rf"^out holds predictions made otherwise \({named}\): choose another --output"):
        predict("out", shard=shard, **change)
    assert contents("out") == before


@pytest.mark.parametrize("text", [b"", b"[1]", b"\xff", b'{"model": '])
def test_damaged_settings_are_named(images: Path, text: bytes) -> None:
    Path("out").mkdir()
    Path("out/predictions.json").write_bytes(text)
    with pytest.raises(UserError, match=r"out/predictions\.json is damaged: choose another --output, or remove it"):
        predict("out")


def test_a_damaged_record_is_named(images: Path) -> None:
    predict("out")
    with Path("out/predictions.jsonl").open("a") as file:
        file.write("garbled\n")
    with pytest.raises(UserError, match=rf"line {COUNT + 1} of out/predictions\.jsonl is damaged: remove the line"):
        predict("out")


def test_predictions_of_other_images_stay(images: Path) -> None:
    predict("out")
    before = contents("out")
    save_images(Path("other"), 2)
    with pytest.raises(UserError, match=r"other/0000\.png would have the name of in/0000\.png, which is predicted in"):
        predict("out", "other")
    assert contents("out") == before
    os.rename("other/0000.png", "other/new.png")
    os.remove("other/0001.png")
    assert predict("out", "other").predicted == 1
    assert len(table("out/predictions.csv")) == COUNT + 1


def test_shards_share_a_folder(images: Path) -> None:
    predict("whole")
    summaries = [predict("out", shard=(number, 3)) for number in (2, 1, 3)]
    assert sum(summary.predicted for summary in summaries) == COUNT
    files = [row["file"] for path in Path("out").glob("predictions-*-of-3.csv") for row in table(path)]
    assert sorted(files) == [f"in/{number:04}.png" for number in range(COUNT)]
    for kind in ("maps", "overlays"):
        assert contents(f"out/{kind}") == contents(f"whole/{kind}")
    # More shards than images.
    assert predict("few", "in/0001.png", shard=(2, 2)).predicted == 0
    assert table("few/predictions-2-of-2.csv") == []


def test_images_are_never_written_over(images: Path) -> None:
    before = contents("in")
    os.makedirs("out")
    os.symlink("../in", "out/maps")
    with pytest.raises(UserError, match="lies where predictions are written"):
        predict("out")
    os.makedirs("deep/out/maps")
    os.symlink("../../../in", "deep/out/maps/in")
    os.makedirs("photos")
    os.symlink("../in", "photos/in")
    with pytest.raises(UserError, match="would be overwritten by the prediction of"):
        predict("deep/out", "photos")
    assert contents("in") == before
    assert os.listdir("out") == ["maps"]


def test_predictions_may_lie_among_the_images(images: Path) -> None:
    for _ in range(2):
        predict("in/out", "in")
        predict("in/out", "in/**")
    assert len(table("in/out/predictions.csv")) == COUNT
    predict(".", ".", shard=(1, 2))
    assert predict(".", ".", shard=(1, 2)).predicted == 0


def test_names_of_any_kind(images: Path) -> None:
    name = os.fsdecode(b"in/\xff\xfe\n=1.png")
    for path in (name, "in/sub dir/ä,\"'.png", "in/-1.JPG"):
        Path(path).parent.mkdir(exist_ok=True)
        Image.new("L", (9, 9), 200).save(path, "PNG")
    predict("out", "in/sub dir", name, "in/-1.JPG")
    assert {row["file"] for row in table("out/predictions.csv")} == {name, "in/sub dir/ä,\"'.png", "in/-1.JPG"}
    assert Path(os.fsdecode(b"out/maps/\xff\xfe\n=1.png")).exists()
    assert predict("out", "in/sub dir", name, "in/-1.JPG").earlier == 3


class TestProcesses:
    @pytest.mark.parametrize("framing", [Framing("squash", 32), Framing("tiles", 32, 8, 0.5)])
    def test_they_write_what_threads_write(self, images: Path, framing: Framing) -> None:
        """Many tiles have no room in the memory that is shared, and are sent."""
        (images / "0004.png").write_bytes(b"text")
        for output, workers in (("threads", 0), ("processes", 2)):
            predict(output, workers=workers, how=reading(framing=framing, gates=True), network=FakeNetwork(16, 2))
        assert contents("processes") == contents("threads")

    def test_they_have_no_jax(self) -> None:
        with open_pool(1, 32) as pool:
            assert isinstance(pool, WorkerPool)
            assert pool.submit(are_imported, ["numpy", "jax", "flax"]).result() == [True, False, False]

    def test_one_that_was_killed_is_a_sentence(self, images: Path) -> None:
        def kill(count: int) -> None:
            for child in children():
                os.kill(child, signal.SIGKILL)

        with pytest.raises(UserError, match=r"was ended, for the memory it took perhaps: give fewer --workers"):
            predict("out", workers=2, progress=kill, network=FakeNetwork(1))
        assert predict("out", workers=2).predicted > 0
        assert len(table("out/predictions.csv")) == COUNT

    def test_what_they_raise_arrives(self, images: Path) -> None:
        Path("out").mkdir()
        Path("out/maps").write_text("a file")
        with pytest.raises(OSError, match="out/maps"):
            predict("out", workers=2)

    def test_they_end_with_the_one_that_started_them(self, tmp_path: Path) -> None:
        script = f"""
import os, sys, time
sys.path[:0] = {sys.path!r}
from dms_jax.inference.folder.workers import WorkerPool
if __name__ == "__main__":
    pool = WorkerPool(2, 1000, 2)
    [each.result() for each in pool._starting]
    print(*pool._pool._processes, flush=True)
    time.sleep(60)
"""
        (tmp_path / "script.py").write_text(script)
        command = [sys.executable, str(tmp_path / "script.py")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            workers = [int(number) for number in process.stdout.readline().split()]
            assert len(workers) == 2
            process.kill()
        deadline = time.monotonic() + 20
        while any(map(is_running, workers)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(map(is_running, workers))


def children() -> Iterator[int]:
    """Processes that were forked for this one, by whatever forks them."""
    from multiprocessing import forkserver

    server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if path.read_text().rpartition(")")[2].split()[1] == str(server):
                yield int(path.parent.name)


def is_running(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_folder_that_cannot_be_written(images: Path) -> None:
    Path("file").touch()
    with pytest.raises(OSError, match="file"):
        predict("file/out")
    Path("closed").mkdir(0o500)
    if os.geteuid() == 0:
        # Root may write everything.
        return
    with pytest.raises(PermissionError, match="closed"):
        predict("closed")


def test_a_full_disk(images: Path) -> None:
    Path("small").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "small"]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a small disk of its own, which root may mount")
    try:
        with pytest.raises(OSError, match="No space left on device"):
            predict("small/out")
        kept = Path("small/out/predictions.jsonl").read_bytes().splitlines()
        subprocess.run(["mount", "-o", "remount,size=10m", "small"], check=True)
        summary = predict("small/out")
        assert summary.predicted + summary.earlier == COUNT
        assert summary.earlier >= len(kept) - 1
        assert len(table("small/out/predictions.csv")) == COUNT
    finally:
        subprocess.run(["umount", "small"], check=True)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(images: Path) -> None:
    save_images(Path("many"), 2000)
    script = f"""
import resource, sys
sys.path[:0] = {sys.path!r}
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from fake_network import FakeNetwork, reading
from dms_jax.inference.folder.listing import list_files
from dms_jax.inference.folder.predict import predict_files
files = list_files(["many"])[:int(sys.argv[1])]
with ThreadPoolExecutor(4) as pool:
    predict_files(FakeNetwork(16), reading(), files, Path("out" + sys.argv[1]), model={{}}, pool=pool)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    few, many = (
        int(subprocess.run([sys.executable, "-c", script, count], check=True, capture_output=True).stdout)
        for count in ("100", "2000")
    )
    assert many < 1.05 * few
