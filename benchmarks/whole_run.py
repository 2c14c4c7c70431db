"""`train.py` as a user starts it: time to the first step, and images per second after it."""

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ml_collections import ConfigDict

from dms_jax.runs.config import saved
from dms_jax.runs.config.build import read_training_batches
from dms_jax.runs.config.flags import parse
from dms_jax.runs.dataset import open_dataset
from dms_jax.runs.monitoring.metrics_file import METRICS_NAME, read_metrics
from dms_jax.runs.splits import choose_splits

ROOT = Path(__file__).resolve().parent.parent
_FIRST_STEP = re.compile(r"first step done ([\d.]+) s after the start")


@dataclass(frozen=True)
class WholeRun:
    """What a run of `train.py` came to.

    Attributes:
      first_step: seconds from the start to the end of the first step.
      images_per_second: median over the intervals at which the run logs, without the first, and without the pauses
        for evaluation and checkpoints.
      with_pauses: images per second from the first step to the last, all in all.
    """

    first_step: float
    images_per_second: float
    with_pauses: float


def prepare_dataset(config: str, arguments: Sequence[str]) -> None:
    """Prepare the dataset of a command line of `train.py`, in a process of its own, which leaves the GPU alone.

    Raises:
      RuntimeError: it cannot be prepared; the message is the last line of the reason.
    """
    command = [sys.executable, __file__, config, *arguments]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])


def whole_run(workdir: Path, arguments: Sequence[str], cache: Path) -> WholeRun:
    """Run `train.py`.

    Args:
      workdir: must not exist.
      arguments: of the command line, without --workdir.
      cache: where it keeps compiled programs.

    Raises:
      RuntimeError: the run failed; the message is its last line.
    """
    command = [sys.executable, str(ROOT / "train.py"), *arguments, f"--workdir={workdir}"]
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)}
    seen: dict[str, float] = {}
    lines: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    ) as process:
        for line in process.stderr:
            lines.append(line)
            for mark in ("first step done", "testing step"):
                if line.startswith(mark):
                    seen[mark] = time.perf_counter()
    if process.returncode:
        raise RuntimeError(next((line.strip() for line in reversed(lines) if line.strip()), "it was killed"))
    logged = [line for line in read_metrics(workdir / METRICS_NAME) if "train/images_per_second" in line]
    speeds = [line["train/images_per_second"] for line in logged]
    images = (logged[-1]["step"] - 1) * saved.load_run(workdir).batch_size
    return WholeRun(
        first_step=float(_FIRST_STEP.search("".join(lines))[1]),
        images_per_second=statistics.median(speeds[1:]),
        with_pauses=images / (seen["testing step"] - seen["first step done"]),
    )


def pipeline_rate(config: ConfigDict, seconds: float) -> float:
    """Images per second of the host's pipeline alone where nothing is in memory yet: read, decode, resize, batch."""
    config = config.copy_and_resolve_references()
    config.data.cache = 0.0
    batches = read_training_batches(config, choose_splits(open_dataset(config), config))
    try:
        for _ in range(10):
            next(batches)
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            next(batches)
            count += 1
        return count * config.batch_size / (time.perf_counter() - start)
    finally:
        batches.close()


if __name__ == "__main__":
    open_dataset(parse(sys.argv[:1] + sys.argv[2:], sys.argv[1])[0])
