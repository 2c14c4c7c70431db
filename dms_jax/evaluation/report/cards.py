"""What a page shows of each image, made one image at a time while a network is evaluated."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dms_jax.evaluation.observation import ObservedImage
from dms_jax.evaluation.report.kinds import Kind, badness, errors_of
from dms_jax.evaluation.report.pictures import Pictures, make_pictures
from dms_jax.evaluation.report.text import shown_number
from dms_jax.evaluation.scoring import ImageRow

# A card takes about 20 kB of the page: with more, a browser would have to load hundreds of megabytes.
MOST_CARDS = 2000
# Of an image's classes, how many probabilities are shown.
_PROBABILITIES = 3


@dataclass(frozen=True)
class Card:
    """One image of a gallery.

    Attributes:
      name: of the image, as text; never trusted.
      size: (H, W) in pixels.
      pictures: see `Pictures`.
      kinds: keys of its kinds, the worst first.
      order: what sorts cards: smaller comes first.
      maximum: the final map's largest value, 0..255.
      label: number of its class; None where unknown.
      predicted: the class that each output predicts; empty without class heads.
      numbers: what is known of it, as (what it is, value).
      probabilities: (class, its probability by the final output) of the likeliest classes.
    """

    name: str
    size: tuple[int, int]
    pictures: Pictures
    kinds: tuple[str, ...]
    order: tuple[float | str, ...]
    maximum: int
    label: int | None = None
    predicted: tuple[int, ...] = ()
    numbers: tuple[tuple[str, str], ...] = ()
    probabilities: tuple[tuple[int, float], ...] = ()


class CardMaker:
    """Makes a card of each image that is observed, and keeps the worst ones.

    It never fails: what goes wrong is kept in `error`, and no further card is made. An evaluation is worth more than a
    page about it.

    Args:
      most: how many cards to keep.

    Attributes:
      error: what went wrong first; None while nothing did.
      count: of the images that were observed.
    """

    def __init__(self, *, most: int = MOST_CARDS) -> None:
        self.error: Exception | None = None
        self.count = 0
        self._most = most
        self._cards: list[Card] = []
        self._lock = threading.Lock()

    def __call__(self, observed: ObservedImage) -> None:
        """Keep an image's card; may be called by several threads at a time."""
        if self.error is not None:
            return
        try:
            card = make_card(observed)
        except Exception as error:  # whatever it is, see the class
            self.error = self.error or error
            return
        with self._lock:
            self.count += 1
            self._cards.append(card)
            if len(self._cards) >= 2 * self._most:
                self._cards = worst(self._cards, self._most)

    def cards(self) -> tuple[Card, ...]:
        """The cards that are kept, worst first."""
        return tuple(worst(self._cards, self._most))


def worst(cards: Iterable[Card], most: int = MOST_CARDS) -> list[Card]:
    """At most so many of the cards, worst first."""
    return sorted(cards, key=lambda card: card.order)[:most]


def make_card(observed: ObservedImage) -> Card:
    """The card of an image, which says what is wrong with its prediction."""
    row = observed.row
    kinds = errors_of(row, observed.threshold, observed.free_class)
    return Card(
        name=row.name,
        size=observed.maps[-1].shape[:2],
        pictures=make_pictures(observed.image, observed.mask, observed.maps, observed.threshold),
        kinds=tuple(kind.key for kind in kinds),
        order=badness(row, kinds),
        maximum=row.maximum,
        label=row.label,
        predicted=observed.predicted,
        numbers=tuple(_numbers(row)),
        probabilities=_likeliest(observed.probabilities),
    )


def _numbers(row: ImageRow) -> Iterator[tuple[str, str]]:
    named = {
        "IoU": row.iou,
        "F1": row.f1,
        "MAE": row.mae,
        "S-measure": row.s_measure,
        "weighted F": row.weighted_f,
        **row.extra,
        "map's maximum": row.maximum,
        "gated map's maximum": row.gated_maximum,
    }
    yield from ((name, shown_number(value)) for name, value in named.items() if value is not None)


def _likeliest(probabilities: NDArray[np.floating] | None) -> tuple[tuple[int, float], ...]:
    if probabilities is None:
        return ()
    return tuple(
        (int(number), float(probabilities[number])) for number in probabilities.argsort()[::-1][:_PROBABILITIES]
    )


def shown_kinds(cards: Iterable[Card], kinds: tuple[Kind, ...]) -> dict[Kind, int]:
    """How many of the cards are of each kind."""
    cards = list(cards)
    return {kind: sum(kind.key in card.kinds for card in cards) for kind in kinds}
