"""The gallery of a page: its filters as HTML, its cards as data that the page's script builds from."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from dms_jax.evaluation.report.cards import Card, shown_kinds
from dms_jax.evaluation.report.kinds import Kind
from dms_jax.evaluation.report.text import printable, script_json, shown_number


@dataclass(frozen=True)
class Gallery:
    """The images of a page.

    Attributes:
      cards: in the order in which they are shown, worst first.
      kinds: that they can be filtered by.
      class_names: that the cards' classes are numbers of.
      images: how many there are, if more than there are cards.
    """

    cards: tuple[Card, ...]
    kinds: tuple[Kind, ...]
    class_names: tuple[str, ...]
    images: int = 0


def gallery_html(gallery: Gallery) -> str:
    """The section with filters and an empty list, which the script fills."""
    counts = shown_kinds(gallery.cards, gallery.kinds)
    groups = [
        _filters("kind", "Kind", [(kind.key, kind.title, count, kind.explanation) for kind, count in counts.items()]),
        _class_filters("label", "True class", [card.label for card in gallery.cards], gallery.class_names),
        _class_filters(
            *("predicted", "Predicted class"),
            [card.predicted[-1] if card.predicted else None for card in gallery.cards],
            gallery.class_names,
        ),
    ]
    left_out = ""
    if gallery.images > len(gallery.cards):
        left_out = f"<p>The {len(gallery.cards)} worst of {gallery.images} images are here.</p>"
    return (
        f'<section id="images" aria-labelledby="images-title"><h2 id="images-title">Images</h2>{left_out}'
        f'<div class="filters">{"".join(groups)}'
        '<div class="filter"><label for="search">Name</label><input id="search" type="search" autocomplete="off" '
        'placeholder="part of a name"><output id="count" aria-live="polite"></output>'
        '<button type="button" id="reset">Show all</button></div></div>'
        "<noscript><p>The images are shown by a script, which this browser does not run.</p></noscript>"
        '<ul id="cards"></ul></section>'
    )


def gallery_data(gallery: Gallery) -> str:
    """All cards as JSON that may stand inside of a script element."""
    kinds = {kind.key: kind.title for kind in gallery.kinds}
    data = {
        "classes": [printable(name) for name in gallery.class_names],
        "kinds": kinds,
        "cards": [_card_data(card) for card in gallery.cards],
    }
    return script_json(data)


def _card_data(card: Card) -> dict[str, Any]:
    pictures = card.pictures
    return {
        "name": printable(card.name),
        "size": [card.size[1], card.size[0]],
        "label": card.label,
        "predicted": list(card.predicted),
        "maximum": card.maximum,
        "kinds": list(card.kinds),
        "numbers": [[printable(name), value] for name, value in card.numbers],
        "probabilities": [[number, shown_number(value)] for number, value in card.probabilities],
        "image": _base64(pictures.image),
        "truth": _base64(pictures.truth),
        "outlines": _base64(pictures.outlines),
        "outlined": list(pictures.outlined),
        "maps": [_base64(each) for each in pictures.maps],
    }


def _base64(picture: bytes | None) -> str | None:
    return None if picture is None else base64.b64encode(picture).decode()


def _class_filters(group: str, title: str, numbers: Sequence[int | None], class_names: Sequence[str]) -> str:
    options = [
        (str(number), name, numbers.count(number), "") for number, name in enumerate(class_names) if number in numbers
    ]
    return _filters(group, title, options)


def _filters(group: str, title: str, options: Iterable[tuple[str, str, int, str]]) -> str:
    chips = [
        f'<button type="button" class="chip {group}-{escape(key)}" aria-pressed="false" data-group="{group}" '
        f'data-key="{escape(key)}" title="{escape(explanation)}">{escape(printable(name))} <b>{count}</b></button>'
        for key, name, count, explanation in options
    ]
    if not chips:
        return ""
    return f'<div class="filter" role="group" aria-label="{title}"><span>{title}</span>{"".join(chips)}</div>'
