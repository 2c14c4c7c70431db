"""The threshold above which a map's pixel is called defective, and where it comes from: never from test images."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dms_jax.evaluation.measures.pixels import PixelCounts
from dms_jax.evaluation.totals import Evaluation
from dms_jax.inference.description import UNTESTED, OperatingPoint, normal_maxima


@dataclass(frozen=True)
class OperatingThreshold:
    """The operating threshold of each output of a network.

    Attributes:
      values: of each output, coarse to final, 0..255: `map > value` is called defective. Of the last ones alone where
        the others have none; empty where none has.
      chosen_on: what images it was chosen on, or `given`; None where there is none.
      note: how it was chosen, or why there is none; a sentence.
      plain: the final output's, with what is known of false alarms.
      gated: the same of the gated map, see `dms_jax.inference.description.gate`; None where nothing gates.
    """

    values: tuple[int, ...]
    chosen_on: str | None
    note: str
    plain: OperatingPoint = UNTESTED
    gated: OperatingPoint | None = None

    @property
    def final(self) -> int | None:
        """The final output's threshold, or None."""
        return self.values[-1] if self.values else None

    def with_false_alarms(self, share: float) -> OperatingThreshold:
        """The same where at most this share of the normal images may have a pixel above it, for the final output.

        See `dms_jax.inference.description.OperatingPoint.with_false_alarms`.

        Raises:
          ValueError: the share is out of range, or there were no normal images; the message is for the user.
        """
        plain = self.plain.with_false_alarms(share)
        assert plain.threshold is not None
        return replace(
            self,
            values=(*self.values[:-1], plain.threshold),
            chosen_on=plain.chosen_on,
            note=plain.note,
            plain=plain,
            gated=None if self.gated is None else self.gated.with_false_alarms(share),
        )


def choose_threshold(evaluation: Evaluation, images: str, free_class: int | None = None) -> OperatingThreshold:
    """Choose each output's threshold on images that are not to be tested on.

    It is the one with the largest F1 (hence IoU) over the pixels of all these images together, those without a
    defect included.

    Args:
      evaluation: of the images to choose on.
      images: what they are, such as `validation`.
      free_class: number of the defect-free class: its images are normal. Without one, those with an empty mask are.

    Returns:
      The thresholds; none, with the reason, where no image has a defective pixel: any threshold would do then.
    """
    normal = [row for row in evaluation.rows if row.is_sound(free_class)]

    def point(pixels: PixelCounts, maxima: list[int], count: int) -> OperatingPoint:
        value = pixels.best_threshold()
        of_images = f"{count} images" if count != 1 else "only image"
        note = f"the largest F1 over all pixels of the {of_images} of {images}"
        if value is None:
            note = f"no image of {images} has a defective pixel to choose a threshold by"
        return OperatingPoint(value, note, normal_maxima(maxima), images)

    chosen = [output.everything.pixels.best_threshold() for output in evaluation.outputs]
    values = tuple(value for value in chosen if value is not None)
    if not evaluation.outputs:
        return no_threshold(f"there is no image of {images} to choose a threshold by")
    final = evaluation.outputs[-1].everything
    count = final.saliency.images
    plain = point(final.pixels, [row.maximum for row in normal], count)
    gated = None
    if evaluation.gated.everything.saliency.images:
        maxima = [row.gated_maximum for row in normal if row.gated_maximum is not None]
        gated = point(evaluation.gated.everything.pixels, maxima, count)
    return OperatingThreshold(values, images if values else None, plain.note, plain, gated)


def given_threshold(value: int, outputs: int = 1) -> OperatingThreshold:
    """The threshold that the user gives, for every output.

    Raises:
      ValueError: it is not in 0..255.
    """
    if not 0 <= value <= 255:
        raise ValueError(f"a threshold must be in 0..255, not {value}")
    point = OperatingPoint(value, "given by the user", chosen_on="given")
    return OperatingThreshold((value,) * outputs, "given", point.note, point, point)


def no_threshold(reason: str) -> OperatingThreshold:
    """No threshold, for a reason; metrics that need one are None then."""
    return OperatingThreshold((), None, reason, OperatingPoint(None, reason))
