"""A run's network as one file, and such a file scored as the run is."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from dms_jax.data.examples import ExampleSource
from dms_jax.data.pipeline import EvaluationBatch, evaluation_batches
from dms_jax.errors import UserError
from dms_jax.evaluation.evaluator import evaluate
from dms_jax.evaluation.summary_metrics import compute_metrics
from dms_jax.evaluation.thresholds import no_threshold
from dms_jax.inference.batching import Predict
from dms_jax.inference.exported.extras import check_installed
from dms_jax.inference.exported.forms import Form
from dms_jax.inference.exported.jax_program import write_jax_program
from dms_jax.inference.exported.metadata import ExportMetadata, Outputs
from dms_jax.runs.config import build
from dms_jax.runs.open_run import OpenedRun, open_run
from dms_jax.runs.testing import RunEvaluation, evaluate_network, open_splits
from dms_jax.runtime.compilation_cache import keep_compiled_programs

_CALIBRATION_IMAGES = 100


@dataclass(frozen=True)
class ExportedRun:
    """What has been exported.

    Attributes:
      metadata: what the file says of itself.
      step: after which the weights were saved.
      notes: sentences for the user.
    """

    metadata: ExportMetadata
    step: int
    notes: tuple[str, ...] = ()


def export_run(
    workdir: str | os.PathLike[str],
    output: str | os.PathLike[str],
    form: Form,
    outputs: Outputs = "final",
    *,
    dtype: str = "float32",
    int8: bool = False,
    data_dir: str | None = None,
    manual_dir: str | None = None,
) -> ExportedRun:
    """Write the best network of a run to a file.

    Args:
      workdir: of the run, finished or not.
      output: the file; its folder is made where there is none.
      form: "jax" or "onnx".
      outputs: which saliency maps and classes the file gives.
      dtype: of "jax": what it computes in, float32 or bfloat16.
      int8: quantise the ONNX file by validation images of the run, and measure what that costs on them.
      data_dir: see `dms_jax.runs.testing.evaluate_run`; the dataset is needed for `int8` alone.
      manual_dir: the same.

    Raises:
      UserError: there is no run, or it has no checkpoint yet; its network cannot be written so; its dataset is needed
        and cannot be had; or a package is absent.
    """
    check_installed("export" if form == "jax" else "onnx", "Files of jax.export" if form == "jax" else "ONNX files")
    keep_compiled_programs()
    run, output = open_run(workdir), Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    description = run.description.model
    if form == "jax":
        metadata = write_jax_program(output, run.model, run.variables, description, outputs, jnp.dtype(dtype))
        return ExportedRun(metadata, run.step)
    # Imported late: they need what `check_installed` has looked for.
    from dms_jax.inference.exported.onnx_file import make_onnx_model, metadata_of, save_onnx_model

    instead = f"--output {output.with_suffix('.jaxexport')}{', without --int8' if int8 else ''}"
    model = make_onnx_model(run.model, run.variables, description, outputs, instead=instead)
    notes: tuple[str, ...] = ()
    if int8:
        from dms_jax.inference.exported.quantization import quantize

        _, splits, _ = open_splits(run, "validation", data_dir=data_dir, manual_dir=manual_dir)
        if not len(splits.test):
            raise UserError(
                f"{workdir} has no validation images to choose the ranges of INT8 by: export without --int8."
            )
        quantized = quantize(model, _calibration_images(run, splits.test))
        notes = (_loss(run, splits.test, model.SerializeToString(), quantized.SerializeToString()),)
        model = quantized
    save_onnx_model(model, output)
    return ExportedRun(metadata_of(model), run.step, notes)


def evaluate_onnx(
    file: Path,
    workdir: Path,
    split: str = "test",
    *,
    data_dir: str | None = None,
    manual_dir: str | None = None,
    max_false_alarms: float | None = None,
) -> RunEvaluation:
    """Score an ONNX file on the dataset of the run that it was exported from, as the run is scored.

    The arguments are those of `dms_jax.runs.testing.evaluate_run`. Nothing is kept in the work directory.

    Raises:
      UserError: as `evaluate_run`; or the file cannot be run, or is that of another run.
    """
    check_installed("onnx", "ONNX files")
    from dms_jax.inference.exported.onnx_session import OnnxPredictor

    run = open_run(workdir)
    if max_false_alarms is not None:
        with run.config.unlocked():
            run.config.evaluation.max_false_alarms = max_false_alarms
    predictor = OnnxPredictor(file, rows=run.config.batch_size)
    exported, own = predictor.metadata.description, run.description.model
    if (exported.class_names, exported.framing) != (own.class_names, own.framing):
        raise UserError(
            f"{file} is not of the run in {workdir}: it has other classes or sees images otherwise; name the run that "
            "it was exported from."
        )
    dataset, splits, notes = open_splits(run, split, data_dir=data_dir, manual_dir=manual_dir)
    if (exported.plain, exported.gated) != (own.plain, own.gated):
        notes = (
            *notes,
            f"{file} has other thresholds than the run in {workdir}: it is of another run, or was exported before this "
            "one trained on or was tested as it is now. Its step is not known; the one below is the run's.",
        )
    tested = evaluate_network(predictor.maps, run.config, dataset, splits, step=run.step, steps=run.steps)
    return replace(tested, results={"file": str(file), **tested.results}, notes=notes)


def _calibration_images(run: OpenedRun, source: ExampleSource) -> np.ndarray:
    """Crops of images from all over a split, uint8 [M, S, S, 3]; about a hundred."""
    few = source.subset(_spread(len(source)))
    batches = evaluation_batches(few, build.framing_config(run.config), **build.reading_options(run.config))
    # Of an image that is cut into hundreds of tiles, no more are held than may be needed.
    images = np.concatenate(list(_some_crops(batches, -(-_CALIBRATION_IMAGES // len(few)))))
    return images[_spread(len(images))]


def _some_crops(batches: Iterable[EvaluationBatch], most: int) -> Iterator[np.ndarray]:
    """At most so many crops of each image, from all over it, uint8 [m, S, S, 3]."""
    for batch in batches:
        start = 0
        for crops in batch.crops:
            yield batch.images[start + _spread(len(crops), most)]
            start += len(crops)


def _spread(count: int, most: int = _CALIBRATION_IMAGES) -> np.ndarray:
    """At most so many numbers, from all over 0..count - 1."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def _loss(run: OpenedRun, source: ExampleSource, plain: bytes, quantized: bytes) -> str:
    """A sentence on what INT8 costs on a split."""
    from dms_jax.inference.exported.onnx_session import OnnxPredictor

    before, after = (
        _metrics(run, source, OnnxPredictor(model, rows=run.config.batch_size).maps) for model in (plain, quantized)
    )
    images = f"{len(source)} images of validation"
    if before["mae"] is None:
        return f"no mask of the {images} is known, to measure by what INT8 costs"
    if before["defective"]["max_f"] is None:
        return f"on {images}, MAE is {after['mae']:.4f} in INT8 and {before['mae']:.4f} in float32"
    parts = []
    for name, old, new in (("all", before, after), ("the defective", before["defective"], after["defective"])):
        change = new["max_f"] - old["max_f"]
        parts.append(f"of {name} {new['max_f']:.4f} in INT8 and {old['max_f']:.4f} in float32 ({change:+.4f})")
    return f"on {images}, maxF {' and '.join(parts)}"


def _metrics(run: OpenedRun, source: ExampleSource, predict: Predict) -> dict[str, Any]:
    names, free = run.description.class_names, run.description.free_class
    number = None if free is None else names.index(free)
    batches = evaluation_batches(source, build.framing_config(run.config), **build.reading_options(run.config))
    evaluation = evaluate(predict, batches, free_class=number, with_sod=False)
    return compute_metrics(evaluation, no_threshold("not needed"), class_names=names, free_class=number)
