import re
from xml.etree import ElementTree

import pytest

from dms_jax.evaluation.report.charts import Chart, Line, chart_html


def parsed(chart):
    return ElementTree.fromstring(chart_html(chart))


def points_of(figure, number=0):
    line = figure.findall(".//polyline")[number]
    return [tuple(map(float, point.split(","))) for point in line.get("points").split()]


def ticks(figure, side):
    return [float(text.text) for text in figure.findall(".//text") if text.get("class") == f"tick {side}"]


def test_points_are_where_the_axes_say():
    figure = parsed(Chart("PR", "recall", "precision", [Line("all", [(0.0, 0.0), (1.0, 1.0), (0.5, 0.25)])], unit=True))
    assert ticks(figure, "end") == ticks(figure, "middle") == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    (left, bottom), (right, top), (x, y) = points_of(figure)
    assert left < right
    assert top < bottom
    assert x == pytest.approx((left + right) / 2, abs=0.1)
    assert y == pytest.approx(bottom + 0.25 * (top - bottom), abs=0.1)


@pytest.mark.parametrize(
    "points",
    [[(10, 3.2)], [(0, 0.0), (5, 0.0)], [(1, -2.0), (2, 5.0)], [(100, 1e-5), (200, 3e-5)], [(1, 1e6), (20_000, 2e6)]],
)
def test_any_numbers_stay_inside(points):
    figure = parsed(Chart("loss", "step", "loss", [Line("a", points)]))
    width, height = map(float, figure.find("svg").get("viewBox").split()[2:])
    assert all(0 <= x <= width and 0 <= y <= height for x, y in points_of(figure))
    assert 2 <= len(ticks(figure, "end")) <= 8
    assert len(ticks(figure, "middle")) <= 8


def test_long_lines_are_thinned_to_their_ends():
    figure = parsed(Chart("loss", "step", "loss", [Line("a", [(step, 1.0) for step in range(100_001)])]))
    few = points_of(figure)
    whole = points_of(parsed(Chart("loss", "step", "loss", [Line("a", [(0, 1.0), (100_000, 1.0)])])))
    assert len(few) < 500
    assert (few[0], few[-1]) == (whole[0], whole[-1])


def test_names_are_escaped_and_the_chart_has_a_label():
    line = Line("<i>&", [(0, 1.0), (1, 2.0)], mark=(1, 2.0), mark_name='"best"')
    text = chart_html(Chart("<b>title", "x", "y", [line]))
    assert "<i>" not in text
    assert "<b>title" not in text
    figure = ElementTree.fromstring(text)
    assert figure.find("svg").get("role") == "img"
    assert figure.find("svg").get("aria-label") == "<b>title: y over x of <i>&"
    assert re.sub(r"\s+", " ", "".join(figure.find("ul").itertext())) == '<i>& (dot: "best")'
    assert len(figure.findall(".//circle")) == 1
