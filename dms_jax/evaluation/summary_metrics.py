"""From the sums of an evaluation to its metrics: a dict of stable keys, ready for JSON.

A metric that does not exist is None: those of defective images where there are none, those of "defective or not"
where a dataset has no defect-free class, those at a threshold where none could be chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from dms_jax.evaluation.measures.detection import confusion, detection_metrics
from dms_jax.evaluation.measures.saliency import SaliencyAverages, f_measure
from dms_jax.evaluation.measures.sod import CONVENTION
from dms_jax.evaluation.scoring import ImageRow
from dms_jax.evaluation.thresholds import OperatingThreshold
from dms_jax.evaluation.totals import Evaluation, OutputTotals, SetTotals

Metrics = dict[str, Any]


def compute_metrics(
    evaluation: Evaluation,
    threshold: OperatingThreshold,
    *,
    class_names: Sequence[str] = (),
    free_class: int | None = None,
) -> Metrics:
    """All metrics of an evaluation.

    Args:
      evaluation: of at least one image.
      threshold: the operating threshold; see `dms_jax.evaluation.thresholds`.
      class_names: of all classes, in the order of their numbers; empty where images have no labels.
      free_class: number of the defect-free class, or None.

    Returns:
      `all_images`: how many there are. Of the final output, over all images whose mask is known: `images`, how many
      these are, `mae`, `max_f`, `max_f_threshold` (the best on these very images), and pooled over pixels `iou` and
      `f1` at the operating threshold and `pixel_ap`. The same under `defective`, over those whose mask has a pixel
      above 127, with `mean_iou` and `mean_f1` over them; the same under `per_class`, by name, with `accuracy` and
      `fired`, the share of images with a pixel above the threshold. `accuracy`. `operating_threshold`: `value`,
      `chosen_on`, `note`. `gated`: the saliency metrics of the final map times the probability of a defect
      (`dms_jax.inference.description.gate`), with their own `operating_threshold`,
      and the `accuracy` of the class by head and map together (`gate_classes` there), which is known without masks too;
      None where there is no such probability. `image_level`: see `_image_level`. `sod`: see
      `dms_jax.evaluation.measures.sod`. `all_black`: the saliency metrics of maps that are black everywhere. `curve`:
      precision, recall and F at each threshold 0..255. `painted`: see
      `dms_jax.evaluation.measures.painted.PaintedCounts.compute`. `outputs`: the saliency metrics of every output.
      `extra`: for each further metric, by name, its mean over `all` images whose mask is known, and over the
      `defective` ones.
    """
    final, rows = evaluation.outputs[-1], evaluation.rows
    values = (*[None] * (len(evaluation.outputs) - len(threshold.values)), *threshold.values)
    outputs = [_output(output, value) for output, value in zip(evaluation.outputs, values, strict=True)]
    defective_rows = [row for row in rows if row.defective]
    metrics = {
        "all_images": len(rows),
        **outputs[-1],
        "per_class": _per_class(final, rows, threshold.final, class_names),
        "operating_threshold": {"value": threshold.final, "chosen_on": threshold.chosen_on, "note": threshold.note},
        "gated": _gated(evaluation, threshold),
        "image_level": _image_level(rows, threshold, class_names, free_class),
        "sod": {
            **evaluation.sod.compute(),
            "defective": evaluation.sod_defective.compute(),
            "convention": CONVENTION,
        },
        "all_black": {
            **_saliency(evaluation.black.everything),
            "defective": _saliency(evaluation.black.defective),
        },
        "curve": {
            **(_curve(final.everything.saliency) or dict.fromkeys(("precision", "recall", "f"))),
            "defective": _curve(final.defective.saliency),
        },
        "painted": evaluation.painted.compute(threshold.final, class_names, free_class),
        "outputs": outputs,
        "extra": _extra(rows),
    }
    metrics["defective"] = {
        **metrics["defective"],
        "mean_iou": _mean([row.iou for row in defective_rows]),
        "mean_f1": _mean([row.f1 for row in defective_rows]),
    }
    return metrics


def _gated(evaluation: Evaluation, threshold: OperatingThreshold) -> Metrics | None:
    # The class by head and map together needs no mask.
    if not evaluation.gated.everything.saliency.images and not evaluation.gated.accuracy.total:
        return None
    point = threshold.gated
    metrics = _output(evaluation.gated, point.threshold if point else None)
    note = point.note if point else threshold.note
    chosen_on = threshold.chosen_on if point else None
    return {**metrics, "operating_threshold": {"value": metrics["threshold"], "chosen_on": chosen_on, "note": note}}


def _output(totals: OutputTotals, threshold: int | None) -> Metrics:
    return {
        **_set(totals.everything, threshold),
        "defective": _set(totals.defective, threshold),
        "accuracy": totals.accuracy.compute(),
    }


def _set(totals: SetTotals, threshold: int | None) -> Metrics:
    pixels = totals.pixels
    return {
        **_saliency(totals),
        "threshold": threshold,
        "iou": None if threshold is None else pixels.iou(threshold),
        "f1": None if threshold is None else pixels.f1(threshold),
        "pixel_ap": pixels.average_precision(),
    }


def _saliency(totals: SetTotals) -> Metrics:
    metrics = asdict(totals.saliency.compute())
    if not totals.pixels.true:
        # Without a defect, precision and recall are 1 at threshold 255, whatever the map.
        metrics |= {"max_f": None, "max_f_threshold": None}
    return metrics


def _per_class(
    final: OutputTotals, rows: Sequence[ImageRow], threshold: int | None, class_names: Sequence[str]
) -> Metrics:
    per_class = {}
    for label, name in enumerate(class_names):
        own = [row for row in rows if row.label == label]
        totals = final.per_class.get(label, SetTotals())
        metrics = _set(totals, threshold)
        hits = [row.predicted == label for row in own if row.predicted is not None]
        metrics["accuracy"] = _mean(hits)
        metrics["fired"] = None if threshold is None else _mean([row.maximum > threshold for row in own])
        per_class[name] = metrics
    return per_class


def _image_level(
    rows: Sequence[ImageRow], threshold: OperatingThreshold, class_names: Sequence[str], free_class: int | None
) -> Metrics:
    """Metrics about whole images.

    Returns:
      `truth`: what says whether an image is defective, `labels` or (where images have none) `masks`. `defective` and
      `free`: how many images are defective, and how many are not. `class_head`: precision, recall, false-alarm rate,
      AUROC and AP of "defective" by the class head, `map_maximum`: by the map's largest value (an alarm is one above
      the operating threshold), `gated_maximum`: by the gated map's, and `gated_class_head`: by head and map together;
      None where all images are defective or none is, or where there are labels and none of them is defect-free.
      `confusion`: `classes` and `matrix`; None where no classes are predicted.
    """
    # Of a user's images and masks without any class, the masks say it.
    by_labels = bool(class_names) and any(row.label is not None for row in rows)
    if by_labels:
        rows = [row for row in rows if row.label is not None]
        defective = [row.label != free_class for row in rows]
    else:
        rows = [row for row in rows if row.defective is not None]
        defective = [row.defective for row in rows]
    metrics: Metrics = {
        "truth": "labels" if by_labels else "masks",
        "defective": sum(defective),
        "free": len(defective) - sum(defective),
        "class_head": None,
        "map_maximum": None,
        "gated_maximum": None,
        "gated_class_head": None,
        "confusion": None,
    }
    if rows and not (by_labels and free_class is None):
        metrics["map_maximum"] = _alarms(defective, [row.maximum for row in rows], threshold.final)
        gated = [row.gated_maximum for row in rows if row.gated_maximum is not None]
        if len(gated) == len(rows):
            metrics["gated_maximum"] = _alarms(defective, gated, threshold.gated and threshold.gated.threshold)
        metrics["class_head"] = _named(defective, free_class, [(row.predicted, row.defect_probability) for row in rows])
        metrics["gated_class_head"] = _named(
            defective, free_class, [(row.gated_predicted, row.gated_defect_probability) for row in rows]
        )
    if rows and by_labels and all(row.predicted is not None for row in rows):
        metrics["confusion"] = confusion([row.label for row in rows], [row.predicted for row in rows], class_names)
    return metrics


def _alarms(defective: Sequence[bool], maxima: Sequence[int], threshold: int | None) -> Metrics | None:
    return detection_metrics(defective, maxima, None if threshold is None else [each > threshold for each in maxima])


def _named(
    defective: Sequence[bool], free_class: int | None, rows: Sequence[tuple[int | None, float | None]]
) -> Metrics | None:
    """Of the predicted class and the probability of a defect of each image; None where one of them is not known."""
    if any(None in row for row in rows):
        return None
    predicted, probability = zip(*rows, strict=True)
    return detection_metrics(defective, probability, [number != free_class for number in predicted])


def _curve(averages: SaliencyAverages) -> dict[str, list[float]] | None:
    curves = averages.precision_recall()
    if curves is None:
        return None
    precision, recall = curves
    return {"precision": precision.tolist(), "recall": recall.tolist(), "f": f_measure(precision, recall).tolist()}


def _extra(rows: Sequence[ImageRow]) -> Metrics:
    names = rows[0].extra if rows else ()
    return {
        name: {
            "all": _mean([row.extra[name] for row in rows]),
            "defective": _mean([row.extra[name] for row in rows if row.defective]),
        }
        for name in names
    }


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of the values that exist; None where none does."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
