"""Training steps of U-Net and FCN-8s, ours against PyTorch's, in one run on the same device.

    python benchmarks/compare_speed.py --at-least 1.5

A step of ours is the whole of it, with augmentation; one of PyTorch's (`torch_compare.py`) has neither that nor the
normalisation of images, and the table quotes its fastest mode. Weights are random.
"""

import argparse
import json
import sys
from pathlib import Path

# Beside this file; the tests' networks in PyTorch are in the folder above it.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from peer import Times, best, run_script

_NETWORKS = ("unet", "fcn8s")
_SCRIPT = Path(__file__).resolve().parent / "torch_compare.py"


def main(argv: list[str] | None = None) -> int:
    """Measure what the flags say, and print a table in Markdown; 1 where a ratio is below `--at-least`."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    names, batches = arguments.networks.split(","), [int(batch) for batch in arguments.batches.split(",")]
    if unknown := set(names) - set(_NETWORKS):
        parser.error(f"--networks: there is no '{min(unknown)}': choose among {', '.join(_NETWORKS)}")
    width = 0.25 if arguments.size == "small" else 1.0
    # Other processes first, while the GPU's memory is free: JAX takes most of it in this one.
    peers: dict[str, Times] = {name: {} for name in names}
    for name in names:
        for mode in arguments.modes.split(","):
            options = {
                "mode": mode,
                "batches": arguments.batches,
                "image-size": arguments.image_size,
                "base": round(64 * width),
                "seconds": arguments.seconds,
            }
            command = [_SCRIPT, name, *(f"--{key}={value}" for key, value in options.items())]
            peers[name] |= run_script(command, mode, arguments.peer_limit)[0]

    import jax
    from steps import Bench

    on_cpu = jax.default_backend() == "cpu"
    dtype = jax.numpy.float32 if on_cpu else jax.numpy.bfloat16
    side = arguments.image_size
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, {jax.numpy.dtype(dtype)}, {side} x {side}\n")
    print("| network | batch | ms | images/s | PyTorch, ms | images/s | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    rows = []
    for name in names:
        bench = Bench(name, arguments.size, side, 1, dtype, remat=False, budget=arguments.seconds)
        for batch in batches:
            seconds = bench.train(batch).seconds
            peer = best(peers[name], "train", batch)
            theirs = (
                f"{peer[0] * 1e3:.2f} ({peer[1]}) | {batch / peer[0]:.1f} | {peer[0] / seconds:.2f}" if peer else "| |"
            )
            print(f"| {name} | {batch} | {seconds * 1e3:.2f} | {batch / seconds:.1f} | {theirs} |", flush=True)
            modes = {mode: t for (_, size, mode), t in peers[name].items() if size == batch}
            rows.append({"network": name, "batch": batch, "seconds": seconds, "peer_seconds": modes})
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    slow = [r for r in rows if min(r["peer_seconds"].values(), default=0) < arguments.at_least * r["seconds"]]
    return 1 if slow else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Time training steps of the comparison's networks beside PyTorch's.")
    parser.add_argument("--networks", default=",".join(_NETWORKS), help="comma-separated (%(default)s)")
    parser.add_argument("--size", choices=("full", "small"), default="full")
    parser.add_argument("--batches", default="16", help="comma-separated (%(default)s)")
    parser.add_argument("--image-size", type=int, default=300, help="in pixels (%(default)s)")
    parser.add_argument("--modes", default="eager,compile", help="of PyTorch: eager, compile, graphs (%(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each repetition, about (%(default)s)")
    parser.add_argument("--peer-limit", type=float, default=300, help="seconds for each mode of PyTorch (%(default)s)")
    parser.add_argument("--at-least", type=float, default=0.0, help="fail where a ratio is smaller")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
