"""The same network in PyTorch, timed by scripts in processes of their own."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_LINE = re.compile(r"^torch (\w+) +(\w+) +batch +(\d+) +([\d.]+) ms", re.MULTILINE)
_TORCH_STEPS = Path(__file__).resolve().parent / "torch_steps.py"

# With all of Inductor's own candidates, max-autotune had not compiled one image's prediction in 100 s on an H100.
# Without them it is cuDNN's kernels, as in every other mode, in CUDA graphs. The environment may say otherwise.
_CANDIDATES = {
    "TORCHINDUCTOR_MAX_AUTOTUNE_CONV_BACKENDS": "ATEN",
    "TORCHINDUCTOR_MAX_AUTOTUNE_GEMM_BACKENDS": "ATEN",
}

Times = dict[tuple[str, int, str], float]


def peer_times(
    script: Path, modes: Sequence[str], seconds: float, jobs: Sequence[tuple[str, int]], size: int, limit: float
) -> Times:
    """Seconds a step by (job, batch, mode), for each mode that runs there.

    Args:
      script: prints lines such as "torch compile train batch 16 60.2 ms ..."; see also `torch_steps.py`.
      modes: of the script; each in a process of its own, so that one that fails costs nothing else.
      seconds: how long each of its measurements takes, about.
      jobs: ("latency", "predict" or "train", batch), to time where the script does not.
      size: side of the images in pixels.
      limit: seconds after which a process is stopped; what it has measured by then counts.
    """
    times: Times = {}
    for mode in modes:
        listed = ",".join(f"{job}:{batch}" for job, batch in jobs)
        command = [_TORCH_STEPS, script, "--mode", mode, "--jobs", listed, "--image-size", size, "--seconds", seconds]
        found, output = run_script(command, mode, limit)
        if "device cpu" not in output:
            found |= run_script([script, "--modes", mode, "--seconds", seconds], mode, limit)[0]
        times |= found
    return times


def run_script(command: Sequence[object], mode: str, limit: float) -> tuple[Times, str]:
    """Run a script that prints lines as those of `peer_times`: seconds a step, and all that it printed.

    Args:
      command: the script and its arguments.
      mode: for the messages.
      limit: seconds after which it is stopped; what it has measured by then counts.
    """
    environment = {**_CANDIDATES, **os.environ}
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        # What it starts to compile for it is stopped with it.
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        print(f"the peer's mode {mode} was stopped after {limit:.0f} s", file=sys.stderr)
    except BaseException:
        # Ctrl-C reaches this process alone.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    else:
        if process.returncode:
            last = errors.strip().splitlines()[-1:] or ["no message"]
            print(f"the peer's mode {mode} failed: {last[0]}", file=sys.stderr)
    lines = _LINE.findall(output)
    return {(job, int(batch), name): float(ms) / 1e3 for name, job, batch, ms in lines}, output


def best(times: Times, job: str, batch: int) -> tuple[float, str] | None:
    """The fastest mode's seconds a step, and its name."""
    found = [(seconds, mode) for (a, b, mode), seconds in times.items() if (a, b) == (job, batch)]
    return min(found, default=None)
