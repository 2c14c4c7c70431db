"""Drawing surfaces and their defects: textures with scratches, blobs and stains.

Lengths are in units of the image's side, grey values in 0..1. Only uniform random numbers are drawn, whose
stream for a seed is the same on every machine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

CLASS_NAMES = ("free", "scratch", "blob", "stain")


@dataclass(frozen=True)
class Drawing:
    """A drawn image.

    Attributes:
      image: uint8 [size, size, 3].
      mask: uint8 [size, size], 255 is defective; antialiased edges, so that half covered pixels are at 127.
    """

    image: np.ndarray
    mask: np.ndarray


def draw(label: str, size: int, rng: np.random.Generator) -> Drawing:
    """Draws a surface with the defects of one class.

    Args:
      label: one of `CLASS_NAMES`.
      size: side of the image in pixels.
      rng: the image's own stream of random numbers.

    Returns:
      The image and its mask.
    """
    surface = _texture(size, rng)
    coverage = np.zeros((size, size))
    if label != "free":
        count = {"scratch": 2, "blob": 3, "stain": 1}[label]
        for _ in range(int(rng.integers(1, count + 1))):
            defect = _DEFECTS[label](size, rng)
            surface = surface + defect.change
            coverage = np.maximum(coverage, defect.coverage)
    surface = _with_dust(surface, rng)
    surface = surface + rng.uniform(0.005, 0.025) * _noise(size, rng)
    tint = 1 + rng.uniform(-0.04, 0.04, 3)
    image = np.clip(surface[..., None] * tint, 0, 1)
    return Drawing(_to_uint8(image), _to_uint8(coverage))


@dataclass(frozen=True)
class _Defect:
    change: np.ndarray
    coverage: np.ndarray


def _texture(size: int, rng: np.random.Generator) -> np.ndarray:
    texture = _TEXTURES[int(rng.integers(len(_TEXTURES)))](size, rng)
    return rng.uniform(0.4, 0.62) + rng.uniform(0.7, 1.3) * texture + _illumination(size, rng)


def _brushed_metal(size: int, rng: np.random.Generator) -> np.ndarray:
    """Streaks along one direction, fine across it and slowly changing along it."""
    x, y = _rotated(size, rng.uniform(0, np.pi))
    fine = _lookup(rng.uniform(-1, 1, (8, size + 2)), x * 2.0, y * size * 0.7)
    coarse = _lookup(rng.uniform(-1, 1, (4, size // 4 + 2)), x, y * size / 6)
    return 0.07 * fine + 0.05 * coarse


def _grain(size: int, rng: np.random.Generator) -> np.ndarray:
    """A cast or blasted surface: grains of several sizes."""
    return (
        0.05 * _noise(size, rng)
        + 0.07 * _smooth_noise(size, size // 3, rng)
        + 0.05 * _smooth_noise(size, size // 7, rng)
        + 0.03 * _smooth_noise(size, 5, rng)
    )


def _turned(size: int, rng: np.random.Generator) -> np.ndarray:
    """Tool marks of a lathe or mill: concentric arcs around a far centre, uneven and grainy."""
    x, y = _rotated(size, rng.uniform(0, 2 * np.pi))
    radius = np.hypot(x + rng.uniform(0.8, 2.5), y + rng.uniform(-0.5, 0.5))
    wobble = 0.01 * _smooth_noise(size, 6, rng)
    marks = np.sin(2 * np.pi * rng.uniform(9, 16) * (radius + wobble))
    return marks * (0.05 + 0.02 * _smooth_noise(size, 6, rng)) + 0.04 * _noise(size, rng)


def _illumination(size: int, rng: np.random.Generator) -> np.ndarray:
    """A slope of light, and a bright spot of the lamp."""
    x, y = _rotated(size, rng.uniform(0, 2 * np.pi))
    centre_x, centre_y = rng.uniform(-0.5, 0.5, 2)
    distance = (x - centre_x) ** 2 + (y - centre_y) ** 2
    return rng.uniform(0, 0.22) * x + rng.uniform(0, 0.14) * np.exp(-distance / rng.uniform(0.08, 0.4))


def _scratch(size: int, rng: np.random.Generator) -> _Defect:
    """A thin curved line, bright or dark, fading towards its ends."""
    length, angle = rng.uniform(0.35, 0.85), rng.uniform(0, 2 * np.pi)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    # The middle stays inside the image, and with it at least half of the length.
    middle = rng.uniform(-0.25, 0.25, 2)
    t = np.linspace(-1, 1, 13)[:, None]
    bow, hook = rng.uniform(-0.18, 0.18) * length, rng.uniform(-0.08, 0.08) * length
    points = middle + t * length / 2 * along + (bow * (1 - t**2) + hook * (t**3 - t)) * across
    distance, position = _distance_to_line(size, points)
    half_width = max(rng.uniform(0.017, 0.028), 0.9 / size) * size
    coverage = np.clip(half_width + 0.5 - distance * size, 0, 1)
    fade = 0.65 + 0.35 * np.sin(np.pi * position)
    contrast = rng.uniform(0.2, 0.36) * _sign(rng, bright=0.6)
    return _Defect(contrast * fade * coverage, coverage)


def _blob(size: int, rng: np.random.Generator) -> _Defect:
    """A pit, an inclusion or a spatter: compact, dark or bright, with a soft edge."""
    radius = rng.uniform(0.04, 0.09)
    inside = _irregular_disc(size, radius, roughness=0.12, harmonics=4, margin=0.1, rng=rng)
    coverage = np.clip(inside * size + 0.5, 0, 1)
    softness = rng.uniform(0.006, 0.016)
    alpha = 1 / (1 + np.exp(-np.clip(inside / softness, -30, 30)))
    contrast = rng.uniform(0.15, 0.3) * _sign(rng, bright=0.35)
    inner = 1 + 0.25 * _smooth_noise(size, size // 4, rng)
    return _Defect(contrast * alpha * inner, coverage)


def _stain(size: int, rng: np.random.Generator) -> _Defect:
    """Oil, water or rust: large, of low contrast and irregular outline, often with a rim where it dried."""
    radius = rng.uniform(0.16, 0.3)
    inside = _irregular_disc(size, radius, roughness=0.3, harmonics=7, margin=0.25, rng=rng)
    inside = inside + 0.02 * _smooth_noise(size, 9, rng)
    coverage = np.clip(inside * size + 0.5, 0, 1)
    softness = rng.uniform(0.008, 0.02)
    alpha = 1 / (1 + np.exp(-np.clip(inside / softness, -30, 30)))
    rim = rng.uniform(0, 0.8) * np.exp(-((inside / 0.025) ** 2))
    patches = 1 + 0.3 * _smooth_noise(size, 7, rng)
    contrast = rng.uniform(0.1, 0.18) * _sign(rng, bright=0.3)
    return _Defect(contrast * alpha * (patches + rim), coverage)


def _with_dust(surface: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A few bright or dark single pixels, which are not defects."""
    count = int(rng.integers(0, 6))
    rows, columns = rng.integers(0, len(surface), (2, count))
    dusty = surface.copy()
    dusty[rows, columns] += rng.uniform(-0.35, 0.35, count)
    return dusty


def _irregular_disc(
    size: int, radius: float, roughness: float, harmonics: int, margin: float, rng: np.random.Generator
) -> np.ndarray:
    """How far each pixel lies inside an irregular outline (negative: outside)."""
    x, y = _rotated(size, 0.0)
    centre_x, centre_y = rng.uniform(margin - 0.5, 0.5 - margin, 2)
    dx, dy = x - centre_x, y - centre_y
    squeeze, angle = rng.uniform(0.7, 1.0), rng.uniform(0, np.pi)
    u = (np.cos(angle) * dx + np.sin(angle) * dy) * squeeze
    v = (np.cos(angle) * dy - np.sin(angle) * dx) / squeeze
    theta = np.arctan2(v, u)
    outline = np.ones_like(theta)
    for k in range(2, harmonics + 2):
        outline += roughness / k * rng.uniform(-1, 1) * np.cos(k * theta + rng.uniform(0, 2 * np.pi))
    return radius * outline - np.hypot(u, v)


def _distance_to_line(size: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each pixel to a chain of points [N, 2], and the place 0..1 along it that is nearest."""
    x, y = _rotated(size, 0.0)
    nearest = np.full((size, size), np.inf)
    position = np.zeros((size, size))
    for i, (start, end) in enumerate(pairwise(points)):
        step = end - start
        dx, dy = x - start[0], y - start[1]
        t = np.clip((dx * step[0] + dy * step[1]) / (step @ step), 0, 1)
        distance = (dx - t * step[0]) ** 2 + (dy - t * step[1]) ** 2
        closer = distance < nearest
        nearest = np.where(closer, distance, nearest)
        position = np.where(closer, (i + t) / (len(points) - 1), position)
    return np.sqrt(nearest), position


def _rotated(size: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates -0.5..0.5 of the pixels' centres, in axes rotated by `angle`."""
    axis = (np.arange(size) + 0.5) / size - 0.5
    y, x = axis[:, None], axis[None, :]
    return np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x


def _lookup(grid: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Values of a random grid between its nodes, bilinear; the grid repeats."""
    row_floor, column_floor = np.floor(row), np.floor(column)
    r, c = row - row_floor, column - column_floor
    i, j = row_floor.astype(int) % grid.shape[0], column_floor.astype(int) % grid.shape[1]
    i1, j1 = (i + 1) % grid.shape[0], (j + 1) % grid.shape[1]
    top = grid[i, j] * (1 - c) + grid[i, j1] * c
    bottom = grid[i1, j] * (1 - c) + grid[i1, j1] * c
    return top * (1 - r) + bottom * r


def _smooth_noise(size: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Noise -1..1 that changes over size / cells pixels, interpolated with a smooth step."""
    grid = rng.uniform(-1, 1, (cells + 2, cells + 2))
    place = (np.arange(size) + 0.5) / size * cells
    floor = np.floor(place).astype(int)
    t = place - floor
    t = t * t * (3 - 2 * t)
    weights = np.zeros((size, cells + 2))
    weights[np.arange(size), floor] = 1 - t
    weights[np.arange(size), floor + 1] = t
    return weights @ grid @ weights.T


def _noise(size: int, rng: np.random.Generator) -> np.ndarray:
    """Noise -1..1 of independent pixels, denser around 0."""
    return (rng.uniform(-1, 1, (size, size)) + rng.uniform(-1, 1, (size, size))) / 2


def _sign(rng: np.random.Generator, bright: float) -> float:
    return 1.0 if rng.random() < bright else -1.0


def _to_uint8(values: np.ndarray) -> np.ndarray:
    return np.rint(values * 255).astype(np.uint8)


_TEXTURES: tuple[Callable[[int, np.random.Generator], np.ndarray], ...] = (_brushed_metal, _grain, _turned)
_DEFECTS: dict[str, Callable[[int, np.random.Generator], _Defect]] = {
    "scratch": _scratch,
    "blob": _blob,
    "stain": _stain,
}
