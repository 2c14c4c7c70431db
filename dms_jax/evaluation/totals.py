"""From the scores of images to sums over sets of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from dms_jax.evaluation.measures.painted import PaintedCounts
from dms_jax.evaluation.measures.pixels import PixelCounts
from dms_jax.evaluation.measures.saliency import AccuracyCount, ImageScores, SaliencyAverages
from dms_jax.evaluation.measures.sod import SodAverages
from dms_jax.evaluation.scoring import ImageRow, ScoredImage


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
