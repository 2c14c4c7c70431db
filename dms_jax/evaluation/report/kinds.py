"""In which ways a prediction is wrong, and which are worse."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dms_jax.evaluation.scoring import ImageRow

# Of a defect that was found, at the operating threshold: below, its outline is called poor.
POOR_IOU = 0.5


@dataclass(frozen=True)
class Kind:
    """A kind of image that a gallery can be filtered by.

    Attributes:
      key: a short name for programs, of letters alone.
      title: for the user.
      explanation: what makes an image one of these; a sentence.
    """

    key: str
    title: str
    explanation: str


MISSED = Kind("missed", "missed", "The image has a defect, and no pixel of it is found.")
ALARM = Kind("alarm", "false alarm", "The image has no defect, and a pixel of its map is above the threshold.")
WRONG = Kind("wrong", "wrong class", "The class predicted for the image is not its label.")
POOR = Kind("poor", "poor outline", f"A part of the defect is found, and the IoU is below {POOR_IOU}.")
FINE = Kind("fine", "fine", "None of the others.")
UNKNOWN = Kind("unknown", "truth unknown", "Neither a mask nor a label of the image is known.")
# What is found where nobody knows the truth.
FOUND = Kind("found", "defect found", "A pixel of the map is above the threshold.")
NOTHING = Kind("nothing", "nothing found", "No pixel of the map is above the threshold.")

# The worst first.
ERRORS = (MISSED, ALARM, WRONG, POOR, FINE, UNKNOWN)
FINDINGS = (FOUND, NOTHING)


def errors_of(row: ImageRow, threshold: int | None, free_class: int | None = None) -> tuple[Kind, ...]:
    """What is wrong with the prediction for an image, the worst first; at least one kind.

    Args:
      row: what is known of the image.
      threshold: map > threshold is called defective; without one, only a map that is black everywhere finds nothing.
      free_class: number of the defect-free class; None where there is none.
    """
    if row.defective is None and row.label is None:
        return (UNKNOWN,)
    fires = row.maximum > (threshold or 0)
    found = []
    if row.defective:
        if row.iou == 0 or not fires:
            found.append(MISSED)
        elif row.iou is not None and row.iou < POOR_IOU:
            found.append(POOR)
    # Without a defect-free class, every label is that of a defect.
    elif row.defective is None and row.label != free_class and not fires:
        found.append(MISSED)
    elif threshold is not None and fires and row.is_sound(free_class):
        found.append(ALARM)
    if row.label is not None and row.predicted is not None and row.label != row.predicted:
        found.append(WRONG)
    return tuple(sorted(found, key=ERRORS.index)) or (FINE,)


def shown_errors(rows: Iterable[ImageRow]) -> tuple[Kind, ...]:
    """The kinds that images may be of: none of classes where these are not known, and `UNKNOWN` where one is."""
    rows = list(rows)
    left_out = set()
    if not any(row.label is not None and row.predicted is not None for row in rows):
        left_out.add(WRONG)
    if not any(row.defective is None and row.label is None for row in rows):
        left_out.add(UNKNOWN)
    return tuple(kind for kind in ERRORS if kind not in left_out)


def badness(row: ImageRow, kinds: tuple[Kind, ...]) -> tuple[int, float, str]:
    """What sorts images the worst first: by their worst kind, and among each the larger error first.

    The error is the MAE; of found defects it is what the IoU lacks.
    """
    rank = ERRORS.index(kinds[0])
    error = row.mae or 0.0
    if kinds[0] in (POOR, FINE) and row.iou is not None:
        # Before those without a defect, of which nothing can be said.
        error = 2 - row.iou
    return (rank, -error, row.name)
