"""The shapes of Label Studio's results.

Coordinates are per cent of the image. A rectangle is turned clockwise around the corner (x, y). The (x, y) of an
ellipse is its centre: the page of EllipseLabels says upper left corner, but the editor (`EllipseRegion.jsx`) hands it
to Konva's Ellipse, whose position is its centre.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from dms_jax.data.datasets.folder.annotations.brush_rle import decode_brush
from dms_jax.data.datasets.folder.annotations.drawing import fill_box, fill_ellipse, fill_polygon, rotated_box
from dms_jax.data.datasets.folder.annotations.entries import Region
from dms_jax.data.datasets.folder.annotations.values import a, label_of, number_of, points_of, size_of

_SHAPES = ("brush", "polygon", "rectangle", "ellipse", "keypoint")
_NOT_SHAPES = ("choices", "labels", "number", "rating", "textarea", "relation", "taxonomy", "datetime", "pairwise")


def value_of(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a result says, empty where that is no object."""
    value = result.get("value")
    return value if isinstance(value, dict) else {}


def region_of(result: Mapping[str, Any], labelled: set[str]) -> Region | None:
    """The region of a result; None where it is none, or one whose class another result of the same id names.

    Args:
      result: of an annotation.
      labelled: ids of the annotation's results that name a class.

    Raises:
      ValueError: it cannot be read; the end of a sentence.
    """
    value = value_of(result)
    kind = str(result.get("type") or "").removesuffix("labels")
    if not kind:
        kind = _kind_of(value)
    if kind in ("brush", "polygon", "rectangle", "ellipse", "keypoint"):
        shape = kind
    elif "labels" in value and kind in ("", "labels"):
        shape = _kind_of(value)
    elif result.get("type") in _NOT_SHAPES:
        return None
    else:
        raise ValueError(f"has a result of the unknown type {result.get('type')!r} ({', '.join(_SHAPES)} are known)")
    names = value.get(f"{shape}labels", value.get("labels"))
    if not names:
        if str(result.get("id")) in labelled:
            return None
        raise ValueError(f"has {a(shape)} without a label")
    if result.get("image_rotation"):
        raise ValueError(f"has {a(shape)} in an image that was turned by {result['image_rotation']} degrees")
    try:
        label = label_of(
            "-".join(names) if isinstance(names, list) and all(isinstance(n, str) for n in names) else None
        )
        return _drawn(shape, label, value, result)
    except ValueError as error:
        raise ValueError(f"has {a(shape)} that {error}") from error


def _kind_of(value: Mapping[str, Any]) -> str:
    keys = {"rle": "brush", "points": "polygon", "radiusX": "ellipse", "height": "rectangle", "x": "keypoint"}
    return next((kind for key, kind in keys.items() if key in value), "labels")


def _drawn(shape: str, label: str, value: Mapping[str, Any], result: Mapping[str, Any]) -> Region:
    if shape == "keypoint":
        return Region(label, partial(fill_box, (0, 0, 0, 0)), "point")
    if shape == "brush":
        if value.get("format", "rle") != "rle" or not isinstance(value.get("rle"), list):
            raise ValueError("has no list rle")
        return Region(label, partial(decode_brush, value["rle"]))
    size = size_of(result.get("original_width"), result.get("original_height"))
    if size is None:
        raise ValueError("has no original_width and original_height")
    x_scale, y_scale = size[0] / 100, size[1] / 100
    if shape == "polygon":
        points = [(x * x_scale, y * y_scale) for x, y in points_of(value.get("points"), 3)]
        return Region(label, partial(fill_polygon, points))
    x, y = number_of(value.get("x")) * x_scale, number_of(value.get("y")) * y_scale
    degrees = number_of(value.get("rotation") or 0)
    if shape == "ellipse":
        radii = number_of(value.get("radiusX")) * x_scale, number_of(value.get("radiusY")) * y_scale
        if min(radii) <= 0:
            raise ValueError("has a radius of 0")
        return Region(label, partial(fill_ellipse, (x, y), radii, degrees))
    box = (x, y, x + number_of(value.get("width")) * x_scale, y + number_of(value.get("height")) * y_scale)
    if degrees:
        return Region(label, partial(fill_polygon, rotated_box(box, degrees, (x, y))), "box")
    return Region(label, partial(fill_box, box), "box")
