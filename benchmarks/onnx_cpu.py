"""ONNX Runtime against this project's own prediction, on CPU cores: python benchmarks/onnx_cpu.py [--cores 2].

The networks have random weights, which takes as long as any. Calls of the two alternate, and each figure is the fastest
call's: whatever else runs on the machine only slows. With --int8, the quantised file too.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

NETWORKS = {"small": (96, (1, 8, 32)), "full": (300, (1, 4))}  # side of the images, batches
CLASSES = 6


def random_variables(model: Any) -> Any:
    """Random weights of about the size that keeps a network's maps as large as they are; statistics 0 and 1."""
    import jax

    from dms_jax.models.network import abstract_variables

    shapes = abstract_variables(model)
    random = np.random.default_rng(0)
    values = {"scale": 0.5, "var": 1, "negative_slope": 0.25}

    def fill(path: Any, leaf: Any) -> np.ndarray:
        name = path[-1].key
        if name == "kernel":
            return random.standard_normal(leaf.shape, np.float32) * np.float32(np.prod(leaf.shape[:-1]) ** -0.5)
        return np.full(leaf.shape, values.get(name, 0), np.float32)

    return jax.tree_util.tree_map_with_path(fill, dict(shapes))


def alternate(calls: list[Callable[[], Any]], repetitions: int) -> list[float]:
    """Seconds of the fastest call of each, in turns, after one that does not count."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(repetitions + 1):
        for call, own in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            own.append(time.perf_counter() - start)
    return [min(own[1:]) for own in times]


def measure(size: str, cores: int, repetitions: int, int8: bool) -> None:
    """Print a row for each batch of a network."""
    import jax

    from dms_jax.data.framing import Framing
    from dms_jax.inference.description import ModelDescription
    from dms_jax.inference.exported.onnx_file import make_onnx_model
    from dms_jax.inference.exported.onnx_session import OnnxPredictor
    from dms_jax.inference.exported.quantization import quantize
    from dms_jax.inference.predict_step import make_predict_step
    from dms_jax.models.dms import BDMS, SIZES
    from dms_jax.runtime.devices import data_mesh, shard_batch

    side, batches = NETWORKS[size]
    model = BDMS(num_classes=CLASSES, **SIZES[size])
    variables = random_variables(model)
    description = ModelDescription(tuple("abcdef"), "a", Framing(size=side))
    made = make_onnx_model(model, variables, description, "all")
    random = np.random.default_rng(0)
    files = [made]
    if int8:
        files.append(quantize(made, random.integers(0, 256, (4, side, side, 3), np.uint8)))
    mesh = data_mesh()
    step = make_predict_step(model, mesh)
    prepared = step.prepare(variables)
    for batch in batches:
        images = random.integers(0, 256, (batch, side, side, 3), np.uint8)
        sessions = [OnnxPredictor(file.SerializeToString(), rows=batch, threads=cores) for file in files]

        def ours(images: np.ndarray = images) -> Any:
            return jax.block_until_ready(step(prepared, shard_batch(images, mesh)))

        calls = [ours, *((lambda s=s, images=images: s.maps(images)) for s in sessions)]
        own, *exported = (
            seconds * 1e3 for seconds in alternate(calls, repetitions if size == "full" else 4 * repetitions)
        )
        shown = " | ".join(f"{milliseconds:.1f} | {milliseconds / own:.2f}" for milliseconds in exported)
        print(f"| BDMS {size}, {side} x {side} | {batch} | {own:.1f} | {shown} |", flush=True)


def main() -> int:
    """Measure what the flags name."""
    parser = argparse.ArgumentParser(description="Time ONNX Runtime against this project's own prediction on a CPU.")
    parser.add_argument("--only", default=",".join(NETWORKS), metavar="NAME,NAME", help="%(default)s")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=9, help="of the full network; four times as many of another")
    parser.add_argument("--int8", action="store_true", help="the quantised file too")
    arguments = parser.parse_args()
    sizes = arguments.only.split(",")
    if unknown := set(sizes) - NETWORKS.keys():
        parser.error(f"--only: there is no network '{min(unknown)}': choose among {', '.join(NETWORKS)}")
    # Before JAX counts the cores.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    os.environ["JAX_PLATFORMS"] = "cpu"
    columns = ["ONNX Runtime, ms", "of ours"] + ["INT8, ms", "of ours"] * arguments.int8
    print(f"| network | batch | ours, ms | {' | '.join(columns)} |\n|{' --- |' * (3 + len(columns))}")
    for size in sizes:
        measure(size, arguments.cores, arguments.repetitions, arguments.int8)
    return 0


if __name__ == "__main__":
    sys.exit(main())
