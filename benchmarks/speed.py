"""How fast everything is, on this machine: python benchmarks/speed.py [--peer FILE] [--json FILE].

One run measures the device's matrix rate, the training and prediction steps, the same network in PyTorch where a
script for it is named, and `train.py` as a whole where a dataset is. benchmarks/README.md explains the columns.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

# Beside this file; the configurations are in the folder above it.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from networks import TIMED, device_name
from peer import best, peer_times
from whole_run import WholeRun, prepare_dataset, whole_run


def main() -> int:
    """Measure what the flags say, and print tables in Markdown."""
    arguments = _parser().parse_args()
    named = TIMED[arguments.network].sizes
    sizes = arguments.sizes.split(",") if arguments.sizes else [name for name in ("full", "lite") if name in named]
    if unknown := set(sizes) - named.keys():
        raise SystemExit(f"{arguments.network} has no size {min(unknown)}: choose among {', '.join(named)}")
    # Other processes first, while the GPU's memory is free: JAX takes most of it in this one.
    jobs = [(job, int(batch)) for job in ("predict", "train") for batch in getattr(arguments, job).split(",") if batch]
    jobs = [("latency", 1), *jobs] if arguments.latency else jobs
    modes, side = arguments.modes.split(","), arguments.image_size
    limit = arguments.peer_limit
    peer = peer_times(arguments.peer, modes, arguments.seconds, jobs, side, limit) if arguments.peer else {}
    runs = _train(arguments) if arguments.train_config else []

    import jax
    from flops import forward_flops
    from steps import Bench
    from timing import matrix_rate
    from whole_run import pipeline_rate

    from dms_jax.runs.config.flags import parse

    on_cpu = jax.default_backend() == "cpu"
    dtype = jax.numpy.float32 if on_cpu else jax.numpy.bfloat16
    rate = matrix_rate(dtype, 2048 if on_cpu else 8192, arguments.seconds)
    print(f"\n{jax.device_count()} x {jax.devices()[0].device_kind}, jax {jax.__version__}, {jax.numpy.dtype(dtype)}")
    print(f"matrices of {2048 if on_cpu else 8192}: {rate / 1e12:.3g} TFLOP/s\n")
    header = ("network", "step", "batch", "ms", "images/s", "TFLOP/s", "of matrices", "memory", "PyTorch", "ratio")
    print(_row(header))
    print(_row(["---"] * len(header)), flush=True)
    rows: list[dict[str, Any]] = []
    for size in sizes:
        for devices in map(int, arguments.devices.split(",")):
            bench = Bench(
                arguments.network,
                size,
                arguments.image_size,
                devices,
                dtype,
                arguments.remat,
                arguments.seconds,
                arguments.deterministic,
                not arguments.own_statistics,
            )
            flops = forward_flops(bench.model, arguments.image_size, arguments.image_size)
            for job, per_device in jobs:
                batch = per_device * devices
                timed = getattr(bench, job)(batch)
                speed = flops * (3 if job == "train" else 1) * batch / timed.seconds
                compares = size == "full" and devices == 1 and arguments.network == "bdms"
                theirs = best(peer, job, batch) if compares else None
                row = {
                    "network": arguments.network,
                    "size": size,
                    "image_size": arguments.image_size,
                    "devices": devices,
                    "remat": arguments.remat,
                    "deterministic": arguments.deterministic,
                    "own_statistics": arguments.own_statistics,
                    "job": job,
                    "batch": batch,
                    "seconds": timed.seconds,
                    "images_per_second": batch / timed.seconds,
                    "flops_per_second": speed,
                    "share_of_matrix_rate": speed / (rate * devices),
                    "memory_bytes": timed.memory_bytes,
                    "peer_seconds": theirs and theirs[0],
                    "peer_mode": theirs and theirs[1],
                }
                rows.append(row)
                print(_row(_cells(row)), flush=True)
    results: dict[str, Any] = {"device": device_name(), "matrix_rate": rate, "steps": rows, "peer": _listed(peer)}
    if arguments.train_config:
        config, _ = parse(["train.py", *_train_flags(arguments)], arguments.train_config)
        pipeline = pipeline_rate(config, 5 * arguments.seconds)
        print(f"\ninput pipeline alone, nothing in memory: {pipeline:.0f} images/s")
        results |= {"pipeline_images_per_second": pipeline, "train": [asdict(run) for run in runs]}
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Time the steps, the input pipeline and train.py.")
    parser.add_argument("--network", choices=tuple(TIMED), default="bdms", help="(%(default)s)")
    parser.add_argument(
        "--sizes", help="comma-separated: full, lite, medium, small (full, and lite where there is one)"
    )
    parser.add_argument("--image-size", type=int, default=300, help="side of the images (%(default)s)")
    parser.add_argument("--predict", default="1,16,64", metavar="N,N", help="batches to predict (%(default)s)")
    parser.add_argument("--train", default="16,64", metavar="N,N", help="batches to train, a device (%(default)s)")
    parser.add_argument("--no-latency", dest="latency", action="store_false", help="leave out one image's latency")
    parser.add_argument("--devices", default="1", metavar="N,N", help="numbers of devices (%(default)s)")
    parser.add_argument("--remat", action="store_true", help="train with config.model.remat")
    parser.add_argument("--deterministic", action="store_true", help="as config.deterministic")
    parser.add_argument("--own-statistics", action="store_true", help="as config.model.shared_statistics=False")
    parser.add_argument("--seconds", type=float, default=1.0, help="that a repetition lasts, of five (%(default)s)")
    parser.add_argument("--peer", type=Path, metavar="FILE", help="script that times the same network in PyTorch")
    parser.add_argument("--modes", default="eager,compile,graphs", help="of the peer (%(default)s)")
    parser.add_argument("--peer-limit", type=float, default=600.0, metavar="S", help="of each of its processes")
    parser.add_argument("--train-config", metavar="CONFIG", help="time train.py: configs/bdms.py:recipe=scratch")
    parser.add_argument("--train-steps", type=int, default=3000, help="of train.py (%(default)s)")
    parser.add_argument("--manual-dir", default="", metavar="DIR", help="the dataset's published files, for train.py")
    parser.add_argument("--data-dir", default="", metavar="DIR", help="where prepared datasets are, for train.py")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all metrics to this file")
    return parser


def _train_flags(arguments: argparse.Namespace) -> list[str]:
    return [
        f"--config={arguments.train_config}",
        f"--config.data.manual_dir={arguments.manual_dir}",
        f"--config.data.data_dir={arguments.data_dir}",
        f"--config.steps={arguments.train_steps}",
        f"--config.deterministic={arguments.deterministic}",
        f"--config.log_every={max(1, arguments.train_steps // 10)}",
    ]


def _train(arguments: argparse.Namespace) -> list[WholeRun]:
    """Time train.py twice, its dataset prepared: with nothing compiled yet, and with what the first run compiled."""
    runs = []
    prepare_dataset(arguments.train_config, _train_flags(arguments))
    with tempfile.TemporaryDirectory() as folder:
        for name in ("cold", "warm"):
            run = whole_run(Path(folder) / name, _train_flags(arguments), cache=Path(folder) / "cache")
            runs.append(run)
            start, speed = f"{run.first_step:.1f} s", f"{run.images_per_second:.0f} images/s"
            pauses = f"{run.with_pauses:.0f} with evaluations and checkpoints"
            print(f"train.py, {name}: first step after {start}, then {speed}, {pauses}", flush=True)
    return runs


def _cells(row: dict[str, Any]) -> list[str]:
    name = f"{row['network']} {row['size']}"
    name += f" x {row['devices']} devices" if row["devices"] > 1 else ""
    name += ", remat" if row["remat"] else ""
    name += ", deterministic" if row["deterministic"] else ""
    name += ", own statistics" if row["own_statistics"] else ""
    peer = row["peer_seconds"]
    return [
        name,
        row["job"],
        str(row["batch"]),
        f"{row['seconds'] * 1e3:.2f}",
        f"{row['images_per_second']:.1f}",
        f"{row['flops_per_second'] / 1e12:.4g}",
        f"{row['share_of_matrix_rate']:.1%}",
        f"{row['memory_bytes'] / 2**30:.2f} GiB",
        f"{peer * 1e3:.2f} ms ({row['peer_mode']})" if peer else "",
        f"{peer / row['seconds']:.2f}" if peer else "",
    ]


def _row(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


def _listed(peer: dict[tuple[str, int, str], float]) -> list[dict[str, Any]]:
    return [{"job": job, "batch": batch, "mode": mode, "seconds": s} for (job, batch, mode), s in peer.items()]


if __name__ == "__main__":
    sys.exit(main())
