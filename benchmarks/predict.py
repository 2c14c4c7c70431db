"""Prediction of many files, from decoding to written maps: python benchmarks/predict.py --workdir RUN --images DIR.

In one run: the same network in PyTorch (--peer FILE) with a DataLoader of as many workers and torch.compile, the bare
prediction step, and `dms-jax predict`'s own function with maps alone and with overlays, on as many files as asked for,
which are copies of the given ones; and how much memory processes take at a hundred files and at all of them. What is
compiled is compiled before the clock starts, for both.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_FEW = 100


def main() -> int:
    """Measure what the flags say, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description="Time the prediction of many files, end to end.")
    parser.add_argument("--workdir", type=Path, required=True, metavar="DIR", help="of a run")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="of which copies are predicted")
    parser.add_argument("--count", type=int, default=10_000, help="files (%(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes, of both (%(default)s)")
    parser.add_argument("--peer", type=Path, metavar="FILE", help="script with the same network in PyTorch: BDMS()")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each repetition of the bare step (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--one", choices=("maps", "overlays", "few"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        return _one(arguments)
    with tempfile.TemporaryDirectory() as folder:
        copies = copies_of(arguments.images, arguments.count, Path(folder) / "images")
        rows: dict[str, dict[str, float]] = {}
        if arguments.peer:
            command = [_HERE / "torch_predict.py", arguments.peer, copies, Path(folder) / "peer", arguments.workers]
            rows["PyTorch, torch.compile"] = _measured(command)
        for name in ("few", "maps", "overlays"):
            flags = ["--workdir", arguments.workdir, "--images", copies, "--workers", arguments.workers]
            flags += ["--seconds", arguments.seconds, "--one", name]
            title = {"few": f"dms-jax predict, {_FEW} files", "maps": "dms-jax predict, maps"}
            rows[title.get(name, "dms-jax predict, maps and overlays")] = _measured([__file__, *flags])
    bare = rows["dms-jax predict, maps"].get("bare")
    peer = rows.get("PyTorch, torch.compile", {}).get("images_per_second")
    print("\n| | images/s | of PyTorch | of the bare step | memory |")
    print("| --- | --- | --- | --- | --- |")
    for title, row in rows.items():
        speed = row["images_per_second"]
        ratio = f"{speed / peer:.2f}" if peer else ""
        share = f"{speed / bare:.0%}" if bare else ""
        print(f"| {title} | {speed:.0f} | {ratio} | {share} | {row['mib']:.0f} MiB |")
    if bare:
        print(f"| the bare step | {bare:.0f} | | | |")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


def copies_of(images: Path, count: int, folder: Path) -> Path:
    """Fill a folder with so many files, copies of the images below another one."""
    files = sorted(path for path in images.rglob("*") if path.suffix.lower() in (".png", ".jpg", ".bmp"))
    folder.mkdir()
    for number in range(count):
        file = files[number % len(files)]
        shutil.copy(file, folder / f"{number:06d}{file.suffix}")
    return folder


def _measured(command: list[object]) -> dict[str, float]:
    done = subprocess.run([sys.executable, *map(str, command)], stdout=subprocess.PIPE, text=True, check=True)
    line = done.stdout.strip().splitlines()[-1]
    print(line, file=sys.stderr)
    return json.loads(line)


def _one(arguments: argparse.Namespace) -> int:
    """One of the measurements, in a process of its own."""
    import numpy as np
    from memory import PeakMemory
    from timing import seconds_per_call

    from dms_jax.inference.folder.listing import list_files
    from dms_jax.inference.folder.predict import predict_files
    from dms_jax.inference.folder.workers import open_pool
    from dms_jax.runs.predictor import Predictor
    from dms_jax.runtime.devices import shard_batch

    predictor = Predictor.load(arguments.workdir)
    batches, size = predictor.batches, predictor.reading.framing.size
    zeros = np.zeros((batches.rows, size, size, 3), np.uint8)
    for _ in range(4):
        batches(zeros)
    figures = {}
    if arguments.one == "maps":
        on_device = shard_batch(zeros, batches._mesh)
        seconds = seconds_per_call(lambda: batches._predict_step(batches._prepared, on_device), arguments.seconds)
        figures["bare"] = batches.rows / seconds
    files = list_files([str(arguments.images)])
    files = files[:_FEW] if arguments.one == "few" else files
    pool = open_pool(arguments.workers, size)
    with tempfile.TemporaryDirectory() as folder, PeakMemory() as memory, pool as opened:
        time.sleep(3)  # as they start while the network is compiled
        started = time.monotonic()
        summary = predict_files(
            *(batches, predictor.reading, files, Path(folder) / "out"),
            model={"run": predictor.workdir.name, "step": predictor.step},
            overlays=arguments.one != "maps",
            pool=opened,
        )
        seconds = time.monotonic() - started
    assert summary.predicted == len(files), summary.failed
    print(json.dumps({**figures, "images_per_second": len(files) / seconds, "seconds": seconds, "mib": memory.mib}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
