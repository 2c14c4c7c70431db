"""Whole images: defective or not, and of which class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def detection_metrics(
    defective: ArrayLike, scores: ArrayLike, alarms: ArrayLike | None
) -> dict[str, float | None] | None:
    """How well defective images are told from defect-free ones.

    Args:
      defective: bool [n], the truth.
      scores: [n], higher is more defective, in any unit.
      alarms: bool [n], which images are called defective; None where that was not decided.

    Returns:
      `precision` and `recall` of "defective", `false_alarm_rate` (the share of defect-free images that are called
      defective), `auroc` and `ap` (average precision) of the scores, all 0..1. A metric that does not exist is None:
      the precision without any alarm, the first three without `alarms`. None altogether where all images are defective
      or none is: there is nothing to tell apart.
    """
    # Imported late: it takes most of a second, and training needs it at its end.
    from sklearn.metrics import average_precision_score, precision_score, recall_score, roc_auc_score

    defective, scores = np.asarray(defective, bool), np.asarray(scores, np.float64)
    if defective.all() or not defective.any():
        return None
    metrics: dict[str, float | None] = {"precision": None, "recall": None, "false_alarm_rate": None}
    if alarms is not None:
        alarms = np.asarray(alarms, bool)
        precision = float(precision_score(defective, alarms, zero_division=np.nan))
        metrics["precision"] = None if np.isnan(precision) else precision
        metrics["recall"] = float(recall_score(defective, alarms))
        # The recall of the defect-free images is the share of them without an alarm.
        metrics["false_alarm_rate"] = 1 - float(recall_score(~defective, ~alarms))
    metrics["auroc"] = float(roc_auc_score(defective, scores))
    metrics["ap"] = float(average_precision_score(defective, scores))
    return metrics


def confusion(labels: ArrayLike, predicted: ArrayLike, class_names: Sequence[str]) -> dict[str, Any]:
    """Count the images of each class by the class predicted for them.

    Args:
      labels: int [n], the true classes.
      predicted: int [n].
      class_names: of all classes, in the order of their numbers.

    Returns:
      `classes`, their names, and `matrix`: a row for each true class, a column for each predicted one.
    """
    # Imported late, as above.
    from sklearn.metrics import confusion_matrix

    numbers = range(len(class_names))
    if len(numbers) == 1:
        # scikit-learn warns of a single class.
        return {"classes": list(class_names), "matrix": [[len(np.asarray(labels))]]}
    return {"classes": list(class_names), "matrix": confusion_matrix(labels, predicted, labels=numbers).tolist()}
