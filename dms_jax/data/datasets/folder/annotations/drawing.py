"""Drawing annotated regions as masks.

Coordinates are those of annotation tools: (0, 0) is the upper left corner of the image, and pixel (column, row) covers
[column, column + 1) x [row, row + 1). A pixel belongs to a region if its centre lies in it: the rectangle from (2, 3)
to (6, 5) has 4 x 2 pixels. (Pillow's `ImageDraw`, which labelme's own exports are drawn with, also counts the pixels
that the outline touches, 5 x 3.) What lies outside of the image is cut off.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

# A line has no width of its own: it is drawn this many pixels wide.
LINE_WIDTH = 3

Point = tuple[float, float]


def fill_polygon(points: Sequence[Point], height: int, width: int) -> np.ndarray:
    """The inside of a polygon, by the even-odd rule where it crosses itself.

    Args:
      points: its corners (x, y), at least three.
      height: of the image.
      width: of the image.

    Returns:
      bool [H, W].
    """
    # Each edge flips all pixels to the right of it: those inside are flipped an odd number of times.
    flips = np.zeros((height, width + 1), np.int32)
    for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        rows = np.arange(_first_centre(y0, height), _first_centre(y1, height))
        if rows.size:
            crossings = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
            columns = np.ceil(np.clip(crossings, 0, width) - 0.5).astype(np.int64)
            np.add.at(flips, (rows, columns), 1)
    return np.cumsum(flips, axis=1)[:, :width] % 2 == 1


def fill_box(box: tuple[float, float, float, float], height: int, width: int) -> np.ndarray:
    """The inside of an upright box (left, top, right, bottom), as bool [H, W]."""
    left, top, right, bottom = box
    inside = np.zeros((height, width), bool)
    rows = slice(_first_centre(top, height), _first_centre(bottom, height))
    inside[rows, _first_centre(left, width) : _first_centre(right, width)] = True
    return inside


def rotated_box(box: tuple[float, float, float, float], degrees: float, around: Point) -> tuple[Point, ...]:
    """The corners of a box that is turned clockwise, as seen in the image.

    Args:
      box: left, top, right and bottom before it is turned.
      degrees: the angle.
      around: the point that stays in place.

    Returns:
      The four corners, to be filled as a polygon.
    """
    left, top, right, bottom = box
    (x0, y0), angle = around, math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return tuple((x0 + (x - x0) * cos - (y - y0) * sin, y0 + (x - x0) * sin + (y - y0) * cos) for x, y in corners)


def fill_ellipse(centre: Point, radii: tuple[float, float], degrees: float, height: int, width: int) -> np.ndarray:
    """The inside of an ellipse.

    Args:
      centre: (x, y).
      radii: half its axes, above 0.
      degrees: how far it is turned clockwise around its centre.
      height: of the image.
      width: of the image.

    Returns:
      bool [H, W].
    """
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    dx = np.arange(width)[None, :] + 0.5 - centre[0]
    dy = np.arange(height)[:, None] + 0.5 - centre[1]
    return ((dx * cos + dy * sin) / radii[0]) ** 2 + ((dy * cos - dx * sin) / radii[1]) ** 2 <= 1


def draw_line(points: Sequence[Point], height: int, width: int) -> np.ndarray:
    """A line of straight pieces, `LINE_WIDTH` pixels wide with round ends.

    Args:
      points: where it begins, bends and ends (x, y), at least two.
      height: of the image.
      width: of the image.

    Returns:
      bool [H, W].
    """
    drawn = np.zeros((height, width), bool)
    reach = LINE_WIDTH / 2
    for (x0, y0), (x1, y1) in pairwise(points):
        rows = slice(_first_centre(min(y0, y1) - reach, height), _first_centre(max(y0, y1) + reach, height) + 1)
        columns = slice(_first_centre(min(x0, x1) - reach, width), _first_centre(max(x0, x1) + reach, width) + 1)
        # A little off, so that of two pixels at exactly half the width one belongs to the line.
        x = np.arange(width)[None, columns] + (0.5 + 1e-7)
        y = np.arange(height)[rows, None] + (0.5 + 1e-7)
        squared_length = (x1 - x0) ** 2 + (y1 - y0) ** 2
        along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / (squared_length or 1)
        along = np.clip(along, 0, 1)
        distance = np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0))
        drawn[rows, columns] |= distance <= reach
    return drawn


def place(part: np.ndarray, left: int, top: int, height: int, width: int) -> np.ndarray:
    """A mask of a part of the image, in the image.

    Args:
      part: [h, w], bool or uint8.
      left: the column of its first column, which may lie outside of the image.
      top: the row of its first row.
      height: of the image.
      width: of the image.

    Returns:
      [H, W], of the type of `part`.
    """
    whole = np.zeros((height, width), part.dtype)
    part = part[max(-top, 0) : max(height - top, 0), max(-left, 0) : max(width - left, 0)]
    top, left = max(top, 0), max(left, 0)
    whole[top : top + part.shape[0], left : left + part.shape[1]] = part
    return whole


def _first_centre(coordinate: float, count: int) -> int:
    """The first of `count` pixels whose centre is not before a coordinate."""
    return math.ceil(min(max(coordinate, 0), count) - 0.5)
