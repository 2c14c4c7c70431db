from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dms_jax.evaluation.observation import ObservedImage
from dms_jax.evaluation.report.cards import CardMaker, make_card
from dms_jax.evaluation.scoring import score_image

MASK = np.array([[0, 0, 255, 255]], np.uint8)


def observed(name="a", saliency_map=MASK, mask=MASK, label=1, predicted=(0, 1), probabilities=(0.25, 0.75)):
    maps = (np.zeros_like(saliency_map), saliency_map)
    scored = score_image(
        maps,
        mask,
        name=name,
        label=label,
        predicted=predicted,
        probabilities=np.array([0.5, 0.5]),
        free_class=0,
        threshold=100,
        with_sod=False,
    )
    probabilities = None if probabilities is None else np.array(probabilities)
    return ObservedImage(scored.row, None, mask, maps, 100, 0, scored.predicted, probabilities)


def test_a_card_has_what_is_known_of_an_image():
    card = make_card(observed())
    assert (card.name, card.size, card.kinds, card.label, card.predicted) == ("a", (1, 4), ("fine",), 1, (0, 1))
    assert card.numbers == (
        ("IoU", "1.0000"),
        ("F1", "1.0000"),
        ("MAE", "0.0000"),
        ("map's maximum", "255"),
        ("gated map's maximum", "128"),
    )
    assert card.probabilities == ((1, 0.75), (0, 0.25))
    assert len(card.pictures.maps) == 2
    unknown = make_card(observed(mask=None, label=None, predicted=(), probabilities=None))
    assert (unknown.kinds, unknown.predicted, unknown.probabilities) == (("unknown",), (), ())


def test_the_worst_are_kept_whatever_the_order():
    maker = CardMaker(most=3)
    images = [observed(f"fine {number}") for number in range(20)]
    images[4], images[17] = (observed(f"missed {number}", np.zeros_like(MASK)) for number in (4, 17))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(maker, images))
    assert [card.name for card in maker.cards()] == ["missed 17", "missed 4", "fine 0"]
    assert maker.count == 20
    assert maker.error is None


def test_what_goes_wrong_is_kept_and_never_raised(monkeypatch):
    def fail(*_):
        raise OSError("encoder error -2")

    maker = CardMaker()
    maker(observed())
    monkeypatch.setattr("dms_jax.evaluation.report.cards.make_pictures", fail)
    maker(observed("b"))
    maker(observed("c"))
    assert str(maker.error) == "encoder error -2"
    assert [card.name for card in maker.cards()] == ["a"]


@pytest.mark.parametrize("name", ["\udcff.png", "<b>"])
def test_names_are_kept_as_they_are(name):
    assert make_card(observed(name)).name == name
