"""The tables of a page: headline, classes, refinement steps and confusion matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from dms_jax.evaluation.report.text import printable, shown_number
from dms_jax.evaluation.summary_metrics import Metrics

_MAX_F = (
    "F at the best of 256 thresholds on these very images; precision and recall are averaged over images before, "
    "beta\u00b2 = 0.3, no stretching of maps (SalMetric's convention)."
)
_POOLED = "the pixels of all images together, at the operating threshold"

# What it is called, where it is in the metrics, and how it is measured.
_HEADLINE: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("maxF, all images", ("max_f",), _MAX_F + " Sound images with black maps count as perfect."),
    ("maxF, defective images", ("defective", "max_f"), "The same over the images that have a defect."),
    ("MAE, all images", ("mae",), "The mean of |map - mask| / 255 over an image, averaged over images; 0 is best."),
    ("MAE, defective images", ("defective", "mae"), "The same over the images that have a defect."),
    ("IoU", ("iou",), f"Hits / (predicted or defective), of {_POOLED}."),
    ("F1", ("f1",), f"2 hits / (predicted + defective), of {_POOLED}."),
    ("pixel AP", ("pixel_ap",), "Average precision of all pixels together, with the map as their score."),
)


def tiles_html(metrics: Metrics) -> str:
    """The few numbers that are looked at first, each beside what a black map gets."""
    level, painted = metrics["image_level"], metrics.get("painted") or {}
    gate = level.get("gated_maximum")
    alarms = gate or level["map_maximum"] or {}
    alarm_note = "sound images with a pixel above the threshold"
    tiles = [
        ("maxF, defective", metrics["defective"]["max_f"], _black(metrics["all_black"]["defective"]["max_f"])),
        ("maxF, all", metrics["max_f"], _black(metrics["all_black"]["max_f"])),
        ("MAE, all", metrics["mae"], _black(metrics["all_black"]["mae"])),
        ("IoU", metrics["iou"], "pixels, at the threshold"),
        ("mIoU, painted", painted.get("miou"), "the mean over defect classes"),
        ("accuracy", metrics["accuracy"], "of the images' classes"),
        ("false alarms" + (", gated" if gate else ""), alarms.get("false_alarm_rate"), alarm_note),
    ]
    shown = [
        f'<li><span class="name">{name}</span><span class="value">{shown_number(value)}</span>'
        f'<span class="beside">{escape(beside)}</span></li>'
        for name, value, beside in tiles
        if value is not None
    ]
    return f'<ul class="tiles">{"".join(shown)}</ul>'


def headline_table(metrics: Metrics) -> str:
    """Every metric of the whole set, beside the gated map's and the black map's, with its convention."""
    gated, black = metrics.get("gated"), metrics["all_black"]
    columns = {"final map": metrics, **({"gated map": gated} if gated else {}), "all black": black}
    rows = [(name, [_at(own, path) for own in columns.values()], convention) for name, path, convention in _HEADLINE]
    rows += _painted_rows(metrics, len(columns)) + _image_rows(metrics, bool(gated)) + _sod_rows(metrics, len(columns))
    headers = ["", *columns, "how it is measured"]
    body = [
        [f'<th scope="row">{escape(name)}</th>', *map(_number_cell, values), f"<td>{escape(convention)}</td>"]
        for name, values, convention in rows
        if any(value is not None for value in values)
    ]
    return _table(headers, body, "headline")


def classes_table(metrics: Metrics) -> str:
    """A row for each class."""
    painted = (metrics.get("painted") or {}).get("per_class", {})
    columns: dict[str, Callable[[str, Metrics], Any]] = {
        "images": lambda _, own: own["images"],
        "MAE": lambda _, own: own["mae"],
        "maxF": lambda _, own: own["max_f"],
        "IoU": lambda _, own: own["iou"],
        "F1": lambda _, own: own["f1"],
        "pixel AP": lambda _, own: own["pixel_ap"],
        "IoU, painted": lambda name, _: painted.get(name),
        "accuracy": lambda _, own: own["accuracy"],
        "fired": lambda _, own: own["fired"],
    }
    body = [
        [
            f'<th scope="row">{escape(printable(name))}</th>',
            *(_number_cell(column(name, own)) for column in columns.values()),
        ]
        for name, own in metrics["per_class"].items()
    ]
    return _table(["class", *columns], body, "classes")


def outputs_table(metrics: Metrics) -> str:
    """A row for each output of the network, coarse to final."""
    keys = {"MAE": ("mae",), "maxF": ("max_f",), "MAE, defective": ("defective", "mae")}
    keys |= {"maxF, defective": ("defective", "max_f"), "IoU": ("iou",), "accuracy": ("accuracy",)}
    last = len(metrics["outputs"]) - 1
    body = [
        [
            f'<th scope="row">S{number}{" (final)" if number == last else ""}</th>',
            *(_number_cell(_at(own, path)) for path in keys.values()),
        ]
        for number, own in enumerate(metrics["outputs"])
    ]
    return _table(["output", *keys], body, "outputs")


def confusion_html(confusion: Mapping[str, Any]) -> str:
    """The confusion matrix; each of its cells is a button that shows its images."""
    names, matrix = [printable(name) for name in confusion["classes"]], confusion["matrix"]
    body = []
    for row, (name, counts) in enumerate(zip(names, matrix, strict=True)):
        cells = [f'<th scope="row">{escape(name)}</th>']
        for column, count in enumerate(counts):
            # Ten shades, of the row's share: a rare class is as readable as a common one.
            shade = round(10 * count / max(sum(counts), 1))
            kind = "right" if row == column else "wrong"
            text = f"{count} images of {name}, predicted {names[column]}"
            cells.append(
                f'<td class="{kind} shade-{shade}"><button type="button" data-label="{row}" data-predicted="{column}" '
                f'aria-label="{escape(text)}" title="{escape(text)}">{count}</button></td>'
            )
        body.append(cells)
    return _table(["true \\ predicted", *names], body, "confusion")


def _painted_rows(metrics: Metrics, columns: int) -> list[tuple[str, list[Any], str]]:
    painted = metrics.get("painted")
    if painted is None:
        return []
    empty = [None] * (columns - 1)
    convention = painted["convention"]
    return [
        ("mIoU, painted", [painted["miou"], *empty], f"{convention[0].upper()}{convention[1:]}: the defect classes'."),
        (
            "mIoU, with background",
            [painted["miou_with_background"], *empty],
            "The same with background as a class more, as many tables of segmentation have it.",
        ),
    ]


def _image_rows(metrics: Metrics, has_gated: bool) -> list[tuple[str, list[Any], str]]:
    level = metrics["image_level"]
    sources = [level["map_maximum"], *([level.get("gated_maximum")] if has_gated else []), None]
    counts = f"of {level['defective']} defective and {level['free']} sound images, by their {level['truth']}"
    fired = "a pixel of the map above the threshold"
    rows = [
        ("defects noticed", "recall", f"Share of the defective images with {fired}; {counts}."),
        ("false alarms", "false_alarm_rate", f"Share of the sound images with {fired}; 0 is best."),
        ("AUROC of images", "auroc", "Defective or not, by the map's largest value: 1 is best, 0.5 is chance."),
    ]
    shown: list[tuple[str, list[Any], str]] = [
        (name, [(own or {}).get(key) for own in sources], convention) for name, key, convention in rows
    ]
    heads = [level["class_head"] or {}, *([level.get("gated_class_head") or {}] if has_gated else []), {}]
    accuracies = [metrics["accuracy"], *([metrics["gated"].get("accuracy")] if has_gated else []), None]
    beside = ", which the map has a say in where it is gated" if has_gated else ""
    shown.append(("accuracy", accuracies, f"Share of the images whose predicted class{beside} is their label."))
    for name, key, convention in (
        ("false alarms, class head", "false_alarm_rate", "Sound images said to have a defect."),
        ("AUROC, class head", "auroc", "Defective or not, by 1 - P(the defect-free class)."),
    ):
        shown.append((name, [own.get(key) for own in heads], convention))
    return shown


def _sod_rows(metrics: Metrics, columns: int) -> list[tuple[str, list[Any], str]]:
    own = metrics["sod"]["defective"]
    empty = [None] * (columns - 1)
    convention = metrics["sod"]["convention"]
    return [
        ("S-measure, defective", [own["s_measure"], *empty], f"Structure; {convention}."),
        ("max E-measure, defective", [own["max_e"], *empty], "Alignment, at the best threshold; as above."),
        ("weighted F, defective", [own["weighted_f"], *empty], "F with errors weighted by where they are; as above."),
    ]


def _black(value: float | None) -> str:
    return f"all black: {shown_number(value)}"


def _at(metrics: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = metrics
    for key in path:
        value = None if value is None else value.get(key)
    return value


def _number_cell(value: float | None) -> str:
    return '<td class="number none">\u2013</td>' if value is None else f'<td class="number">{shown_number(value)}</td>'


def _table(headers: Sequence[str], body: Sequence[Sequence[str]], name: str) -> str:
    head = "".join(f'<th scope="col">{escape(header)}</th>' for header in headers)
    rows = "".join(f"<tr>{''.join(cells)}</tr>" for cells in body)
    return (
        f'<div class="scroll"><table class="{name}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
