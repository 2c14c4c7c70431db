"""Whole runs in several processes of this machine: they meet, train, stop, resume and fail as one."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from quick_compilation import xla_flags

from dms_jax.runs.monitoring.metrics_file import read_metrics

ROOT = Path(__file__).parents[2]
CONFIG = """
from configs import quickstart

def get_config():
    config = quickstart.get_config()
    config.batch_size = 4
    config.steps = 12
    config.log_every = 2
    config.evaluate_every = 6
    config.checkpoint_every = 100
    config.model.options = dict(
        stage_sizes=(1, 1, 1, 1), groups=1, width_per_group=64, base_channels=8, side_channels=4, residual_channels=4
    )
    config.model.schedule = ("HF", "MF")
    config.data.image_size = config.data.synthetic.size = 48
    config.data.synthetic.images = 30
    config.data.threads = 2
    return config
"""


# For `python -c`: here no other process fails too, so that one that does need not wait long for them. Each notices it
# within a beat, and the first one, with which the store goes that it is told by, stays for half of that time.
HASTY = """
import runpy, sys
from dms_jax.runtime import processes

processes.BEAT, processes._GRACE = 0.1, 2.0
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Runner:
    """Starts processes of a tiny run, which end with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []
        (folder / "tiny.py").write_text(CONFIG)

    def start(
        self, workdir: str, *more: tuple[str, ...], count: int = 2, devices: int = 1, program: tuple[str, ...] = ()
    ) -> list[subprocess.Popen[str]]:
        """Start a run's processes; `more` are further arguments of each of them, and `program` of Python itself."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        shared = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "XLA_FLAGS": xla_flags(devices),
            # The same programs are compiled more than once here.
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
            "JAX_NUM_PROCESSES": str(count),
        }
        processes = []
        for index in range(count):
            arguments = more[index] if more else ()
            # In files: a pipe that nobody reads fills up.
            with (self.folder / f"{workdir}.{index}.txt").open("w") as output:
                processes.append(
                    subprocess.Popen(
                        [
                            *(sys.executable, *program, str(ROOT / "train.py")),
                            f"--config={self.folder / 'tiny.py'}",
                            *(f"--workdir={self.folder / workdir}", f"--config.data.data_dir={self.folder / 'data'}"),
                            *arguments,
                        ],
                        env={**shared, "JAX_PROCESS_ID": str(index)},
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        text=True,
                    )
                )
        self.started += processes
        return processes

    def said(self, workdir: str, index: int) -> str:
        return (self.folder / f"{workdir}.{index}.txt").read_text()

    def wait_for(self, words: str, workdir: str, process: subprocess.Popen[str]) -> None:
        """Wait until the first process says the words."""
        until = time.monotonic() + 300
        while words not in self.said(workdir, 0):
            assert process.poll() is None, self.said(workdir, 0)
            assert time.monotonic() < until
            time.sleep(0.05)

    def ends(self, processes: list[subprocess.Popen[str]]) -> list[int]:
        return [process.wait(300) for process in processes]


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    runner = Runner(tmp_path)
    yield runner
    for process in runner.started:
        process.kill()
        process.wait()


def losses(workdir: Path) -> list[Any]:
    lines = read_metrics(workdir / "metrics.jsonl")
    return [{key: value for key, value in line.items() if "per_second" not in key} for line in lines]


def test_processes_with_other_commands_are_refused_by_all(runner: Runner) -> None:
    processes = runner.start("run", ("--config.seed=1",), ("--config.seed=2",))
    assert runner.ends(processes) == [1, 1]
    for index in range(2):
        *_, sentence = runner.said("run", index).splitlines()
        assert sentence == (
            "train.py: process 1 was started with another config.seed than process 0: start all with the same command."
        )
    assert not (runner.folder / "run").exists()


def test_a_process_that_fails_ends_the_others_with_its_sentence(runner: Runner) -> None:
    # What a process reads with, such as the folder of its data, is its own affair, and may be wrong there alone.
    (runner.folder / "file").write_text("")
    arguments = (), (f"--config.data.data_dir={runner.folder / 'file'}",)
    processes = runner.start("run", *arguments, program=("-c", HASTY))
    assert runner.ends(processes) == [1, 1]
    said = [runner.said("run", index) for index in range(2)]
    *_, own = said[1].splitlines()
    assert str(runner.folder / "file") in own
    *_, told = said[0].splitlines()
    assert told.startswith("train.py: process 1 of 2 has failed: ")
    assert "Traceback" not in "".join(said)


@pytest.mark.slow
def test_two_processes_are_as_one_with_two_devices(runner: Runner) -> None:
    """Also where one of them is stopped, and both resume; or one alone, with two devices."""
    whole = runner.start("whole", count=1, devices=2)
    assert runner.ends(whole) == [0]
    two = runner.start("two")
    runner.wait_for("first step done", "two", two[0])
    two[1].send_signal(signal.SIGTERM)
    # The second one as its signal has it.
    assert runner.ends(two) == [1, 143]
    for index in range(2):
        *_, sentence = runner.said("two", index).splitlines()
        assert sentence.startswith("train.py: interrupted after step ")
    (step,) = (path.name for path in (runner.folder / "two" / "checkpoints").iterdir())
    assert f"step {step}, which is saved" in sentence
    shutil.copytree(runner.folder / "two", runner.folder / "one")
    assert runner.ends(runner.start("two")) == [0, 0]
    assert runner.ends(runner.start("one", count=1, devices=2)) == [0]
    expected = losses(runner.folder / "whole")
    assert [line["step"] for line in expected if "train/loss" in line] == [2, 4, 6, 8, 10, 12]
    for workdir in ("two", "one"):
        assert losses(runner.folder / workdir) == expected
        results = [json.loads((runner.folder / name / "eval" / "test.json").read_text()) for name in (workdir, "whole")]
        # Sums over images, of which each process has its own part.
        assert results[0]["images"] == results[1]["images"] == 5
        assert results[0]["mae"] == pytest.approx(results[1]["mae"], rel=1e-12)
        assert len(list((runner.folder / workdir).glob("eval/*.csv"))) == 1
    # A finished run only shows its results, which the first process does.
    assert runner.ends(runner.start("two")) == [0, 0]
    assert "test: 5 images" in runner.said("two", 0)
    assert "5 images" not in runner.said("two", 1)
    assert "first step done" not in runner.said("two", 0)


@pytest.mark.slow
def test_files_of_the_users_own_may_lie_at_another_place_on_each_host(runner: Runner) -> None:
    here, there = runner.folder / "here", runner.folder / "there"
    drawn = np.random.default_rng(0).integers(0, 256, (2, 20, 48, 48, 3), np.uint8)
    for label, images in zip(("good", "dent"), drawn, strict=True):
        (here / label).mkdir(parents=True)
        for number, image in enumerate(images):
            Image.fromarray(image).save(here / label / f"{number}.png")
    (here / "masks" / "dent").mkdir(parents=True)
    for number in range(20):
        mask = np.zeros((48, 48), np.uint8)
        mask[8:24, 8:24] = 255
        Image.fromarray(mask).save(here / "masks" / "dent" / f"{number}.png")
    shutil.copytree(here, there)
    arguments = [("--config.data.dataset=folder", f"--config.data.manual_dir={place}") for place in (here, there)]
    for steps in (1, 2):
        processes = runner.start("run", *((*each, f"--config.steps={steps}") for each in arguments))
        assert runner.ends(processes) == [0, 0], [runner.said("run", index) for index in range(2)]
    assert "resuming after step 1" in runner.said("run", 0)


@pytest.mark.slow
def test_a_killed_process_ends_the_other_in_time(runner: Runner) -> None:
    processes = runner.start("run", ("--config.steps=2000",), ("--config.steps=2000",))
    runner.wait_for("first step done", "run", processes[0])
    killed = time.monotonic()
    processes[1].kill()
    assert runner.ends(processes) == [1, -signal.SIGKILL]
    assert time.monotonic() - killed < 100
    *_, sentence = runner.said("run", 0).splitlines()
    assert sentence.startswith("train.py: process 1 of 2 has given no sign of life for 60 s: ")
    assert "Traceback" not in runner.said("run", 0)
