"""Disks that are full, folders that vanish or can only be read: one sentence, and the same command goes on later."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grain
import jax
import numpy as np
import pytest
from PIL import Image
from survival_runs import Runs, assert_same, rows

from dms_jax.checkpoints.background import told_once
from dms_jax.checkpoints.manager import Checkpoints
from dms_jax.errors import UserError
from dms_jax.training.state import TrainState

TRIALS = 8


class Disk:
    """A small file system of its own.

    Attributes:
      folder: where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def mount(self, size: str) -> None:
        mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(self.folder))

    def resize(self, size: str) -> None:
        mount("-o", f"remount,size={size}", str(self.folder))

    def fill(self, leave: int = 0) -> None:
        """Leave so many bytes free."""
        status = os.statvfs(self.folder)
        with suppress(OSError), (self.folder / "filler").open("wb", buffering=0) as file:
            file.write(bytes(max(status.f_bavail * status.f_frsize - leave, 0)))

    def make_room(self) -> None:
        (self.folder / "filler").unlink()


def mount(*arguments: str) -> None:
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a small disk of its own, which root may mount")


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "disk")
    disk.mount("64m")
    yield disk
    unmount(disk.folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """With a whole run."""
    runs = Runs(tmp_path_factory.mktemp("runs"))
    yield runs
    runs.end()


@pytest.fixture(scope="module")
def whole(runs: Runs) -> Path:
    runs.finishes("whole")
    return runs.folder / "whole"


def state_of(value: float) -> TrainState:
    params = {"scale": jax.random.normal(jax.random.key(int(value)), (100_000,))}
    return TrainState(jax.numpy.asarray(1), params, {}, (), None, {})


def test_a_checkpoint_that_finds_no_room_leaves_the_one_before(disk: Disk) -> None:
    def numbers() -> grain.DatasetIterator:
        return iter(grain.MapDataset.range(10).to_iter_dataset())

    with Checkpoints(disk.folder) as checkpoints:
        checkpoints.save(1, state_of(1), numbers())
    disk.fill(leave=200_000)
    # As training does: TensorStore, whose writes outlive their event loop, says so at some later moment.
    with told_once(), pytest.raises(UserError, match=r"checkpoints cannot be written \(.*make room, and run the same"):  # noqa: SIM117
        with Checkpoints(disk.folder) as checkpoints:
            checkpoints.save(2, state_of(2), numbers())
    disk.make_room()
    with Checkpoints(disk.folder) as checkpoints:
        checkpoints.remove_unfinished()
        assert checkpoints.set_aside_damaged() == ()
        assert checkpoints.latest_step == 1
        restored = checkpoints.restore(state_of(0), numbers())
        np.testing.assert_array_equal(restored.params["scale"], state_of(1).params["scale"])
        checkpoints.save(2, state_of(2), numbers())
    assert sorted(path.name for path in (disk.folder / "checkpoints").iterdir()) == ["1", "2"]


def ends_with_a_sentence(runs: Runs, workdir: str, process: subprocess.Popen[bytes], *words: str) -> None:
    code = process.wait(120)
    said = runs.said(workdir)
    assert code == 1, said
    assert "Traceback" not in said, said
    assert len(runs.sentences(workdir)) == 1, said
    assert said.splitlines()[-1] == runs.sentences(workdir)[0], said
    for word in words:
        assert word in runs.sentences(workdir)[0], said


@pytest.mark.slow
def test_a_disk_that_fills_up_during_training(runs: Runs, whole: Path, disk: Disk) -> None:
    """The same run meets it again and again, with more or less of it left."""
    met = finished = 0
    where: set[str] = set()
    while met < TRIALS:
        process = runs.start("said", workdir=disk.folder / "run")
        assert runs.has_said("first step done", "said", process), runs.said("said")
        # From nothing to a whole checkpoint and some rows.
        disk.fill(leave=runs.random.choice((0, 0, 4096, 16_384, 65_536, 131_072)))
        process.wait(120)
        if process.returncode == 0:
            finished += 1
            assert_same(disk.folder / "run", whole)
            shutil.rmtree(disk.folder / "run")
        else:
            ends_with_a_sentence(runs, "said", process, "make room")
            where.add(runs.sentences("said")[0].split(" cannot ")[0].rpartition("/")[2])
            met += 1
        disk.make_room()
    runs.finishes("said", workdir=disk.folder / "run")
    assert_same(disk.folder / "run", whole)
    print(f"\n{met} full disks in {finished + 1} runs, noticed by {sorted(where)}")


@pytest.mark.slow
def test_a_full_disk_during_preparation(runs: Runs, disk: Disk) -> None:
    arguments = ("prepare", "--dataset", "synthetic", "--data-dir", str(disk.folder))
    for size in ("64k", "256k", "1m", "2m"):
        disk.resize(size)
        code, said = runs.command("prepare", *arguments)
        assert (code, len(said.splitlines())) == (1, 1), said
        assert said.startswith(f"dms-jax: synthetic cannot be prepared in {disk.folder} (")
        assert not [path for path in disk.folder.rglob("*") if path.is_file()]
    disk.resize("64m")
    assert runs.command("prepare", *arguments)[0] == 0


@pytest.mark.slow
def test_a_full_disk_during_evaluation_and_prediction(runs: Runs, whole: Path, disk: Disk) -> None:
    workdir = disk.folder / "run"
    shutil.copytree(whole, workdir)
    before = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    (workdir / "eval/test.json").unlink()
    del before[workdir / "eval/test.json"]
    disk.fill()
    code, said = runs.command("evaluate", "evaluate", "--workdir", str(workdir))
    assert (code, len(said.splitlines())) == (1, 1), said
    assert "make room" in said
    after = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    assert after == before
    disk.make_room()
    assert runs.command("evaluate", "evaluate", "--workdir", str(workdir))[0] == 0
    assert (workdir / "eval/test.json").read_bytes() == (whole / "eval/test.json").read_bytes()
    images = runs.folder / "many"
    images.mkdir()
    random = np.random.default_rng(0)
    for number in range(60):
        Image.fromarray(random.integers(0, 256, (48, 48), np.uint8)).save(images / f"{number}.png")
    arguments = ("--workdir", str(whole), "--images", str(images), "--output", str(disk.folder / "out"))
    for leave in (0, 40_000, 200_000):
        disk.fill(leave)
        code, said = runs.command("predict", "predict", *arguments)
        assert (code, len(said.splitlines())) == (1, 1), said
        assert "make room" in said
        disk.make_room()
    assert runs.command("predict", "predict", *arguments)[0] == 0
    assert len((disk.folder / "out/predictions.csv").read_text().splitlines()) == 1 + 60


@pytest.mark.slow
def test_a_work_directory_that_is_removed_meanwhile(runs: Runs, whole: Path, tmp_path: Path) -> None:
    process = runs.start("said", workdir=tmp_path / "run")
    assert runs.has_said("validation after", "said", process)
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    ends_with_a_sentence(runs, "said", process, "metrics.jsonl was removed or replaced")
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    runs.finishes("said", workdir=tmp_path / "run")
    assert_same(tmp_path / "run", whole)


@pytest.mark.slow
def test_a_work_directory_that_can_only_be_read_from_now_on(runs: Runs, whole: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    process = runs.start("said", workdir=workdir)
    assert runs.has_said("validation after", "said", process)
    # Over itself: what is open for writing there stays so, and keeps the system from making it read-only as it is.
    mount("--bind", str(workdir), str(workdir))
    try:
        mount("-o", "remount,bind,ro", str(workdir))
        ends_with_a_sentence(runs, "said", process)
        again = runs.start("said", workdir=workdir)
        ends_with_a_sentence(runs, "said", again, str(workdir))
    finally:
        unmount(workdir)
    kept = rows(workdir)
    assert kept
    runs.finishes("said", workdir=workdir)
    assert_same(workdir, whole)
