"""How fast a run's network predicts on this machine, as it is and as exported files."""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dms_jax.data.datasets.drawing import CLASS_NAMES, draw
from dms_jax.data.png import encode_png
from dms_jax.errors import UserError
from dms_jax.inference.batching import BatchPredictor
from dms_jax.inference.folder.listing import ImageFile, list_files
from dms_jax.inference.folder.predict import predict_files
from dms_jax.inference.folder.workers import open_pool
from dms_jax.inference.interpretation import Interpretation
from dms_jax.inference.predict_step import make_predict_step
from dms_jax.runs.open_run import open_run
from dms_jax.runtime.cores import usable_cores
from dms_jax.runtime.devices import data_mesh

# Of the images that are drawn where none are named.
_DRAWN = 64
_LEAST_CALLS = 5

Images = NDArray[np.uint8]
Call = Callable[[Images], object]


@dataclass(frozen=True)
class Timing:
    """How long one way of predicting takes.

    Attributes:
      what: the run on its devices, an exported file, or `files to maps` (from decoding to written maps and overlays).
      batch: images predicted at once.
      first_call: seconds of the first call, compilation included; None where it was not apart.
      seconds: for an image, at the median.
    """

    what: str
    batch: int
    first_call: float | None
    seconds: float


def benchmark_run(
    workdir: Path,
    *,
    batches: Sequence[int],
    exported: Sequence[Path] = (),
    images: Sequence[str] = (),
    budget: float = 2.0,
    report: Callable[[Timing], object] = lambda timing: None,
) -> list[Timing]:
    """Time the prediction of crops, from the host's memory to the host's memory, and of files from end to end.

    Args:
      workdir: of the run.
      batches: how many images at once, one measurement each.
      exported: files of `dms-jax export` to time as well.
      images: files and folders to predict end to end; none: some that are drawn, of the size of a crop.
      budget: seconds that a measurement takes, about; the first call not counted.
      report: called with each measurement when it is done.

    Raises:
      UserError: there is no such run, file or image, an exported file sees crops of another size, or no image can be
        read.
    """
    run = open_run(workdir)
    description = run.description.model
    side = description.framing.size
    # Before anything is timed: what cannot be used is said at once.
    calls = {path: _exported(path, workdir, side) for path in exported}
    files = list_files(images) if images else []
    mesh = data_mesh(jax.local_devices())
    step = make_predict_step(run.model, mesh, deterministic=run.config.deterministic, final_only=True)
    device = next(iter(mesh.devices.flat)).device_kind
    timings: list[Timing] = []

    def add(timing: Timing) -> None:
        timings.append(timing)
        report(timing)

    predictor = None
    for batch in batches:
        # Devices share a batch evenly.
        rows = -(-batch // mesh.size) * mesh.size
        predictor = BatchPredictor(step, run.variables, mesh, rows)
        add(_timed(f"the run on {mesh.size} x {device}", predictor, rows, side, budget))
    for path, call in calls.items():
        for batch in batches:
            add(_timed(str(path), call, batch, side, budget))
    assert predictor is not None  # of the largest batch, which comes last
    add(_end_to_end(predictor, Interpretation.of(description), files, side))
    return timings


def _timed(what: str, call: Call, batch: int, side: int, budget: float) -> Timing:
    rng = np.random.default_rng(0)
    inputs = rng.integers(0, 256, (batch, side, side, 3), np.uint8)
    started = time.perf_counter()
    call(inputs)
    first = time.perf_counter() - started
    times: list[float] = []
    call(inputs)
    while len(times) < _LEAST_CALLS or sum(times) < budget:
        started = time.perf_counter()
        call(inputs)
        times.append(time.perf_counter() - started)
    return Timing(what, batch, first, statistics.median(times) / batch)


def _exported(path: Path, workdir: Path, side: int) -> Call:
    call: Call
    if path.suffix == ".onnx":
        # Imported late, here and below: extras.
        from dms_jax.inference.exported.extras import check_installed

        check_installed("onnx", "ONNX files")
        from dms_jax.inference.exported.onnx_session import OnnxPredictor

        call = predictor = OnnxPredictor(path, rows=1_000_000)
        metadata = predictor.metadata
    elif path.suffix == ".jaxexport":
        from dms_jax.inference.exported.jax_program import read_jax_program

        program, metadata = read_jax_program(path)

        def call(images: Images) -> object:
            return jax.device_get(program(images))
    else:
        raise UserError(f"{path} is neither .onnx nor .jaxexport: name a file of dms-jax export.")
    own = metadata.description.framing.size
    if own != side:
        raise UserError(
            f"{path} is not of the run in {workdir}: it sees crops of {own} x {own}, and the run of {side} x {side}; "
            "name the run that it was exported from."
        )
    return call


def _end_to_end(predictor: BatchPredictor, reading: Interpretation, files: Sequence[ImageFile], side: int) -> Timing:
    with tempfile.TemporaryDirectory() as folder:
        if not files:
            _draw(Path(folder) / "images", side)
            files = list_files([str(Path(folder) / "images")])
        # As `dms-jax predict` does for many files.
        workers = usable_cores() if predictor.calls_at_once > 1 else 0
        with open_pool(workers, side) as pool:
            started = time.perf_counter()
            summary = predict_files(predictor, reading, files, Path(folder) / "out", model={}, pool=pool)
            seconds = time.perf_counter() - started
    if not summary.predicted:
        raise UserError(summary.failed[0])
    return Timing("files to maps and overlays", predictor.rows, None, seconds / summary.predicted)


def _draw(folder: Path, side: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(_DRAWN):
        drawing = draw(CLASS_NAMES[number % len(CLASS_NAMES)], side, rng)
        (folder / f"{number:03d}.png").write_bytes(encode_png(Image.fromarray(drawing.image)))


def as_rows(timings: Sequence[Timing]) -> list[dict[str, Any]]:
    """For JSON: `what`, `batch`, `first_call` in seconds, `milliseconds` and `images_per_second`."""
    return [
        {
            "what": timing.what,
            "batch": timing.batch,
            "first_call": timing.first_call,
            "milliseconds": 1e3 * timing.seconds,
            "images_per_second": 1 / timing.seconds,
        }
        for timing in timings
    ]
