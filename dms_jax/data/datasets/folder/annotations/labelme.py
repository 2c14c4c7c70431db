"""labelme's JSON files, one beside each image.

Read as labelme 4.6, 5.4, 6.3 and 7.9 write them (github.com/wkentaro/labelme, `labelme/_label_file.py` and
`labelme/utils/shape.py`): `imagePath` relative to the JSON, `imageWidth` and `imageHeight` of the image turned upright,
and `shapes` of a `label`, `points` and a `shape_type`; one of type `mask` (from 5.3 on) has a PNG of its bounding box.
"""

import base64
import binascii
import io
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dms_jax.data.class_names import FREE_NAMES, is_free_name
from dms_jax.data.datasets.folder.annotations.drawing import draw_line, fill_box, fill_ellipse, fill_polygon, place
from dms_jax.data.datasets.folder.annotations.entries import Entry, Findings, Region, as_listing
from dms_jax.data.datasets.folder.annotations.files import Files
from dms_jax.data.datasets.folder.annotations.values import label_of, points_of, size_of
from dms_jax.data.datasets.folder.listing import Listing
from dms_jax.data.datasets.folder.roles import SPLIT_NAMES
from dms_jax.data.image_files import DAMAGE

# The shapes, and how many points each has at least.
_SHAPES = {
    "polygon": 3,
    "rectangle": 2,
    "oriented_rectangle": 3,
    "circle": 2,
    "line": 2,
    "linestrip": 2,
    "point": 1,
    "points": 1,
    "mask": 2,
}


def is_labelme(content: Any) -> bool:
    """Whether a JSON file's contents look like labelme's."""
    return isinstance(content, dict) and "shapes" in content and "imagePath" in content


def list_labelme(contents: Mapping[Path, Mapping[str, Any]], files: Files) -> Listing:
    """Lists the images of labelme's JSON files.

    labelme does not save a file without shapes, so that an image without a JSON may be one without a defect or one that
    nobody has looked at yet: it is left out, with a note, unless it lies in a folder of the name of a defect-free
    class. Split folders (`train`, `validation` or `val`, `test`) are those directly in the folder.

    Args:
      contents: what is in each JSON file.
      files: what lies in the user's folder.

    Returns:
      What the files hold; images are not opened.
    """
    found = Findings()
    for path, content in contents.items():
        try:
            found.entries.append(_entry(path, content, files))
        except LookupError as error:
            found.problems.append(f"{path} is about {error.args[0]}.")
        except ValueError as error:
            found.problems.append(f"{path} {error}: correct it in labelme, or remove the file.")
    annotated = {entry.image for entry in found.entries}
    beside = {path.with_suffix("") for path in contents}
    for image in files.images:
        if image in annotated or image.with_suffix("") in beside:
            continue
        folders = Path(files.name(image)).parts[:-1]
        free = next((folder for folder in folders if is_free_name(folder)), None)
        if free is not None:
            found.entries.append(Entry(image, image, (), tag=free, split=_split(image, files)))
    found.advice = (
        ", as they may be without a defect or not yet annotated: put those without a defect into a folder named "
        + " or ".join(FREE_NAMES)
    )
    return as_listing("labelme", tuple(contents), files, found)


def _entry(path: Path, content: Mapping[str, Any], files: Files) -> Entry:
    name, shapes, flags = content["imagePath"], content["shapes"], content.get("flags") or {}
    if not isinstance(name, str):
        raise ValueError(f"has the imagePath {name!r}")
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        raise ValueError("has no list of shapes")
    image = files.find(name, path)
    regions = tuple(_region(shape, number) for number, shape in enumerate(shapes, start=1))
    tags = [label_of(flag) for flag, is_set in flags.items() if is_set is True] if isinstance(flags, dict) else []
    if len(tags) > 1 and not regions:
        raise ValueError(f"has no shape and the flags {' and '.join(tags)}, of which one can be its class")
    size = size_of(content.get("imageWidth"), content.get("imageHeight"))
    return Entry(image, path, regions, size, tags[0] if tags else None, _split(image, files))


def _split(image: Path, files: Files) -> str | None:
    return SPLIT_NAMES.get(files.name(image).split("/")[0].lower())


def _region(shape: Mapping[str, Any], number: int) -> Region:
    kind = str(shape.get("shape_type") or "polygon")
    if kind not in _SHAPES:
        raise ValueError(f"has a shape (number {number}) of the unknown type {kind!r} ({', '.join(_SHAPES)} are known)")
    try:
        label, points = label_of(shape.get("label")), points_of(shape.get("points"), _SHAPES[kind])
        if kind == "mask":
            return Region(label, _mask(shape, points[0]))
        if kind == "rectangle" and len(points) == 2:
            (x0, y0), (x1, y1) = points
            return Region(label, partial(fill_box, (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))), "box")
        if kind == "circle":
            radius = math.dist(*points[:2])
            if radius == 0:
                raise ValueError("has the radius 0")
            return Region(label, partial(fill_ellipse, points[0], (radius, radius), 0.0))
        if kind in ("line", "linestrip"):
            return Region(label, partial(draw_line, points), "line")
        if kind in ("point", "points"):
            return Region(label, partial(fill_box, (0, 0, 0, 0)), "point")
        return Region(label, partial(fill_polygon, points), "area" if kind == "polygon" else "box")
    except ValueError as error:
        raise ValueError(f"has a shape (number {number}, {kind}) that {error}") from error


def _mask(shape: Mapping[str, Any], corner: tuple[float, float]) -> partial[np.ndarray]:
    data = shape.get("mask")
    if not isinstance(data, str):
        raise ValueError("has no mask")
    return partial(_draw_mask, data, int(corner[0]), int(corner[1]))


def _draw_mask(data: str, left: int, top: int, height: int, width: int) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as image:
            part = np.asarray(image.convert("L")) > 0
    except (*DAMAGE, binascii.Error) as error:
        raise ValueError("has a mask that is no PNG") from error
    return place(part, left, top, height, width)
