"""A chart of curves and points as an SVG image, by itself: nothing is needed to draw it or to look at it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

# The drawing's own units; the legend is below the axes.
_WIDTH, _HEIGHT = 720, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 16, 14, 48
_LEGEND_LINE = 20
_TICKS = 6

# Okabe and Ito's, which the colour-blind tell apart; of more curves, the next ones are dashed.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_DASHES = ("", ' stroke-dasharray="7 4"', ' stroke-dasharray="2 3"')


# By what factor a logarithmic axis is longer than its points at either end.
_MARGIN = 1.15

# Where on the axis a value is, 0..1, and the values that are written beside it.
_Axis = tuple[Callable[[float], float], Sequence[float]]


@dataclass(frozen=True)
class Curve:
    """A curve, in one colour.

    Attributes:
      name: for the legend.
      lines: the (x, y) of each of its lines, such as those of several seeds; y is 0..1.
      points: the (x, y) of dots, by themselves.
    """

    name: str
    lines: Sequence[Sequence[tuple[float, float]]]
    points: Sequence[tuple[float, float]] = ()


def chart(curves: Sequence[Curve], x: str, y: str, *, logarithmic: bool = False) -> str:
    """Draw curves on axes from 0 to the last x and from 0 to 1.

    Args:
      curves: with a point at least.
      x, y: what the axes are.
      logarithmic: the first axis has equal lengths for equal factors, and begins a little before the first x; each x
        must be above 0.

    Raises:
      ValueError: there is no point to draw, or one at 0 or below on a logarithmic axis.
    """
    points = [point for curve in curves for line in [*curve.lines, curve.points] for point in line]
    if not points:
        raise ValueError("there is nothing to draw: no run has both of the chart's figures")
    bottom, width = _HEIGHT - _BOTTOM, _WIDTH - _LEFT - _RIGHT
    axis = _logarithmic_axis if logarithmic else _linear_axis
    share, ticks = axis([across for across, _ in points])

    def place(across: float, up: float) -> tuple[float, float]:
        return _LEFT + share(across) * width, bottom - up * (bottom - _TOP)

    parts = []
    for number in range(_TICKS):
        up = number / (_TICKS - 1)
        at = bottom - up * (bottom - _TOP)
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 8, at + 4, f"{up:.1f}", "end"))
    for tick in ticks:
        at, _ = place(tick, 0)
        parts.append(_text(at, bottom + 18, f"{tick:g}", "middle"))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, bottom + 38, x, "middle"))
    middle = (_TOP + bottom) / 2
    parts.append(f'<g transform="rotate(-90 16 {middle})">{_text(16, middle, y, "middle")}</g>')
    for number, curve in enumerate(curves):
        stroke = f'stroke="{_COLOURS[number % len(_COLOURS)]}"{_DASHES[number // len(_COLOURS) % len(_DASHES)]}'
        for line in curve.lines:
            path = "L".join(f"{left:.1f} {down:.1f}" for left, down in (place(*point) for point in line))
            if path:
                # A single point is drawn by its round cap.
                parts.append(
                    f'<path d="M{path}{"h0" if len(line) == 1 else ""}" fill="none" stroke-width="2" {stroke}/>'
                )
        for left, down in (place(*point) for point in curve.points):
            parts.append(f'<circle cx="{left:.1f}" cy="{down:.1f}" r="4" fill="none" stroke-width="2" {stroke}/>')
        down = _HEIGHT + number * _LEGEND_LINE + 8
        parts.append(f'<path d="M{_LEFT} {down}h28" stroke-width="3" {stroke}/>')
        parts.append(_text(_LEFT + 36, down + 4, curve.name, "start"))
    height = _HEIGHT + len(curves) * _LEGEND_LINE + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="13" stroke-linecap="round" stroke-linejoin="round">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _text(left: float, down: float, text: str, anchor: str) -> str:
    return f'<text x="{left:.1f}" y="{down:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _linear_axis(values: Sequence[float]) -> _Axis:
    end = max(1, *values)
    step = _round_step(end)
    return lambda value: value / end, [number * step for number in range(math.floor(end / step) + 1)]


def _logarithmic_axis(values: Sequence[float]) -> _Axis:
    if min(values) <= 0:
        raise ValueError(f"{min(values):g} has no place on a logarithmic axis: leave it out")
    low, high = math.log(min(values) / _MARGIN), math.log(max(values) * _MARGIN)
    powers = range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)
    ticks = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    within = [tick for tick in ticks if low <= math.log(tick) <= high]
    return lambda value: (math.log(value) - low) / (high - low), within


def _round_step(end: float) -> float:
    """The least of 1, 2, 2.5 and 5 times a power of ten with which no more than `_TICKS` steps reach the end."""
    magnitude = 10 ** math.floor(math.log10(end / _TICKS))
    return next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude * _TICKS >= end)
