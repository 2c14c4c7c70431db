import math

import numpy as np
import pytest
from skimage.draw import polygon2mask

from dms_jax.data.datasets.folder.annotations.coco import draw_polygons
from dms_jax.data.datasets.folder.annotations.drawing import (
    LINE_WIDTH,
    draw_line,
    fill_box,
    fill_ellipse,
    fill_polygon,
    place,
    rotated_box,
)

SIZE = (40, 50)


def star(centre=(23.3, 19.7), corners=9):
    radii = np.random.default_rng(0).uniform(5, 18, corners)
    angles = np.arange(corners) / corners * 2 * np.pi
    return [(centre[0] + r * math.cos(a), centre[1] + r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]


class TestPolygons:
    def test_a_rectangle_has_as_many_pixels_as_its_area(self):
        expected = np.zeros(SIZE, bool)
        expected[3:5, 2:6] = True
        np.testing.assert_array_equal(fill_polygon([(2, 3), (6, 3), (6, 5), (2, 5)], *SIZE), expected)
        np.testing.assert_array_equal(fill_polygon([(2, 5), (6, 5), (6, 3), (2, 3)], *SIZE), expected)
        np.testing.assert_array_equal(fill_box((2, 3, 6, 5), *SIZE), expected)

    def test_pixels_whose_centre_is_inside(self):
        filled = fill_polygon(star(), *SIZE)
        # skimage takes (row, column) of points whose pixel centres have whole numbers.
        expected = polygon2mask(SIZE, [(y - 0.5, x - 0.5) for x, y in star()])
        np.testing.assert_array_equal(filled, expected)
        assert filled.sum() > 200

    def test_nearly_as_coco_draws_it(self):
        flat = [value for point in star() for value in point]
        other = draw_polygons([flat], *SIZE)
        filled = fill_polygon(star(), *SIZE)
        assert np.count_nonzero(filled ^ other) < 0.05 * filled.sum()

    def test_what_lies_outside_is_cut_off(self):
        assert fill_polygon([(-5, -5), (99, -5), (99, 99), (-5, 99)], *SIZE).all()
        assert not fill_polygon([(60, 3), (70, 3), (70, 9)], *SIZE).any()
        assert fill_box((-5, -5, 3, 2), *SIZE).sum() == 6

    def test_a_polygon_that_crosses_itself_has_a_hole(self):
        ring = [(1, 1), (9, 1), (9, 9), (1, 9), (1, 1), (3, 3), (7, 3), (7, 7), (3, 7), (3, 3)]
        assert fill_polygon(ring, *SIZE).sum() == 64 - 16

    def test_half_pixels_belong_to_one_of_two_neighbours(self):
        left = fill_polygon([(0, 0), (2.5, 0), (2.5, 4), (0, 4)], *SIZE)
        right = fill_polygon([(2.5, 0), (5, 0), (5, 4), (2.5, 4)], *SIZE)
        assert not (left & right).any()
        assert (left | right).sum() == 20


class TestEllipses:
    def test_area_of_a_circle(self):
        circle = fill_ellipse((25, 20), (15, 15), 0, *SIZE)
        assert circle.sum() == pytest.approx(math.pi * 15**2, rel=0.02)
        assert circle[20, 10]
        assert not circle[20, 9]

    def test_turned_clockwise(self):
        lying = fill_ellipse((20, 20), (12, 4), 0, *SIZE)
        assert lying.sum() == pytest.approx(math.pi * 48, rel=0.03)
        standing = fill_ellipse((20, 20), (12, 4), 90, *SIZE)
        np.testing.assert_array_equal(standing[:40, :40], lying[:40, :40].T)
        slanted = fill_ellipse((20, 20), (12, 4), 45, *SIZE)
        assert slanted[26, 26]
        assert not slanted[13, 26]


class TestBoxes:
    def test_turned_by_a_quarter_around_a_corner(self):
        corners = rotated_box((10, 5, 20, 9), 90, (10, 5))
        np.testing.assert_allclose(corners, [(10, 5), (10, 15), (6, 15), (6, 5)], atol=1e-9)

    def test_turned_around_the_centre(self):
        corners = rotated_box((10, 5, 20, 9), 30, (15, 7))
        assert fill_polygon(corners, *SIZE).sum() == pytest.approx(40, abs=2)
        # Clockwise: the right end sinks.
        assert fill_polygon(corners, *SIZE)[9, 18]


class TestLines:
    def test_width_of_a_straight_line(self):
        line = draw_line([(5, 10.5), (15, 10.5)], *SIZE)
        np.testing.assert_array_equal(np.flatnonzero(line[:, 9]), [9, 10, 11])
        assert LINE_WIDTH == 3
        assert np.flatnonzero(line[10]).tolist() == list(range(3, 16))

    def test_a_slanted_line_is_as_wide(self):
        line = draw_line([(5, 5), (45, 22)], *SIZE)
        assert line.sum() == pytest.approx(math.hypot(40, 17) * 3 + math.pi * 1.5**2, rel=0.05)

    def test_bends_and_no_length(self):
        whole = draw_line([(5, 5), (20, 5), (20, 20)], *SIZE)
        parts = draw_line([(5, 5), (20, 5)], *SIZE) | draw_line([(20, 5), (20, 20)], *SIZE)
        np.testing.assert_array_equal(whole, parts)
        assert draw_line([(5.5, 5.5), (5.5, 5.5)], *SIZE).sum() == 9

    def test_what_lies_outside_is_cut_off(self):
        assert draw_line([(-20, 5), (80, 5)], *SIZE).sum() == 50 * 3
        assert not draw_line([(-20, 5), (-5, 5)], *SIZE).any()


@pytest.mark.parametrize(
    ("left", "top", "count"), [(3, 2, 12), (-1, 2, 9), (48, 2, 6), (3, -2, 4), (3, 38, 8), (99, 2, 0)]
)
def test_place(left, top, count):
    placed = place(np.ones((3, 4), bool), left, top, *SIZE)
    assert placed.shape == SIZE
    assert placed.sum() == count
    assert placed.sum() == placed[max(top, 0) : max(top + 3, 0), max(left, 0) : max(left + 4, 0)].sum()
