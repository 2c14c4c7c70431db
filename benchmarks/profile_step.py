"""Where the time of a step goes: python benchmarks/profile_step.py [--job train] [--batch 64].

Traces a few steps and adds up the device's kernels by the instruction of the compiled program that they belong to, and
those by the module of the network and by kind.
"""

import argparse
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
from networks import TIMED
from steps import Bench

from dms_jax.runtime import cuda_graphs

_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.-]+) = (\S+) ")
_OP_NAME = re.compile(r"op_name=\"([^\"]*)\"")
# Names of modules in the path of an operation: the last one that is ours says where it is.
_MODULE = re.compile(r"(backbone/stem|backbone/stage\d|side_[lmh]f/\w+|step\d/(?!step)\w+|step\d\._transition)")


def main() -> int:
    """Trace what the flags say, and print three tables."""
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.size not in (sizes := TIMED[arguments.network].sizes):
        parser.error(f"{arguments.network} has no size {arguments.size}: choose among {', '.join(sizes)}")
    on_cpu = jax.default_backend() == "cpu"
    dtype = jax.numpy.float32 if on_cpu else jax.numpy.bfloat16
    # Kernels in a graph do not say which instruction they belong to.
    cuda_graphs.GRAPHS["xla_gpu_enable_command_buffer"] = ""
    bench = Bench(arguments.network, arguments.size, arguments.image_size, 1, dtype, arguments.remat, 0.2)
    compiled, call = bench.prepare(arguments.job, arguments.batch)
    kernels = trace(call, arguments.steps)
    text = compiled.as_text()
    if arguments.hlo:
        arguments.hlo.write_text(text)
    origin = {}
    for line in text.splitlines():
        found = _INSTRUCTION.match(line)
        if found:
            name = _OP_NAME.search(line)
            origin[found[1]] = (name[1] if name else "", found[2])
    total = sum(kernels.values())
    print(f"{arguments.job}, batch {arguments.batch}: {total * 1e3:.2f} ms of kernels a step\n")
    by_module, by_kind = defaultdict(float), defaultdict(float)
    for instruction, seconds in kernels.items():
        path = origin.get(instruction, ("", ""))[0]
        module = _MODULE.findall(path)
        direction = "backward" if "transpose(" in path else "forward"
        by_module[f"{module[-1] if module else 'elsewhere'}, {direction}"] += seconds
        by_kind[re.sub(r"[.\d]+$", "", instruction)] += seconds
    for title, table in (("module", by_module), ("kind of instruction", by_kind)):
        _print(title, {name: (seconds, "") for name, seconds in table.items()}, total, arguments.top)
    detailed = {name: (seconds, " ".join(reversed(origin.get(name, ())))) for name, seconds in kernels.items()}
    _print("instruction", detailed, total, arguments.top)
    return 0


def trace(call: Callable[[], Any], steps: int) -> dict[str, float]:
    """Seconds a call by the name of the compiled instruction that the device worked on."""
    for _ in range(3):
        jax.block_until_ready(call())
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(steps):
                result = call()
            jax.block_until_ready(result)
        file = next(Path(folder).rglob("*.xplane.pb"))
        profile = jax.profiler.ProfileData.from_file(str(file))
        seconds: dict[str, float] = defaultdict(float)
        for plane in profile.planes:
            if jax.default_backend() != "cpu" and not plane.name.startswith("/device:"):
                continue
            for line in plane.lines:
                for event in line.events:
                    name = dict(event.stats).get("hlo_op")
                    if name:
                        seconds[str(name)] += event.duration_ns / 1e9 / steps
    return dict(seconds)


def _print(title: str, table: Mapping[str, tuple[float, str]], total: float, top: int) -> None:
    print(f"| {title} | ms | share | |\n| --- | --- | --- | --- |")
    for name, (seconds, note) in sorted(table.items(), key=lambda entry: -entry[1][0])[:top]:
        print(f"| {name} | {seconds * 1e3:.3f} | {seconds / total:.1%} | {note} |")
    print()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Say where the time of a step goes.")
    parser.add_argument("--job", choices=("train", "predict"), default="train")
    parser.add_argument("--network", choices=tuple(TIMED), default="bdms")
    parser.add_argument("--size", choices=("full", "lite", "medium", "small"), default="full")
    parser.add_argument("--image-size", type=int, default=300)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--remat", action="store_true")
    parser.add_argument("--steps", type=int, default=5, help="that are traced (%(default)s)")
    parser.add_argument("--top", type=int, default=40, help="rows of each table (%(default)s)")
    parser.add_argument("--hlo", type=Path, metavar="FILE", help="write the compiled program there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
