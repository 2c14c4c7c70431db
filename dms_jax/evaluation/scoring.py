"""From an image's maps to its scores, and from the scores of images to sums: what every evaluation does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dms_jax.data.image_files import IGNORED
from dms_jax.evaluation.measures.painted import PaintedCounts
from dms_jax.evaluation.measures.pixels import PixelCounts
from dms_jax.evaluation.measures.saliency import (
    AccuracyCount,
    ImageScores,
    SaliencyAverages,
    score_black_map,
    score_map,
)
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


@dataclass(frozen=True, eq=False)
class SetTotals:
    """Sums of one output over a set of images: averaged over them, and pooled."""

    saliency: SaliencyAverages = field(default_factory=SaliencyAverages.empty)
    pixels: PixelCounts = field(default_factory=PixelCounts.empty)

    def add(self, scores: ImageScores) -> SetTotals:
        """Return these sums with one image more."""
        return SetTotals(self.saliency.add(scores), self.pixels.add(scores))

    def merge(self, other: SetTotals) -> SetTotals:
        """Return the sums over both sets."""
        return SetTotals(self.saliency.merge(other.saliency), self.pixels.merge(other.pixels))


@dataclass(frozen=True, eq=False)
class OutputTotals:
    """Running sums of one output of the network, or of one method's maps.

    Attributes:
      everything: over all images.
      defective: over the images whose mask has a pixel above 127.
      per_class: over the images of each class, by its number; images without a label are in none.
      accuracy: of the labels; counts nothing without class heads.
    """

    everything: SetTotals = field(default_factory=SetTotals)
    defective: SetTotals = field(default_factory=SetTotals)
    per_class: Mapping[int, SetTotals] = field(default_factory=dict)
    accuracy: AccuracyCount = field(default_factory=AccuracyCount)

    def add(self, scores: ImageScores | None, label: int | None, predicted: int | None) -> OutputTotals:
        """Return these sums with one image more; without scores, its mask is unknown, and only its label counts."""
        per_class, accuracy = dict(self.per_class), self.accuracy
        if label is not None and predicted is not None:
            accuracy = accuracy.add(predicted, label)
        if scores is None:
            return replace(self, accuracy=accuracy)
        if label is not None:
            per_class[label] = per_class.get(label, SetTotals()).add(scores)
        defective = self.defective.add(scores) if scores.defective else self.defective
        return OutputTotals(self.everything.add(scores), defective, per_class, accuracy)

    def merge(self, other: OutputTotals) -> OutputTotals:
        """Return the sums over both sets of images."""
        per_class = dict(self.per_class)
        for label, totals in other.per_class.items():
            per_class[label] = per_class[label].merge(totals) if label in per_class else totals
        return OutputTotals(
            self.everything.merge(other.everything),
            self.defective.merge(other.defective),
            per_class,
            self.accuracy.merge(other.accuracy),
        )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Everything measured on a set of images; see `dms_jax.evaluation.summary_metrics` for its metrics.

    Attributes:
      outputs: sums of each output, coarse to final; empty over no images.
      black: sums of maps that are black everywhere, on the same images.
      sod: S-measure, E-measure and weighted F of the final output.
      sod_defective: the same over the images whose mask has a pixel above 127.
      gated: sums of the gated map, on the same images; of none where nothing gates.
      painted: of the final output's map and class, on the images whose label and mask are known.
      rows: the numbers kept of each image.
    """

    outputs: tuple[OutputTotals, ...] = ()
    black: OutputTotals = field(default_factory=OutputTotals)
    sod: SodAverages = field(default_factory=SodAverages)
    sod_defective: SodAverages = field(default_factory=SodAverages)
    gated: OutputTotals = field(default_factory=OutputTotals)
    painted: PaintedCounts = field(default_factory=PaintedCounts)
    rows: tuple[ImageRow, ...] = ()

    def merge(self, other: Evaluation) -> Evaluation:
        """Return the evaluation of both sets of images, as when two processes scored a part each.

        Raises:
          ValueError: both have outputs, but not as many.
        """
        if not self.outputs or not other.outputs:
            return self if self.outputs else other
        return Evaluation(
            tuple(mine.merge(theirs) for mine, theirs in zip(self.outputs, other.outputs, strict=True)),
            self.black.merge(other.black),
            self.sod.merge(other.sod),
            self.sod_defective.merge(other.sod_defective),
            self.gated.merge(other.gated),
            self.painted.merge(other.painted),
            self.rows + other.rows,
        )


def collect(images: Iterable[ScoredImage]) -> Evaluation:
    """Sum up scored images; of each, no more than its row is kept.

    Raises:
      ValueError: the images differ in their numbers of outputs.
    """
    outputs: list[OutputTotals] = []
    rows: list[ImageRow] = []
    whole = Evaluation()
    for image in images:
        outputs = outputs or [OutputTotals()] * len(image.outputs)
        predicted = image.predicted or (None,) * len(image.outputs)
        outputs = [
            total.add(scores, image.row.label, guess)
            for total, scores, guess in zip(outputs, image.outputs, predicted, strict=True)
        ]
        rows.append(image.row)
        if image.black is not None:
            whole = replace(whole, black=whole.black.add(image.black, None, None))
        scores, row = image.outputs[-1], image.row
        whole = replace(whole, gated=whole.gated.add(image.gated, row.label, row.gated_predicted))
        if scores is not None and row.label is not None and row.predicted is not None:
            whole = replace(whole, painted=whole.painted.add(scores, row.label, row.predicted))
        if image.sod is not None:
            whole = replace(whole, sod=whole.sod.merge(image.sod))
            if image.row.defective:
                whole = replace(whole, sod_defective=whole.sod_defective.merge(image.sod))
    return replace(whole, outputs=tuple(outputs), rows=tuple(rows))
