"""The files of a run and of a folder of predictions, for trials of damaged ones."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from survival.damaged_samples import Maker, Sample

from configs import quickstart
from dms_jax.checkpoints.backbone import read_description
from dms_jax.data.framing import Framing
from dms_jax.evaluation.report.page import render
from dms_jax.evaluation.report.predictions import report_predictions
from dms_jax.inference.description import OperatingPoint
from dms_jax.inference.folder.records import RecordFile, write_table
from dms_jax.inference.interpretation import Interpretation
from dms_jax.runs.config import build, checks, saved
from dms_jax.runs.description import RunDescription
from dms_jax.runs.monitoring.metrics_file import MetricsFile, read_metrics
from dms_jax.runs.results import load_results


def _run(folder: Path) -> list[Sample]:
    saved.save(quickstart.get_config(), folder)
    plain, gated = OperatingPoint(120, "chosen", {130: 1, 20: 9}), OperatingPoint(60, "chosen", {90: 1, 2: 9})
    RunDescription(
        ("free", "crack"), "free", Framing(), "data", plain, gated, value_range=(0.0, 4095.0), images={"test": "ab"}
    ).save(folder)
    metrics = MetricsFile(folder / "metrics.jsonl")
    for step in range(1, 9):
        metrics.write(step, {"loss": 1 / step, "validation/maxF": None})
    metrics.close()
    (folder / "eval").mkdir()
    (folder / "eval" / "test.json").write_text(json.dumps({"mae": 0.1, "images": 3, "defective": {"images": 2}}))
    architecture = {"stage_sizes": [1, 1, 1, 1], "groups": 2, "width_per_group": 32}
    (folder / "backbone.json").write_text(json.dumps({"architecture": architecture, "source": "x.pth"}))
    readers: dict[str, Callable[[], object]] = {
        "config.json": partial(_open_configuration, folder),
        "run.json": partial(_open_description, folder),
        "metrics.jsonl": partial(_read_metrics, folder / "metrics.jsonl"),
        "eval/test.json": partial(load_results, folder, "test"),
        "backbone.json": partial(read_description, folder),
    }
    return [Sample(folder / name, partial(_quietly, read), Path(name).name, True) for name, read in readers.items()]


def _quietly(read: Callable[[], object]) -> None:
    read()


def _open_configuration(workdir: Path) -> None:
    """As `open_run` does, but for the checkpoint."""
    config = saved.load_run(workdir)
    checks.check_saved(config, workdir)
    build.framing_config(config)
    build.build_model(config, 3)


def _open_description(workdir: Path) -> None:
    description = RunDescription.load(workdir)
    assert description is not None
    Interpretation.of(description.model)
    Interpretation.of(description.model, max_false_alarms=0.2)


def _read_metrics(path: Path) -> None:
    read_metrics(path)
    before = path.read_bytes()
    try:
        MetricsFile(path, resume_step=3).close()
    finally:
        path.write_bytes(before)


def _predictions(folder: Path) -> list[Sample]:
    settings = {
        **{"model": {"run": "a", "step": 70}, "class_names": ["crack", "free"], "free_class": "free"},
        **{"framing": {"mode": "squash", "size": 32, "tile": 0, "overlap": 0.25}, "gates": True, "threshold": 100},
        **{"note": "the largest F1 of validation", "value_range": None, "overlays": False},
    }
    (folder / "predictions.json").write_text(json.dumps(settings, indent=2))
    lines = []
    for number in range(3):
        name = f"line/{number}"
        pixels = np.full((12, 16), 255 if number else 0, np.uint8)
        for path in (folder / part / f"{name}.png" for part in ("maps", "masks", "images")):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
        record = {
            **{"file": str(folder / "images" / f"{name}.png"), "name": name, "defective": True, "class": "crack"},
            **{"probability": 0.9, "probabilities": {"crack": 0.9, "free": 0.1}, "score": 0.9, "area": 0.25},
            "boxes": [[0, 0, 4, 4, 16]],
        }
        lines.append(json.dumps(record))
    lines.append(json.dumps({"file": "bad.png", "name": "bad", "error": "bad.png is empty."}))
    records = folder / "predictions.jsonl"
    records.write_text("\n".join(lines) + "\n")
    report = partial(_quietly, lambda: render(report_predictions(folder)))
    scored = partial(_quietly, lambda: render(report_predictions(folder, folder / "masks")))
    return [
        Sample(folder / "predictions.json", report, "predictions.json", True),
        Sample(records, report, str(folder), True),
        Sample(records, scored, str(folder), True),
        Sample(records, partial(_go_on, records, folder.with_suffix(".csv")), "predictions.jsonl", True),
        Sample(folder / "maps" / "line" / "1.png", report, "1.png"),
    ]


def _go_on(records: Path, table: Path) -> None:
    with RecordFile(records):
        pass
    write_table(records, table)


KINDS: dict[str, Maker] = {"run": _run, "predictions": _predictions}
