"""From the sums of an evaluation to its figures: a dict of stable keys, ready for JSON.

A figure that does not exist is None: those of defective pictures where there are none, those of "defective or not"
where a dataset has no free class, those at a threshold where none could be chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from dms_jax.evaluation.detection import confusion, detection_figures
from dms_jax.evaluation.metrics import SaliencyAverages, f_measure
from dms_jax.evaluation.scoring import Evaluation, OutputTotals, PictureRow, SetTotals
from dms_jax.evaluation.sod_measures import CONVENTION
from dms_jax.evaluation.thresholds import OperatingThreshold

Figures = dict[str, Any]


def compute_figures(
    evaluation: Evaluation,
    threshold: OperatingThreshold,
    *,
    class_names: Sequence[str] = (),
    free_class: int | None = None,
) -> Figures:
    """All figures of an evaluation.

    Args:
      evaluation: of at least one picture.
      threshold: to work with; see `dms_jax.evaluation.thresholds`.
      class_names: of all classes, in the order of their numbers; empty where pictures have no labels.
      free_class: number of the class without defects, or None.

    Returns:
      `pictures`, `mae`, `max_f`, `max_f_threshold` (the best on these very pictures), and pooled over pixels `iou` and
      `f1` at the operating threshold and `pixel_ap`: those of the final output, over all pictures. The same under
      `defective`, over those whose mask has a pixel above 127, with `mean_iou` and `mean_f1` over them; the same under
      `per_class`, by name, with `accuracy` and `fired`, the share of pictures with a pixel above the threshold.
      `accuracy`. `operating_threshold`: `value`, `chosen_on`, `note`. `image_level`: see `_image_level`. `sod`: see
      `dms_jax.evaluation.sod_measures`. `all_black`: the saliency figures of maps that are black everywhere. `curve`:
      precision, recall and F at each threshold 0..255. `outputs`: the saliency figures of every output.
    """
    final, rows = evaluation.outputs[-1], evaluation.rows
    values = threshold.values or (None,) * len(evaluation.outputs)
    outputs = [_output(output, value) for output, value in zip(evaluation.outputs, values, strict=True)]
    defective_rows = [row for row in rows if row.defective]
    figures = {
        **outputs[-1],
        "per_class": _per_class(final, rows, threshold.final, class_names),
        "operating_threshold": {"value": threshold.final, "chosen_on": threshold.chosen_on, "note": threshold.note},
        "image_level": _image_level(rows, threshold.final, class_names, free_class),
        "sod": {
            **evaluation.sod.compute(),
            "defective": evaluation.sod_defective.compute(),
            "convention": CONVENTION,
        },
        "all_black": {
            **asdict(evaluation.black.everything.saliency.compute()),
            "defective": asdict(evaluation.black.defective.saliency.compute()),
        },
        "curve": {**_curve(final.everything.saliency), "defective": _curve(final.defective.saliency)},
        "outputs": outputs,
    }
    figures["defective"] = {
        **figures["defective"],
        "mean_iou": _mean([row.iou for row in defective_rows]),
        "mean_f1": _mean([row.f1 for row in defective_rows]),
    }
    return figures


def _output(totals: OutputTotals, threshold: int | None) -> Figures:
    return {
        **_set(totals.everything, threshold),
        "defective": _set(totals.defective, threshold),
        "accuracy": totals.accuracy.compute(),
    }


def _set(totals: SetTotals, threshold: int | None) -> Figures:
    pixels = totals.pixels
    return {
        **asdict(totals.saliency.compute()),
        "threshold": threshold,
        "iou": None if threshold is None else pixels.iou(threshold),
        "f1": None if threshold is None else pixels.f1(threshold),
        "pixel_ap": pixels.average_precision(),
    }


def _per_class(
    final: OutputTotals, rows: Sequence[PictureRow], threshold: int | None, class_names: Sequence[str]
) -> Figures:
    per_class = {}
    for label, name in enumerate(class_names):
        own = [row for row in rows if row.label == label]
        totals = final.per_class.get(label, SetTotals())
        figures = _set(totals, threshold)
        if not totals.pixels.true:
            # Without a defect, precision and recall are 1 at threshold 255, whatever the map.
            figures |= {"max_f": None, "max_f_threshold": None}
        hits = [row.predicted == label for row in own if row.predicted is not None]
        figures["accuracy"] = _mean(hits)
        figures["fired"] = None if threshold is None else _mean([row.maximum > threshold for row in own])
        per_class[name] = figures
    return per_class


def _image_level(
    rows: Sequence[PictureRow], threshold: int | None, class_names: Sequence[str], free_class: int | None
) -> Figures:
    """Figures about whole pictures.

    Returns:
      `truth`: where it is known from that a picture is defective, `labels` or (where pictures have none) `masks`.
      `defective` and `free`: how many pictures are. `class_head`: precision, recall, false-alarm rate, AUROC and AP of
      "defective" by the class head, and `map_maximum`: by the map's largest value (an alarm is one above the operating
      threshold); None where all pictures are defective or none is, or where a dataset has no free class. `confusion`:
      `classes` and `matrix`; None where no classes are predicted.
    """
    if class_names:
        rows = [row for row in rows if row.label is not None]
        defective = [row.label != free_class for row in rows]
    else:
        defective = [row.defective for row in rows]
    figures: Figures = {
        "truth": "labels" if class_names else "masks",
        "defective": sum(defective),
        "free": len(defective) - sum(defective),
        "class_head": None,
        "map_maximum": None,
        "confusion": None,
    }
    if rows and not (class_names and free_class is None):
        alarms = None if threshold is None else [row.maximum > threshold for row in rows]
        figures["map_maximum"] = detection_figures(defective, [row.maximum for row in rows], alarms)
        if all(row.defect_probability is not None and row.predicted is not None for row in rows):
            figures["class_head"] = detection_figures(
                defective,
                [row.defect_probability for row in rows],
                [row.predicted != free_class for row in rows],
            )
    if rows and class_names and all(row.predicted is not None for row in rows):
        figures["confusion"] = confusion([row.label for row in rows], [row.predicted for row in rows], class_names)
    return figures


def _curve(averages: SaliencyAverages) -> dict[str, list[float]] | None:
    curves = averages.precision_recall()
    if curves is None:
        return None
    precision, recall = curves
    return {"precision": precision.tolist(), "recall": recall.tolist(), "f": f_measure(precision, recall).tolist()}


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of the values that exist; None where none does."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
