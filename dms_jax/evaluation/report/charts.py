"""Line charts as inline SVG; colours come from the page's style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# The drawing's own units; the page scales it.
_WIDTH, _HEIGHT = 560, 290
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 12, 44
_TICKS = 5
# More points than pixels only make the page larger.
_MOST_POINTS = 400


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
      name: for the legend.
      points: (x, y), in the order in which they are joined.
      mark: one of them to mark with a dot; None for none.
      mark_name: what it is.
    """

    name: str
    points: Sequence[tuple[float, float]]
    mark: tuple[float, float] | None = None
    mark_name: str = ""


@dataclass(frozen=True)
class Chart:
    """A chart of a few lines.

    Attributes:
      title: of the chart.
      x, y: what the axes are.
      lines: at least one, with a point at least.
      unit: whether both axes run from 0 to 1; else they fit the points, y from 0 unless it is negative.
      unit_y: whether the y axis does.
    """

    title: str
    x: str
    y: str
    lines: Sequence[Line]
    unit: bool = False
    unit_y: bool = False


def chart_html(chart: Chart) -> str:
    """A figure with the chart, its title and its legend; all names are escaped."""
    points = [point for line in chart.lines for point in line.points]
    x_ticks = _ticks(0, 1) if chart.unit else _ticks(min(x for x, _ in points), max(x for x, _ in points))
    y_low, y_high = min(0.0, *(y for _, y in points)), max(y for _, y in points)
    y_ticks = _ticks(0, 1) if chart.unit or chart.unit_y else _ticks(y_low, y_high)
    x_range = (0.0, 1.0) if chart.unit else _range(points)
    y_range = (y_ticks[0], max(y_ticks[-1], y_high))

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            _LEFT + (x - x_range[0]) / (x_range[1] - x_range[0]) * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - (y - y_range[0]) / (y_range[1] - y_range[0]) * (_HEIGHT - _TOP - _BOTTOM),
        )

    parts = []
    for tick in y_ticks:
        _, y = place(x_range[0], tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick end" x="{_LEFT - 6}" y="{y + 4:.1f}">{tick:.4g}</text>')
    for tick in x_ticks:
        if x_range[0] <= tick <= x_range[1]:
            x, _ = place(tick, y_range[0])
            parts.append(f'<text class="tick middle" x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16}">{tick:.6g}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text class="axis middle" x="{middle}" y="{_HEIGHT - 6}">{escape(chart.x)}</text>')
    high = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text class="axis middle" x="12" y="{high}" transform="rotate(-90 12 {high})">{escape(chart.y)}</text>'
    )
    legend = []
    for number, line in enumerate(chart.lines):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in _thinned(line.points)))
        if len(line.points) == 1:
            x, y = place(*line.points[0])
            parts.append(f'<circle class="mark colour-{number}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
        parts.append(f'<polyline class="line colour-{number}" points="{path}"/>')
        name = line.name
        if line.mark is not None:
            x, y = place(*line.mark)
            parts.append(f'<circle class="mark colour-{number}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>')
            name += f" (dot: {line.mark_name})"
        legend.append(f'<li><span class="swatch colour-{number}"></span>{escape(name)}</li>')
    names = ", ".join(line.name for line in chart.lines)
    label = escape(f"{chart.title}: {chart.y} over {chart.x} of {names}")
    return (
        f'<figure class="chart"><figcaption>{escape(chart.title)}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
        f'<ul class="legend">{"".join(legend)}</ul></figure>'
    )


def _range(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    low, high = min(x for x, _ in points), max(x for x, _ in points)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers that begin at or below `low` and end near `high`, about `_TICKS` of them."""
    span = (high - low) or abs(high) or 1.0
    magnitude = 10 ** math.floor(math.log10(span / _TICKS))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude * _TICKS >= span)
    first = math.floor(low / step)
    count = max(1, math.ceil(high / step - 1e-9) - first)
    return [round((first + number) * step, 12) for number in range(count + 1)]


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Evenly chosen points, the last one among them."""
    every = -(-len(points) // _MOST_POINTS)
    return points if every <= 1 else [*points[:-1][::every], points[-1]]
