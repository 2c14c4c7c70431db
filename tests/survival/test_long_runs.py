"""Memory, open files, threads and processes over many steps, evaluations and checkpoints: flat, and none left over."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import jax
import numpy as np
import pytest
from absl import flags
from image_records import ImageRecords
from odd_images import ROOT, write_images, write_tiny_config
from process_tree import Held, descendants, held_by
from survival_runs import seconds_until_gone

from dms_jax.checkpoints.manager import Checkpoints
from dms_jax.data.crops import CropSource
from dms_jax.data.examples import ExampleSource
from dms_jax.data.framing import Framing
from dms_jax.data.pipeline import training_batches, training_order

STEPS = 20_000
# Of the largest memory between a quarter and a half of the steps; by then all caches are full.
ALLOWED_GROWTH = 1.02


def held_between(samples: list[tuple[int, Held]], begin: float, end: float) -> Held:
    """The largest memory between two shares of the steps, and the medians of what comes and goes."""
    chosen = [held for step, held in samples if begin * STEPS <= step <= end * STEPS]
    return Held(
        max(held.memory for held in chosen),
        *(int(median(getattr(held, name) for held in chosen)) for name in ("descriptors", "threads", "processes")),
    )


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_20_000_steps_hold_no_more_at_their_end_than_after_a_quarter(workers: int, tmp_path: Path) -> None:
    write_images(tmp_path / "images", {"free": 10, "scratch": 10})
    run = tmp_path / "run"
    command = [
        *(sys.executable, "-m", "dms_jax.cli", "train", f"--config={write_tiny_config(tmp_path)}", f"--workdir={run}"),
        *(f"--config.data.manual_dir={tmp_path / 'images'}", f"--config.data.data_dir={tmp_path / 'data'}"),
        *(f"--config.data.workers={workers}", f"--config.steps={STEPS}", "--config.batch_size=2"),
        *("--config.log_every=50", "--config.evaluate_every=200", "--config.checkpoint_every=400"),
    ]
    samples: list[tuple[int, Held]] = []
    # Not the several devices of the tests: two images are a batch here.
    env = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
    with (
        (tmp_path / "said").open("w") as said,
        subprocess.Popen(command, env=env, stdout=said, stderr=subprocess.STDOUT, start_new_session=True) as process,
    ):
        while process.poll() is None:
            time.sleep(1)
            samples.append((_step(run), held_by(process.pid)))
    assert process.returncode == 0, (tmp_path / "said").read_text()[-2000:]
    seconds_until_gone(process.pid, most=20)
    # The test at the end is another thing than steps.
    early, late = held_between(samples, 0.25, 0.5), held_between(samples, 0.75, 0.999)
    print(f"workers={workers}: {early} between a quarter and a half, {late} in the last quarter")
    assert late.memory <= ALLOWED_GROWTH * early.memory
    # Batches from other processes lie in shared memory, a file each until it is collected.
    assert late.descriptors <= early.descriptors + 16
    assert late.threads <= early.threads + 16
    assert late.processes == early.processes


def _step(run: Path) -> int:
    try:
        return int(json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["step"])
    except (OSError, IndexError, ValueError):
        return 0


def _batches(workers: int):
    pixels = np.zeros((4, 8, 8, 3), np.uint8)
    records = ImageRecords(list(pixels), [image[..., 0] for image in pixels], [0, 1, 0, 1], [True] * 4)
    crops = CropSource(ExampleSource(records, "train", 0), Framing(size=8))
    return training_batches(training_order([crops], seed=0), batch_size=2, workers=workers, threads=2)


def test_processes_that_read_images_are_gone_when_the_batches_are_closed() -> None:
    if not flags.FLAGS.is_parsed():
        # Grain asks for one of its own, as `dms-jax train` has them parsed.
        flags.FLAGS(["tests"])
    before = set(descendants(os.getpid()))
    batches = _batches(workers=1)
    next(batches)
    started = set(descendants(os.getpid())) - before
    assert started
    batches.close()
    deadline = time.monotonic() + 20
    # Python's own process that keeps track of shared memory stays until the end.
    while time.monotonic() < deadline and len(set(descendants(os.getpid())) - before) > 1:
        time.sleep(0.05)
    assert len(set(descendants(os.getpid())) - before) <= 1


def test_checkpoints_leave_no_file_and_no_thread_open(tmp_path: Path) -> None:
    batches = _batches(workers=0)
    state = {"params": jax.numpy.ones((8, 8))}
    held: list[Held] = []
    with Checkpoints(tmp_path) as checkpoints:
        for step in range(1, 31):
            checkpoints.save_best(step, state, float(step))
            checkpoints.save(step, state, batches)
            held.append(held_by(os.getpid()))
    batches.close()
    early, late = held[5:15], held[20:]
    assert max(each.descriptors for each in late) <= max(each.descriptors for each in early) + 8
    assert max(each.threads for each in late) <= max(each.threads for each in early) + 8
    assert late[-1].memory <= 1.05 * early[-1].memory
