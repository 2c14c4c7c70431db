"""From an image's maps to its scores, which `dms_jax.evaluation.totals` sums up: what every evaluation does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dms_jax.data.image_files import IGNORED
from dms_jax.evaluation.measures.saliency import ImageScores, score_black_map, score_map
from dms_jax.evaluation.measures.sod import SodAverages, measure
from dms_jax.inference.description import gate, gate_classes

# From a map and a mask, uint8 [H, W] each, 0..255, to a number, or None (or one that is not finite) where it does not
# exist.
Metric = Callable[[NDArray[np.uint8], NDArray[np.uint8]], float | None]


@dataclass(frozen=True, slots=True)
class ImageRow:
    """The few numbers that are kept of an image, those of the final output.

    Attributes:
      name: of the image.
      label: its class, or None.
      predicted: the predicted class, or None.
      defective: whether its mask has a pixel above 127; None where the mask is unknown, as are the metrics from `mae`.
      maximum: the map's largest value, 0..255.
      defect_probability: 1 - the probability of the defect-free class, 0..1; None without class heads or such a class.
      mae: mean |map - mask| / 255.
      iou: at the operating threshold; None without one, or where neither map nor mask has a defective pixel.
      f1: likewise.
      s_measure: see `dms_jax.evaluation.measures.sod`; None if it was not measured.
      weighted_f: likewise.
      gated_maximum: the largest value of the gated map (`dms_jax.inference.description.gate`), 0..255; None without a
        probability of a defect.
      gated_predicted: the class by head and map together (`dms_jax.inference.description.gate_classes`), or None.
      gated_defect_probability: 1 - the probability of the defect-free class by both, 0..1, or None.
      extra: further metrics, by name.
    """

    name: str
    label: int | None
    predicted: int | None
    defective: bool | None
    maximum: int
    defect_probability: float | None
    mae: float | None
    iou: float | None
    f1: float | None
    s_measure: float | None
    weighted_f: float | None
    gated_maximum: int | None = None
    gated_predicted: int | None = None
    gated_defect_probability: float | None = None
    extra: Mapping[str, float | None] = field(default_factory=dict)

    def is_sound(self, free_class: int | None) -> bool:
        """Whether the image is known to have no defect: by its label where that tells, else by its mask.

        An image of a defect whose mask is empty has something to fire at, wherever it is.

        Args:
          free_class: number of the defect-free class, or None: then no label tells.
        """
        if free_class is None or self.label is None:
            return self.defective is False
        return self.label == free_class


@dataclass(frozen=True, eq=False)
class ScoredImage:
    """All the scores of one image, to be added to an `Evaluation`.

    Attributes:
      row: what is kept of it.
      outputs: scores of each output's map, coarse to final; None where the mask is unknown.
      predicted: the class that each output predicts; empty without class heads.
      black: scores of a map that is black everywhere; None where the mask is unknown.
      sod: S-measure, E-measure and weighted F of the final map; None if they were not measured.
      gated: scores of the gated map; None where the mask is unknown, or nothing gates.
    """

    row: ImageRow
    outputs: tuple[ImageScores | None, ...]
    predicted: tuple[int, ...]
    black: ImageScores | None
    sod: SodAverages | None
    gated: ImageScores | None = None


def blacken_ignored(
    maps: Sequence[NDArray[np.uint8]], mask: NDArray[np.uint8]
) -> tuple[list[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Maps and their mask with black where the mask is `dms_jax.data.image_files.IGNORED`, uint8 [H, W] each.

    Black in both is neither an error nor a hit at any threshold. The mean error is over all pixels all the same.
    """
    ignored = mask == IGNORED
    black = np.uint8(0)
    return [np.where(ignored, black, saliency_map) for saliency_map in maps], np.where(ignored, black, mask)


def score_image(
    maps: Sequence[NDArray[np.uint8]],
    mask: NDArray[np.uint8] | None,
    *,
    name: str,
    label: int | None = None,
    predicted: Sequence[int] = (),
    probabilities: NDArray[np.floating] | None = None,
    free_class: int | None = None,
    threshold: int | None = None,
    with_sod: bool = True,
    extra_metrics: Mapping[str, Metric] = MappingProxyType({}),
) -> ScoredImage:
    """Score the maps of one image.

    Args:
      maps: of each output, coarse to final, uint8 [H, W], 0..255, at the mask's size.
      mask: uint8 [H, W], 0..255, as stored; None where it is unknown.
      name: of the image.
      label: its class, if known.
      predicted: the class that each output predicts; empty without class heads.
      probabilities: [K], those of all classes by the final output; None where they are not known.
      free_class: number of the defect-free class; with both, the gated map is scored too, and the class by head and map
        together.
      threshold: the operating threshold, 0..255: `map > threshold` is called defective.
      with_sod: measure S, E and weighted F too, which takes several times as long as all the rest.
      extra_metrics: further metrics of the final map, by name.

    Raises:
      ValueError: a map or the mask is not uint8 [H, W], or their sizes differ.
    """
    known: dict[str, Any] = {"name": name, "label": label, "predicted": predicted[-1] if len(predicted) else None}
    known |= {"maximum": int(maps[-1].max()), "defect_probability": None}
    gated = None
    if probabilities is not None and free_class is not None:
        known["defect_probability"] = float(1 - probabilities[free_class])
        gated = gate(maps[-1], known["defect_probability"])
        joint = gate_classes(probabilities, known["maximum"], free_class)
        known |= {"gated_predicted": int(joint.argmax()), "gated_defect_probability": float(1 - joint[free_class])}
        known["gated_maximum"] = int(gated.max())
    if mask is None:
        unknown: dict[str, Any] = dict.fromkeys(("defective", "mae", "iou", "f1", "s_measure", "weighted_f"))
        unknown["extra"] = dict.fromkeys(extra_metrics)
        return ScoredImage(ImageRow(**known, **unknown), (None,) * len(maps), tuple(predicted), None, None)
    outputs = tuple(score_map(saliency_map, mask) for saliency_map in maps)
    sod = measure(maps[-1], mask) if with_sod else None
    extra = {name: _finite(metric(maps[-1], mask)) for name, metric in extra_metrics.items()}
    final = outputs[-1]
    row = ImageRow(
        **known,
        extra=extra,
        defective=final.defective,
        mae=final.mae,
        iou=None if threshold is None else final.iou(threshold),
        f1=None if threshold is None else final.f1(threshold),
        s_measure=sod and sod.s_sum,
        weighted_f=sod and sod.weighted_f_sum,
    )
    gated_scores = None if gated is None else score_map(gated, mask)
    return ScoredImage(row, outputs, tuple(predicted), score_black_map(mask), sod, gated_scores)


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None
