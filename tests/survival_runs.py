"""Whole runs of a tiny network in processes of their own, to be stopped, killed and gone on with.

The moments at which something happens to them are drawn from `SURVIVAL_SEED`, an environment variable; 0 by default.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from quick_compilation import xla_flags

from dms_jax.runs.monitoring.metrics_file import read_metrics

ROOT = Path(__file__).parents[1]
SEED = int(os.environ.get("SURVIVAL_SEED", "0"))
STEPS = 40
NETWORK = """
import flax.linen as nn
import jax
import jax.numpy as jnp

from dms_jax.models import SaliencyOutput


class OneStride(nn.Module):
    num_classes: int
    dtype: jax.typing.DTypeLike = jnp.float32
    axis_name: str | None = None
    num_outputs = 1
    has_class_heads = True

    @nn.compact
    def __call__(self, images, *, train):
        x = nn.Conv(8, (3, 3), 2, use_bias=False, dtype=self.dtype)(images.astype(self.dtype))
        x = nn.relu(nn.BatchNorm(not train, axis_name=self.axis_name, dtype=self.dtype)(x))
        logits = nn.Conv(1, (1, 1))(x.astype(jnp.float32))
        saliency = jax.image.resize(logits, (*images.shape[:3], 1), "bilinear")
        classes = nn.Dense(self.num_classes)(x.mean((1, 2), dtype=jnp.float32))
        return SaliencyOutput((saliency,), (classes,), {})

    def for_prediction(self):
        return self, lambda variables: variables
"""
CONFIG = f"""
from pathlib import Path

from dms_jax.runs.config.defaults import default_config


def get_config():
    config = default_config()
    config.model.network = f"{{Path(__file__).parent / 'network.py'}}:OneStride"
    config.data.dataset = "synthetic"
    config.data.synthetic.images = 30
    config.data.image_size = config.data.synthetic.size = 48
    config.data.threads = 2
    config.optimizer.learning_rate = 0.05
    config.average_decay = 0.9
    config.batch_size = 4
    config.steps = {STEPS}
    config.log_every = 2
    config.evaluate_every = 6
    config.checkpoint_every = 4
    config.report = False
    config.tensorboard_images = 0
    return config
"""


class Runs:
    """Starts runs below a folder, and knows what they say.

    Args:
      folder: an empty one.
      devices: of each run.
    """

    def __init__(self, folder: Path, devices: int = 1) -> None:
        self.folder = folder
        self.random = random.Random(SEED)
        self._devices = devices
        self._started: list[subprocess.Popen[bytes]] = []
        (folder / "network.py").write_text(NETWORK)
        (folder / "tiny.py").write_text(CONFIG)

    def start(
        self, name: str, *arguments: str, workdir: Path | None = None, devices: int | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a run, or resume it, in a session of its own; what it says begins anew.

        Args:
          name: of what it says, and of its work directory.
          *arguments: further flags.
          workdir: another work directory.
          devices: other than those of all runs.
        """
        return self.call(
            name,
            *(str(ROOT / "train.py"), f"--config={self.folder / 'tiny.py'}"),
            *(f"--workdir={workdir or self.folder / name}", f"--config.data.data_dir={self.folder / 'data'}"),
            *arguments,
            devices=devices,
        )

    def command(self, name: str, *arguments: str) -> tuple[int, str]:
        """Call `dms-jax`; returns the exit code and what it said on standard error."""
        done = self.call(name, "-m", "dms_jax.cli", *arguments)
        return done.wait(300), self.said(name)

    def call(self, name: str, *arguments: str, devices: int | None = None) -> subprocess.Popen[bytes]:
        """Start Python in a session of its own."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "XLA_FLAGS": xla_flags(devices or self._devices),
        }
        # In a file: a pipe that nobody reads fills up.
        with self._file(name).open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env=environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=output,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def finishes(self, name: str, *arguments: str, workdir: Path | None = None, devices: int | None = None) -> None:
        """Start a run, which has to come to its end."""
        code = self.start(name, *arguments, workdir=workdir, devices=devices).wait(300)
        assert code == 0, self.said(name)

    def said(self, name: str) -> str:
        return self._file(name).read_text(errors="replace")

    def sentences(self, name: str) -> list[str]:
        """What is said in the program's own name, or as a note."""
        lines = self.said(name).splitlines()
        return [line for line in lines if line.startswith(("train.py: ", "dms-jax: ", "Note: "))]

    def wait_until(self, what: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 200) -> bool:
        """Wait until something is so; False where the process ends before."""
        until = time.monotonic() + seconds
        while not what():
            if process.poll() is not None:
                return False
            assert time.monotonic() < until
            time.sleep(0.005)
        return True

    def has_said(self, words: str, name: str, process: subprocess.Popen[bytes]) -> bool:
        """Wait until it has said the words; False where it ends before."""
        return self.wait_until(lambda: words in self.said(name), process)

    def is_saving(self, workdir: str) -> bool:
        """Whether a checkpoint is being written."""
        return any((self.folder / workdir).glob("*/*.orbax-checkpoint-tmp*"))

    def end(self) -> None:
        """End what is still running."""
        for process in self._started:
            process.kill()
            process.wait()

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.said"


def is_handled(process: subprocess.Popen[bytes], number: int) -> bool:
    """Whether a process has a handler for a signal."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return False
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (number - 1) & 1)


def seconds_until_gone(session: int, most: float = 40) -> float:
    """How long any process of a session is left; fails where some are after `most` seconds."""
    started = time.monotonic()
    while left := processes_in(session):
        assert time.monotonic() - started < most, left
        time.sleep(0.02)
    return time.monotonic() - started


def processes_in(session: int) -> list[str]:
    """The processes of a session that have not ended, by their command lines."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, own = (path / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(own) == session and state not in "ZX":
                found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200])
        except OSError:
            continue
    return found


def assert_same(run: Path, whole: Path, step: int = STEPS) -> None:
    """The rows of metrics, the last state and the results are the same to the last bit; speeds are not compared."""
    assert rows(run) == rows(whole)
    jax.tree.map(np.testing.assert_array_equal, state_at(run, step), state_at(whole, step))
    assert json.loads((run / "eval/test.json").read_text()) == json.loads((whole / "eval/test.json").read_text())


def rows(workdir: Path) -> list[dict[str, Any]]:
    lines = read_metrics(workdir / "metrics.jsonl")
    return [{key: value for key, value in line.items() if "per_second" not in key} for line in lines]


def state_at(workdir: Path, step: int) -> Any:
    with ocp.StandardCheckpointer() as checkpointer:
        return jax.tree.map(np.asarray, checkpointer.restore((workdir / f"checkpoints/{step}/state").absolute()))
