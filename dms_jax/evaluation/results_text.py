"""Metrics as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dms_jax.evaluation.summary_metrics import Metrics
from dms_jax.tables import Cell, format_table

_SALIENCY_HEADERS = ["MAE", "maxF", "MAE, defective", "maxF, defective", "IoU", "F1", "pixel AP"]


def outputs_table(metrics: Metrics) -> str:
    """A row for each output of a network, coarse to final, and one for maps that are black everywhere."""
    last = len(metrics["outputs"]) - 1
    names = [*map(str, range(last)), f"{last} (final)"] if last else ["maps"]
    rows = [
        [name, *_saliency_cells(output), output["accuracy"]]
        for name, output in zip(names, metrics["outputs"], strict=True)
    ]
    # Results of earlier versions have none.
    if metrics.get("gated"):
        rows.append(["final, gated", *_saliency_cells(metrics["gated"]), metrics["gated"].get("accuracy")])
    rows.append(["all black", *_saliency_cells(metrics["all_black"]), None])
    return format_table(["output", *_SALIENCY_HEADERS, "accuracy"], rows, precision=5)


def comparison_table(methods: Mapping[str, Metrics]) -> str:
    """A row for each method (or run), and one for maps that are black everywhere on the first one's images."""
    rows: list[list[Cell]] = []
    for name, metrics in methods.items():
        sod = metrics["sod"]
        measures = [sod["s_measure"], sod["max_e"], sod["weighted_f"]]
        rows.append([name, metrics["images"], *_saliency_cells(metrics), *measures, metrics["accuracy"]])
    first = next(iter(methods.values()))
    rows.append(["all black", first["images"], *_saliency_cells(first["all_black"]), None, None, None, None])
    headers = ["maps", "images", *_SALIENCY_HEADERS, "S", "maxE", "wF", "accuracy"]
    return format_table(headers, rows, precision=5)


def details_text(metrics: Metrics) -> str:
    """What is shown besides the field's own metrics: by class, at the operating threshold, and of whole images."""
    parts = [_sets_table(metrics), _threshold_line(metrics), _painted_text(metrics), _sod_lines(metrics)]
    parts += [_extra_table(metrics), _image_level_text(metrics)]
    return "\n\n".join(part for part in parts if part)


def _saliency_cells(metrics: Metrics) -> list[Cell]:
    defective = metrics["defective"]
    return [
        metrics["mae"],
        metrics["max_f"],
        defective["mae"],
        defective["max_f"],
        *(metrics.get(key) for key in ("iou", "f1", "pixel_ap")),
    ]


def all_images(metrics: Metrics) -> int:
    """How many images there are, whether or not their masks or labels are known."""
    if "all_images" in metrics:
        return int(metrics["all_images"])
    # Results of earlier versions count those with a mask and those with a label alone.
    whole = metrics.get("image_level") or {}
    labelled = int(whole["defective"] + whole["free"]) if whole.get("truth") == "labels" else 0
    return max(labelled, int(metrics["images"]))


def _sets_table(metrics: Metrics) -> str:
    sets = {"all": metrics, "defective": metrics["defective"], **metrics["per_class"]}
    rows = [
        [name, *(own.get(key) for key in ("images", "mae", "max_f", "iou", "f1", "pixel_ap", "accuracy", "fired"))]
        for name, own in sets.items()
    ]
    headers = ["images of", "images", "MAE", "maxF", "IoU", "F1", "pixel AP", "accuracy", "fired"]
    table = format_table(headers, rows, precision=5)
    if all_images(metrics) > metrics["images"]:
        table += "\n(images: those whose mask is known; accuracy and fired: of all that have a label)"
    return table


def _threshold_line(metrics: Metrics) -> str:
    threshold, defective = metrics["operating_threshold"], metrics["defective"]
    if threshold["value"] is None:
        return f"Operating threshold: none, so no IoU, F1 or alarms: {threshold['note']}."
    means = ""
    # Where no mask shows a defect there is nothing to average.
    if defective["mean_iou"] is not None:
        iou, f1 = defective["mean_iou"], defective["mean_f1"]
        means = f"; averaged over the defective images they are {iou:.5f} and {f1:.5f}"
    text = (
        f"Operating threshold: map > {threshold['value']} ({threshold['note']}). IoU and F1 are of all pixels "
        f"together{means}."
    )
    gated = (metrics.get("gated") or {}).get("operating_threshold")
    if gated and gated["value"] is not None:
        text += f" Gated, that is times the probability of a defect: map > {gated['value']} ({gated['note']})."
    return text


def _painted_text(metrics: Metrics) -> str:
    # Results of earlier versions have none.
    painted = metrics.get("painted")
    if painted is None or painted["miou"] is None:
        return ""
    columns = {
        **painted["per_class"],
        "mean (mIoU)": painted["miou"],
        "background": painted["background"],
        "mean with background": painted["miou_with_background"],
    }
    table = format_table(["IoU of", *columns], [["painted maps", *columns.values()]], precision=5)
    return f"{table}\n({painted['convention']})"


def _sod_lines(metrics: Metrics) -> str:
    sod = metrics["sod"]
    if sod["s_measure"] is None:
        return ""
    headers = ["", "S-measure", "max E-measure", "mean E-measure", "weighted F"]
    rows = [
        [name, *(own[key] for key in ("s_measure", "max_e", "mean_e", "weighted_f"))]
        for name, own in (("all", sod), ("defective", sod["defective"]))
    ]
    return f"{format_table(headers, rows, precision=5)}\n({sod['convention']})"


def _extra_table(metrics: Metrics) -> str:
    rows = [[name, own["all"], own["defective"]] for name, own in metrics.get("extra", {}).items()]
    return format_table(["metric", "all", "defective"], rows, precision=5) if rows else ""


def _image_level_text(metrics: Metrics) -> str:
    level = metrics["image_level"]
    parts = []
    rows: list[Sequence[Cell]] = []
    keys = ("precision", "recall", "false_alarm_rate", "auroc", "ap")
    sources = {
        "class head": "class_head",
        "map's maximum": "map_maximum",
        "gated map's maximum": "gated_maximum",
        "class head and map's maximum": "gated_class_head",
    }
    for title, key in sources.items():
        own = level.get(key)
        if own is None and key.startswith("gated"):
            continue
        rows.append([title, *((own or {}).get(name) for name in keys)])
    headers = ["defective or not, by", "precision", "recall", "false alarms", "AUROC", "AP"]
    parts.append(format_table(headers, rows, precision=5))
    parts.append(f"({level['defective']} defective and {level['free']} defect-free images, by their {level['truth']})")
    if level["confusion"] is not None:
        classes, matrix = level["confusion"]["classes"], level["confusion"]["matrix"]
        table = format_table(
            ["true \\ predicted", *classes], [[name, *row] for name, row in zip(classes, matrix, strict=True)]
        )
        parts.append("\n" + table)
    return "\n".join(parts)
