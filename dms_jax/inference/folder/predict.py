"""A folder of predictions, from files of images: at flat memory, and going on where it was interrupted."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dms_jax.errors import UserError
from dms_jax.inference.folder.files import MAPS, OVERLAYS, FileStep, ignore_interruptions
from dms_jax.inference.folder.listing import ImageFile, refuse_overwriting
from dms_jax.inference.folder.records import RecordFile, write_table
from dms_jax.inference.interpretation import Interpretation
from dms_jax.inference.streaming import stream
from dms_jax.whole_files import write_whole

if TYPE_CHECKING:
    from dms_jax.inference.batching import BatchPredictor

# Files that are sent to a process at a time: each takes a few milliseconds, sending half of one.
_CHUNK = 8
# Below so many files, starting processes takes longer than they save.
_WORTH_PROCESSES = 256


@dataclass(frozen=True)
class FolderSummary:
    """What became of the files.

    Attributes:
      predicted: how many were predicted now.
      earlier: how many had been, by an earlier call.
      classes: how many of those predicted now are of each class; empty without class heads.
      firing: how many of those have a defective pixel; None without a threshold.
      failed: for each that could not be read, why.
      seconds: from the first file to the last.
    """

    predicted: int
    earlier: int
    classes: Mapping[str, int]
    firing: int | None
    failed: tuple[str, ...]
    seconds: float


def predict_files(
    predict: BatchPredictor,
    reading: Interpretation,
    files: Sequence[ImageFile],
    output: Path,
    *,
    model: Mapping[str, Any],
    overlays: bool = True,
    workers: int | None = None,
    shard: str = "",
    progress: Callable[[int], object] = lambda count: None,
) -> FolderSummary:
    """Predict files, and write `maps/`, `overlays/`, `predictions.jsonl`, `.csv` and `.json` below a folder.

    A file that cannot be read is recorded with the reason. Files of which the folder has a record are not predicted
    again. The table is written at the end, also of an interruption.

    Args:
      predict: the network, of whose outputs there is only the last.
      reading: how its answers are read.
      files: see `dms_jax.inference.folder.listing.list_files`.
      output: the folder; made if absent.
      model: what says which network it is, for JSON.
      overlays: write images with their predictions drawn on them.
      workers: processes that read and write; 0: threads. None: as many as there are cores where a GPU predicts many
        files, threads elsewhere.
      shard: part of the tables' names, where several processes or machines share the folder.
      progress: called with the number of files that are done, each time some are.

    Raises:
      UserError: the folder holds predictions of another network or of other settings, a file to be predicted lies where
        predictions are written, or a record is damaged.
      OSError: the folder cannot be written.
    """
    refuse_overwriting(files, (output / MAPS, output / OVERLAYS))
    output.mkdir(parents=True, exist_ok=True)
    _claim(output / f"predictions{shard}.json", {"model": dict(model), **_as_json(reading), "overlays": overlays})
    records, table = output / f"predictions{shard}.jsonl", output / f"predictions{shard}.csv"
    step = FileStep(reading, output, overlays)
    if workers is None:
        many = len(files) >= _WORTH_PROCESSES and predict.calls_at_once > 1
        workers = (os.cpu_count() or 1) if many else 0
    classes: Counter[str] = Counter()
    failed: list[str] = []
    predicted = firing = 0
    started = time.monotonic()
    with RecordFile(records) as file:
        left = [each for each in files if each.path not in file.done]
        progress(len(files) - len(left))
        try:
            with _pool(workers) as pool:
                chunk = _CHUNK if workers else 1
                # Enough for two batches to wait while one is predicted, and for every worker.
                ahead = max(2 * predict.rows // chunk, 2 * workers) + 1
                for record in stream(left, step.load, predict, step.finish, pool, chunk=chunk, ahead=ahead):
                    file.append(record)
                    progress(1)
                    if "error" in record:
                        failed.append(record["error"])
                        continue
                    predicted += 1
                    firing += bool(record["boxes"])
                    if record["class"] is not None:
                        classes[record["class"]] += 1
        finally:
            write_table(records, table)
    return FolderSummary(
        predicted,
        len(files) - len(left),
        {name: classes[name] for name in reading.class_names} if classes else {},
        None if reading.threshold is None else firing,
        tuple(failed),
        time.monotonic() - started,
    )


def _claim(path: Path, settings: dict[str, Any]) -> None:
    """Note what the predictions are of; those that are there already must be of the same."""
    settings = json.loads(json.dumps(settings))
    if path.exists():
        try:
            earlier = json.loads(path.read_text())
        except ValueError:
            earlier = None
        if not isinstance(earlier, dict):
            raise UserError(f"{path} is damaged: choose another --output, or remove it.")
        different = sorted(key for key in settings.keys() | earlier.keys() if settings.get(key) != earlier.get(key))
        if different:
            raise UserError(
                f"{path.parent} holds predictions made otherwise ({', '.join(different)}): choose another --output."
            )
    else:
        text = json.dumps(settings, indent=2) + "\n"
        write_whole(path, lambda file: file.write(text.encode()))


def _as_json(reading: Interpretation) -> dict[str, Any]:
    fields = asdict(reading)
    fields["free_class"] = None if reading.free_class is None else reading.class_names[reading.free_class]
    return fields


@contextmanager
def _pool(workers: int) -> Iterator[Executor]:
    pool: Executor
    if workers:
        # Spawned: a fork of a process with JAX's threads may hang.
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=ignore_interruptions)
    else:
        pool = ThreadPoolExecutor(min(os.cpu_count() or 1, 16))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
