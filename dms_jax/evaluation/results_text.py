"""Figures as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dms_jax.evaluation.figures import Figures
from dms_jax.evaluation.tables import Cell, format_table

_SALIENCY_HEADERS = ["MAE", "maxF", "MAE, defective", "maxF, defective", "IoU", "F1", "pixel AP"]


def outputs_table(figures: Figures) -> str:
    """A row for each output of a network, coarse to final, and one for maps that are black everywhere."""
    last = len(figures["outputs"]) - 1
    names = [*map(str, range(last)), f"{last} (final)"] if last else ["maps"]
    rows = [
        [name, *_saliency_cells(output), output["accuracy"]]
        for name, output in zip(names, figures["outputs"], strict=True)
    ]
    rows.append(["all black", *_saliency_cells(figures["all_black"]), None])
    return format_table(["output", *_SALIENCY_HEADERS, "accuracy"], rows, precision=5)


def comparison_table(methods: Mapping[str, Figures]) -> str:
    """A row for each method (or run), and one for maps that are black everywhere on the first one's pictures."""
    rows: list[list[Cell]] = []
    for name, figures in methods.items():
        sod = figures["sod"]
        measures = [sod["s_measure"], sod["max_e"], sod["weighted_f"]]
        rows.append([name, figures["pictures"], *_saliency_cells(figures), *measures, figures["accuracy"]])
    first = next(iter(methods.values()))
    rows.append(["all black", first["pictures"], *_saliency_cells(first["all_black"]), None, None, None, None])
    headers = ["maps", "pictures", *_SALIENCY_HEADERS, "S", "maxE", "wF", "accuracy"]
    return format_table(headers, rows, precision=5)


def details_text(figures: Figures) -> str:
    """What stands beside the field's own figures: by class, at the operating threshold, and of whole pictures."""
    parts = [_sets_table(figures), _threshold_line(figures), _sod_lines(figures), _image_level_text(figures)]
    return "\n\n".join(part for part in parts if part)


def _saliency_cells(figures: Figures) -> list[Cell]:
    defective = figures["defective"]
    return [
        figures["mae"],
        figures["max_f"],
        defective["mae"],
        defective["max_f"],
        *(figures.get(key) for key in ("iou", "f1", "pixel_ap")),
    ]


def _sets_table(figures: Figures) -> str:
    sets = {"all": figures, "defective": figures["defective"], **figures["per_class"]}
    rows = [
        [name, *(own.get(key) for key in ("pictures", "mae", "max_f", "iou", "f1", "pixel_ap", "accuracy", "fired"))]
        for name, own in sets.items()
    ]
    headers = ["pictures of", "pictures", "MAE", "maxF", "IoU", "F1", "pixel AP", "accuracy", "fired"]
    return format_table(headers, rows, precision=5)


def _threshold_line(figures: Figures) -> str:
    threshold, defective = figures["operating_threshold"], figures["defective"]
    if threshold["value"] is None:
        return f"Operating threshold: none, so no IoU, F1 or alarms: {threshold['note']}."
    means = _format_mean(defective["mean_iou"]), _format_mean(defective["mean_f1"])
    return (
        f"Operating threshold: map > {threshold['value']} ({threshold['note']}). IoU and F1 are of all pixels "
        f"together; averaged over the defective pictures they are {means[0]} and {means[1]}."
    )


def _sod_lines(figures: Figures) -> str:
    sod = figures["sod"]
    if sod["s_measure"] is None:
        return ""
    headers = ["", "S-measure", "max E-measure", "mean E-measure", "weighted F"]
    rows = [
        [name, *(own[key] for key in ("s_measure", "max_e", "mean_e", "weighted_f"))]
        for name, own in (("all", sod), ("defective", sod["defective"]))
    ]
    return f"{format_table(headers, rows, precision=5)}\n({sod['convention']})"


def _image_level_text(figures: Figures) -> str:
    level = figures["image_level"]
    parts = []
    rows: list[Sequence[Cell]] = []
    keys = ("precision", "recall", "false_alarm_rate", "auroc", "ap")
    for title, own in (("class head", level["class_head"]), ("map's maximum", level["map_maximum"])):
        rows.append([title, *((own or {}).get(key) for key in keys)])
    headers = ["defective or not, by", "precision", "recall", "false alarms", "AUROC", "AP"]
    parts.append(format_table(headers, rows, precision=5))
    parts.append(f"({level['defective']} defective and {level['free']} free pictures, by their {level['truth']})")
    if level["confusion"] is not None:
        classes, matrix = level["confusion"]["classes"], level["confusion"]["matrix"]
        table = format_table(
            ["true \\ predicted", *classes], [[name, *row] for name, row in zip(classes, matrix, strict=True)]
        )
        parts.append("\n" + table)
    return "\n".join(parts)


def _format_mean(value: float | None) -> str:
    """Five decimals, or n/a."""
    return "n/a" if value is None else f"{value:.5f}"
