"""The page: one HTML file that asks nothing of anybody, with all of its style, script and pictures in it."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path

from dms_jax.errors import UserError
from dms_jax.evaluation.report.charts import Chart, Line, chart_html
from dms_jax.evaluation.report.gallery import Gallery, gallery_data, gallery_html
from dms_jax.evaluation.report.tables import classes_table, confusion_html, headline_table, outputs_table, tiles_html
from dms_jax.evaluation.report.text import printable
from dms_jax.evaluation.summary_metrics import Metrics
from dms_jax.whole_files import write_whole

# What is drawn of a run's metrics.jsonl: the chart's title, its y axis, whether that is 0..1, and (scalar, its name).
_TRAINING = (
    ("Loss", "loss", False, (("train/loss", "training"),)),
    (
        "Validation",
        "score",
        True,
        (
            ("max_f", "maxF"),
            ("defective/max_f", "maxF, defective"),
            ("accuracy", "accuracy"),
        ),
    ),
    ("Validation, error", "MAE", False, (("mae", "MAE"), ("defective/mae", "MAE, defective"))),
)


@dataclass(frozen=True)
class Report:
    """What a page shows.

    Attributes:
      title: of the page.
      summary: what was measured on what; sentences.
      gallery: the images.
      metrics: see `dms_jax.evaluation.summary_metrics.compute_metrics`; None where no truth is known.
      history: scalars of a run by its steps, see `dms_jax.runs.monitoring.metrics_file`; empty without a run.
      selected_on: name of the split that a run was validated on, by which its scalars begin.
      notes: sentences on the data.
    """

    title: str
    summary: Sequence[str]
    gallery: Gallery
    metrics: Metrics | None = None
    history: Sequence[Mapping[str, float | None]] = ()
    selected_on: str = "validation"
    notes: Sequence[str] = ()


def render(report: Report) -> str:
    """The page's HTML; no name in it, of a file or a class, can become markup or script."""
    style, script = _asset("report.css"), _asset("report.js")
    # By their hashes nothing else runs, whatever a name may hold; nothing is loaded, from anywhere.
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    title = escape(printable(report.title))
    sections = [part for part in (_metrics_html(report), _curves_html(report)) if part]
    links = [("images", "Images")]
    if report.metrics is not None:
        classes = [("classes", "Classes")] if report.metrics["per_class"] else []
        links = [("metrics", "Metrics"), *classes, ("curves", "Curves"), *links]
    elif report.history:
        links = [("curves", "Curves"), *links]
    navigation = "".join(f'<a href="#{anchor}">{name}</a>' for anchor, name in links)
    summary = "".join(f"<p>{escape(printable(sentence))}</p>" for sentence in report.summary)
    notes = "".join(f"<li>{escape(printable(note))}</li>" for note in report.notes)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{title}</title><style>{style}</style></head><body>"
        f'<header><h1>{title}</h1><nav aria-label="Sections">{navigation}</nav></header><main>'
        f'<div class="summary">{summary}</div>{"".join(sections)}{gallery_html(report.gallery)}'
        + (f'<section><h2>Notes</h2><ul class="notes">{notes}</ul></section>' if notes else "")
        + "</main>"
        f'<script type="application/json" id="data">{gallery_data(report.gallery)}</script>'
        f"<script>{script}</script></body></html>\n"
    )


def write_report(report: Report, path: Path) -> None:
    """Write a page, whole or not at all.

    Raises:
      UserError: the file cannot be written.
    """
    data = render(report).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda file: file.write(data))
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror or error}): choose another file.") from error


def _metrics_html(report: Report) -> str:
    metrics = report.metrics
    if metrics is None:
        return ""
    confusion = metrics["image_level"]["confusion"]
    parts = [
        '<section id="metrics" aria-labelledby="metrics-title"><h2 id="metrics-title">Metrics</h2>',
        tiles_html(metrics),
        headline_table(metrics),
    ]
    if len(metrics["outputs"]) > 1:
        parts += ["<h3>By refinement step</h3>", outputs_table(metrics)]
    parts.append("</section>")
    if metrics["per_class"]:
        parts.append('<section id="classes" aria-labelledby="classes-title"><h2 id="classes-title">Classes</h2>')
        parts.append("<p>\u201cfired\u201d is the share of a class\u2019s images with a pixel above the threshold.</p>")
        parts.append(classes_table(metrics))
        if confusion is not None:
            parts.append(
                "<h3>Confusion matrix</h3><p>Images by true and predicted class; click a cell to see them.</p>"
            )
            parts.append(confusion_html(confusion))
        parts.append("</section>")
    return "".join(parts)


def _curves_html(report: Report) -> str:
    charts = [*_precision_recall(report.metrics), *_training_charts(report)]
    if not charts:
        return '<span id="curves"></span>' if report.metrics is not None else ""
    figures = "".join(map(chart_html, charts))
    return (
        '<section id="curves" aria-labelledby="curves-title"><h2 id="curves-title">Curves</h2>'
        f'<div class="charts">{figures}</div></section>'
    )


def _precision_recall(metrics: Metrics | None) -> list[Chart]:
    if metrics is None:
        return []
    lines = []
    curve = metrics["curve"]
    threshold = metrics["operating_threshold"]["value"]
    for name, own in (("all images", curve), ("defective images", curve["defective"])):
        if own is None or own["precision"] is None:
            continue
        points = list(zip(own["recall"], own["precision"], strict=True))
        mark = None if threshold is None else points[threshold]
        lines.append(Line(name, points, mark, f"map > {threshold}"))
    if not lines:
        return []
    return [Chart("Precision and recall, averaged over images", "recall", "precision", lines, unit=True)]


def _training_charts(report: Report) -> list[Chart]:
    charts = []
    for title, y, unit, scalars in _TRAINING:
        lines = []
        for key, name in scalars:
            key = key if "train/" in key else f"{report.selected_on}/{key}"
            points = [(step["step"], step[key]) for step in report.history if _is_drawn(step.get(key))]
            if points:
                lines.append(Line(name, points))
        if lines:
            charts.append(Chart(title, "step", y, lines, unit_y=unit))
    return charts


def _is_drawn(value: object) -> bool:
    """Whether a scalar has a place in a chart; what has been edited by hand may have none."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def _asset(name: str) -> str:
    return (files("dms_jax.evaluation.report") / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
