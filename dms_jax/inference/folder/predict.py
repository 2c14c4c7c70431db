"""A folder of predictions, from files of images: at flat memory, and going on where it was interrupted."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dms_jax.data.prediction_folders import MAPS, OVERLAYS, SETTINGS
from dms_jax.errors import UserError
from dms_jax.inference.folder.files import MAP_SUFFIX, OVERLAY_SUFFIX, FileStep
from dms_jax.inference.folder.listing import ImageFile, refuse_overwriting
from dms_jax.inference.folder.records import RecordFile, write_table
from dms_jax.inference.folder.workers import CHUNK, WorkerPool
from dms_jax.inference.interpretation import Interpretation
from dms_jax.inference.streaming import stream
from dms_jax.runtime.cores import usable_cores
from dms_jax.whole_files import write_whole

if TYPE_CHECKING:
    from dms_jax.inference.batching import BatchPredictor


@dataclass(frozen=True)
class FolderSummary:
    """What became of the files.

    Attributes:
      predicted: how many were predicted now.
      earlier: how many had been, by an earlier call.
      classes: how many of those predicted now are of each class; empty without class heads, or with a single class.
      firing: how many of those have a defective pixel; None without a threshold.
      failed: for each that could not be predicted, why.
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
    pool: WorkerPool | ThreadPoolExecutor,
    overlays: bool = True,
    shard: str = "",
    progress: Callable[[int], object] = lambda count: None,
) -> FolderSummary:
    """Predict files, and write `maps/`, `overlays/`, `predictions.jsonl`, `.csv` and `.json` below a folder.

    A file that cannot be read is recorded with the reason. Files of which the folder has a record are not predicted
    again, unless a machine that went down has left their maps or overlays empty. The table is written at the end, also
    of an interruption.

    Args:
      predict: the network, of whose outputs there is only the last.
      reading: how its answers are read.
      files: see `dms_jax.inference.folder.listing.list_files`.
      output: the folder; made if absent.
      model: what says which network it is, for JSON.
      pool: reads and writes; see `open_pool`.
      overlays: write images with their predictions drawn on them.
      shard: part of the tables' names, where several processes or machines share the folder.
      progress: called with the number of files that are done, each time some are.

    Raises:
      UserError: the folder holds predictions of another network or of other settings, or is in use; a file to be
        predicted lies where predictions are written; the prediction of a file would take another one's place; or a
        record is damaged.
      OSError: the folder cannot be written.
    """
    refuse_overwriting(files, {output / MAPS: MAP_SUFFIX, output / OVERLAYS: OVERLAY_SUFFIX})
    output.mkdir(parents=True, exist_ok=True)
    _claim(output / f"predictions{shard}.json", {"model": dict(model), **_as_json(reading), "overlays": overlays})
    records, table = output / f"predictions{shard}.jsonl", output / f"predictions{shard}.csv"
    step = FileStep(reading, output, overlays)
    # Threads are not sent anything.
    chunk = CHUNK if isinstance(pool, WorkerPool) else 1
    # Enough for two batches to wait while one is predicted.
    ahead = max(2 * predict.rows // chunk, 2 * usable_cores()) + 1
    classes: Counter[str] = Counter()
    failed: list[str] = []
    predicted = firing = 0
    started = time.monotonic()
    with RecordFile(records) as file:
        left = [
            each
            for each in files
            if each.path not in file.done or _left_empty(output, file.done[each.path], overlays=overlays)
        ]
        _refuse_same_names(left, file.done, output)
        progress(len(files) - len(left))
        try:
            for finished in stream(left, step.load, predict, step.finish, pool, chunk=chunk, ahead=ahead):
                file.append(finished.line)
                progress(1)
                if finished.error is not None:
                    failed.append(finished.error)
                    continue
                predicted += 1
                firing += finished.fires
                if finished.class_name is not None:
                    classes[finished.class_name] += 1
        finally:
            file.flush()
            write_table(records, table)
    return FolderSummary(
        predicted,
        len(files) - len(left),
        {name: classes[name] for name in reading.class_names} if classes and len(reading.class_names) > 1 else {},
        None if reading.threshold is None else firing,
        tuple(failed),
        time.monotonic() - started,
    )


def earlier_predictions(output: Path) -> tuple[Path, ...]:
    """The folders of images in a folder of predictions; none where it is not one yet."""
    return (output / MAPS, output / OVERLAYS) if any(output.glob(SETTINGS)) else ()


def _claim(path: Path, settings: dict[str, Any]) -> None:
    """Note what the predictions are of; those that are there already, of all shards, must be of the same."""
    settings = json.loads(json.dumps(settings))
    for each in sorted(path.parent.glob(SETTINGS)):
        try:
            earlier = json.loads(each.read_text())
        except ValueError:
            earlier = None
        if not isinstance(earlier, dict):
            raise UserError(f"{each} is damaged: choose another --output, or remove it.")
        keys = (settings.keys() | earlier.keys()) - {"note"}  # on how the threshold was chosen
        different = sorted(key for key in keys if settings.get(key) != earlier.get(key))
        if different:
            raise UserError(
                f"{path.parent} holds predictions made otherwise ({', '.join(different)}): choose another --output."
            )
    if not path.exists():
        text = json.dumps(settings, indent=2) + "\n"
        write_whole(path, lambda file: file.write(text.encode()))


def _left_empty(output: Path, name: str, *, overlays: bool) -> bool:
    """Whether what was written of an image has nothing in it; a file system may lose that, but not a later record."""
    written = [output / MAPS / f"{name}{MAP_SUFFIX}"]
    if overlays:
        written.append(output / OVERLAYS / f"{name}{OVERLAY_SUFFIX}")
    for path in written:
        # Of a damaged record, the name may be none.
        with contextlib.suppress(OSError, ValueError):
            if not path.stat().st_size:
                return True
    return False


def _refuse_same_names(files: Sequence[ImageFile], done: Mapping[str, str], output: Path) -> None:
    """An earlier call may have predicted other files, whose predictions are to stay."""
    taken = {name.casefold(): path for path, name in done.items()}
    for file in files:
        other = taken.get(file.name.casefold())
        if other not in (None, file.path):
            raise UserError(
                f"{file.path} would have the name of {other}, which is predicted in {output} already: choose another "
                "--output."
            )


def _as_json(reading: Interpretation) -> dict[str, Any]:
    fields = asdict(reading)
    fields["free_class"] = None if reading.free_class is None else reading.class_names[reading.free_class]
    return fields
