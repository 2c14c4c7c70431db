import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import chain

import pytest
from example_report import CLASS_NAMES, COUNTS, HOSTILE, IMAGES, OUTPUTS, example_report

from dms_jax.errors import UserError
from dms_jax.evaluation.report.gallery import Gallery
from dms_jax.evaluation.report.page import Report, render, write_report
from dms_jax.evaluation.report.text import printable


class Elements(HTMLParser):
    """Every element of a page, with its attributes and the text in it."""

    def __init__(self, text):
        super().__init__()
        self.found, self._open = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append([tag, dict(attrs), ""])
        self._open.append(self.found[-1])

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        for element in self._open:
            element[2] += data

    def __call__(self, tag, **attributes):
        return [
            (own, text)
            for name, own, text in self.found
            if name == tag and all(own.get(key.rstrip("_")) == value for key, value in attributes.items())
        ]


@pytest.fixture(scope="module")
def page():
    return render(example_report())


@pytest.fixture(scope="module")
def elements(page):
    return Elements(page)


def data_of(elements):
    return json.loads(elements("script", type="application/json")[0][1])


def test_nothing_is_loaded_and_nothing_else_may_run(page, elements):
    (policy,) = (own["content"] for own, _ in elements("meta", **{"http-equiv": "Content-Security-Policy"}))
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    (style,), (script,) = (
        [text for _, text in elements("style")],
        [text for own, text in elements("script") if not own],
    )
    for text in (style, script):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?://|url\(|@import", page)
    for tag, own, _ in elements.found:
        assert "style" not in own, tag
        assert not [name for name in own if name.startswith("on")], tag
        assert own.get("src") is None
        assert own.get("href", "#").startswith(("#", "data:,"))


def test_names_are_text_whatever_they_hold(page, elements):
    assert len(elements("script")) == 2
    assert not elements("img")
    assert not elements("b", onclick=None, class_="x")
    assert elements("h1")[0][1] == "BDMS on <mtdd>"
    assert "<stain>" not in page
    data = data_of(elements)
    assert data["classes"] == list(CLASS_NAMES)
    assert {card["name"] for card in data["cards"]} == {printable(name) for name, *_ in IMAGES}
    assert HOSTILE in {card["name"] for card in data["cards"]}
    assert r"café \udcff.png" in {card["name"] for card in data["cards"]}
    assert "The name <x> is odd." in elements("ul", class_="notes")[0][1]
    assert [text for own, text in elements("th", scope="row") if "stain" in text] == [CLASS_NAMES[2]] * 2
    page.encode()


def test_cards_are_sorted_and_have_all_their_pictures(elements):
    cards = data_of(elements)["cards"]
    # A black map is further from the truth than a grey one.
    assert [card["name"] for card in cards[:3]] == ["missed.png", "missed too.png", "alarm.png"]
    assert [card["kinds"][0] for card in cards] == ["missed", "missed", "alarm", "wrong", "poor", "fine", "fine"]
    for card in cards:
        assert len(card["maps"]) == OUTPUTS
        assert card["size"] == [32, 24]
        for picture in (card["image"], *card["maps"]):
            assert base64.b64decode(picture, validate=True)[8:12] == b"WEBP"
        for picture in (card["truth"], card["outlines"]):
            assert base64.b64decode(picture, validate=True).startswith(b"\x89PNG")
        assert all(isinstance(value, str) for _, value in card["numbers"])


def test_filters_count_their_images(elements):
    chips = {(own["data-group"], own["data-key"]): text for own, text in elements("button") if "data-group" in own}
    for kind, count in COUNTS.items():
        assert chips["kind", kind].endswith(f" {count}")
    assert [chips["label", str(number)] for number in range(3)] == ["free 2", "crack 3", f"{CLASS_NAMES[2]} 2"]
    assert chips["predicted", "0"] == "free 3"


def test_metrics_stand_beside_those_of_black_maps_and_their_convention(elements):
    report = example_report()
    rows = {}
    text = elements("table", class_="headline")[0][1]
    assert "SalMetric" in text
    for name, value in (("max_f", report.metrics["max_f"]), ("miou", report.metrics["painted"]["miou"])):
        rows[name] = f"{value:.4f}"
        assert rows[name] in text
    assert f"{report.metrics['all_black']['max_f']:.4f}" in text
    assert f"{report.metrics['gated']['max_f']:.4f}" in text
    matrix = [int(text) for own, text in elements("button") if "data-predicted" in own]
    assert matrix == list(chain.from_iterable(report.metrics["image_level"]["confusion"]["matrix"]))


def test_curves_are_drawn(elements):
    titles = [text for _, text in elements("figcaption")]
    assert titles == ["Precision and recall, averaged over images", "Loss", "Validation", "Validation, error"]
    # Two of precision and recall, the loss, one of validation's scores and one of its errors.
    assert len(elements("polyline")) == 5


def test_without_classes_nothing_leads_to_them():
    report = example_report()
    text = render(replace(report, metrics={**report.metrics, "per_class": {}}))
    assert "#classes" in render(report)
    assert "#classes" not in text


def test_a_page_without_metrics_or_images():
    elements = Elements(render(Report("Nothing", (), Gallery((), (), ()))))
    assert data_of(elements) == {"classes": [], "kinds": {}, "cards": []}
    assert [own["href"] for own, _ in elements("a")] == ["#images"]
    assert not elements("table")


def test_what_is_left_out_is_said():
    gallery = replace(example_report().gallery, images=9)
    assert "The 7 worst of 9 images are here." in render(Report("Many", (), gallery))


def test_links_lead_somewhere(elements):
    anchors = {own["id"] for _, own, _ in elements.found if "id" in own}
    assert {own["href"][1:] for own, _ in elements("a")} <= anchors


def test_a_page_is_written_whole_or_said_not_to_be(tmp_path):
    report = example_report()
    write_report(report, tmp_path / "new" / "page.html")
    assert (tmp_path / "new" / "page.html").read_text(encoding="utf-8") == render(report)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/page.html cannot be written .*: choose another file"):
        write_report(report, tmp_path / "file" / "page.html")
