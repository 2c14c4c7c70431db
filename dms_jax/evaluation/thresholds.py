"""The threshold above which a map's pixel is called defective, and where it comes from: never from test images."""

from __future__ import annotations

from dataclasses import dataclass

from dms_jax.evaluation.scoring import Evaluation


@dataclass(frozen=True)
class OperatingThreshold:
    """The operating threshold of each output of a network.

    Attributes:
      values: one per output, coarse to final, 0..255: `map > value` is called defective. Empty where there is none.
      chosen_on: what images it was chosen on, or `given`; None where there is none.
      note: how it was chosen, or why there is none; a sentence.
    """

    values: tuple[int, ...]
    chosen_on: str | None
    note: str

    @property
    def final(self) -> int | None:
        """The final output's threshold, or None."""
        return self.values[-1] if self.values else None


def choose_threshold(evaluation: Evaluation, images: str) -> OperatingThreshold:
    """Choose each output's threshold on images that are not to be tested on.

    It is the one with the largest F1 (hence IoU) over the pixels of all these images together, those without a
    defect included.

    Args:
      evaluation: of the images to choose on.
      images: what they are, such as `validation`.

    Returns:
      The thresholds; none, with the reason, where no image has a defective pixel: any threshold would do then.
    """
    chosen = [output.everything.pixels.best_threshold() for output in evaluation.outputs]
    values = tuple(value for value in chosen if value is not None)
    if not values:
        return no_threshold(f"no image of {images} has a defective pixel to choose a threshold by")
    count = evaluation.outputs[-1].everything.saliency.images
    return OperatingThreshold(values, images, f"the largest F1 over all pixels of the {count} images of {images}")


def given_threshold(value: int, outputs: int = 1) -> OperatingThreshold:
    """The threshold that the user gives, for every output.

    Raises:
      ValueError: it is not in 0..255.
    """
    if not 0 <= value <= 255:
        raise ValueError(f"a threshold must be in 0..255, not {value}")
    return OperatingThreshold((value,) * outputs, "given", "given by the user")


def no_threshold(reason: str) -> OperatingThreshold:
    """No threshold, for a reason; metrics that need one are None then."""
    return OperatingThreshold((), None, reason)
