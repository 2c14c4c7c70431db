"""CVAT's XML files, of the export "CVAT for images 1.1".

Read as docs.cvat.ai describes them ("XML annotation format", version 1.1) and as CVAT 2 writes them
(github.com/cvat-ai/cvat, `cvat/apps/dataset_manager/formats/cvat.py`).
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from dms_jax.data.datasets.folder.annotations.drawing import (
    draw_line,
    fill_box,
    fill_ellipse,
    fill_polygon,
    place,
    rotated_box,
)
from dms_jax.data.datasets.folder.annotations.entries import Entry, Findings, Region, as_listing
from dms_jax.data.datasets.folder.annotations.files import Files
from dms_jax.data.datasets.folder.annotations.values import a, label_of, number_of, points_of, size_of
from dms_jax.data.datasets.folder.listing import Listing
from dms_jax.data.datasets.folder.roles import SPLIT_NAMES
from dms_jax.errors import UserError

_SHAPES = ("polygon", "box", "ellipse", "mask", "polyline", "points")


def is_cvat(root: ElementTree.Element) -> bool:
    """Whether an XML file's root is that of CVAT's."""
    return is_cvat_video(root) or (root.tag == "annotations" and root.find("image") is not None)


def is_cvat_video(root: ElementTree.Element) -> bool:
    """Whether an XML file is CVAT's of the export for videos."""
    return root.tag == "annotations" and root.find("track") is not None


def list_cvat(roots: Mapping[Path, ElementTree.Element], files: Files) -> Listing:
    """Lists the images of CVAT's XML files.

    An image with neither a shape nor a tag is free of defects; a tag alone gives the class. The subsets Train,
    Validation and Test of a project are splits.

    Args:
      roots: what is in each XML file.
      files: what lies in the user's folder.

    Returns:
      What the files hold; images are not opened.

    Raises:
      UserError: a file is of the export for videos.
    """
    found = Findings()
    for path, root in roots.items():
        if is_cvat_video(root):
            raise UserError(f"{path} has tracks, as CVAT exports them for videos: export it as CVAT for images 1.1.")
        for image in root.iter("image"):
            try:
                found.entries.append(_entry(path, image, files))
            except LookupError as error:
                found.problems.append(f"{path} lists {error.args[0]}.")
            except ValueError as error:
                found.problems.append(f"{path}, image {image.get('name')}, {error}: correct it in CVAT, or remove it.")
    return as_listing("CVAT", tuple(roots), files, found)


def _entry(path: Path, image: ElementTree.Element, files: Files) -> Entry:
    subset = image.get("subset") or ""
    found_at = files.find(image.get("name") or "", path, lambda candidate: subset in candidate.parts)
    regions = tuple(_region(shape) for shape in image if shape.tag != "tag")
    tags = [label_of(tag.get("label")) for tag in image.iter("tag")]
    if len(set(tags)) > 1 and not regions:
        raise ValueError(f"has no shape and the tags {' and '.join(tags)}, of which one can be its class")
    size = size_of(image.get("width"), image.get("height"))
    return Entry(found_at, path, regions, size, tags[0] if tags else None, SPLIT_NAMES.get(subset.lower()))


def _region(shape: ElementTree.Element) -> Region:
    kind = shape.tag
    if kind not in _SHAPES:
        raise ValueError(f"has a shape of the unknown type {kind} ({', '.join(_SHAPES)} are known)")
    try:
        label = label_of(shape.get("label"))
        if kind == "box":
            left, top, right, bottom = box = tuple(number_of(shape.get(key)) for key in ("xtl", "ytl", "xbr", "ybr"))
            degrees = number_of(shape.get("rotation", 0))
            if degrees:
                corners = rotated_box(box, degrees, ((left + right) / 2, (top + bottom) / 2))
                return Region(label, partial(fill_polygon, corners), "box")
            return Region(label, partial(fill_box, box), "box")
        if kind == "ellipse":
            x, y, *radii = (number_of(shape.get(key)) for key in ("cx", "cy", "rx", "ry"))
            if min(radii) <= 0:
                raise ValueError("has a radius of 0")
            return Region(label, partial(fill_ellipse, (x, y), tuple(radii), number_of(shape.get("rotation", 0))))
        if kind == "mask":
            return Region(label, _mask(shape))
        pairs = [pair.split(",") for pair in (shape.get("points") or "").split(";")]
        points = points_of(pairs, {"polygon": 3, "polyline": 2, "points": 1}[kind])
        if kind == "polygon":
            return Region(label, partial(fill_polygon, points))
        if kind == "polyline":
            return Region(label, partial(draw_line, points), "line")
        return Region(label, partial(fill_box, (0, 0, 0, 0)), "point")
    except ValueError as error:
        raise ValueError(f"has {a(kind)} that {error}") from error


def _mask(shape: ElementTree.Element) -> partial[np.ndarray]:
    left, top, width, height = (int(number_of(shape.get(key))) for key in ("left", "top", "width", "height"))
    size_of(width, height)
    try:
        runs = tuple(int(run) for run in (shape.get("rle") or "").split(","))
    except ValueError as error:
        raise ValueError("has run lengths that are not numbers") from error
    if min(runs) < 0 or sum(runs) != width * height:
        raise ValueError(f"has run lengths that do not add up to {width} x {height} pixels")
    return partial(_draw_runs, runs, left, top, width, height)


def _draw_runs(
    runs: tuple[int, ...], left: int, top: int, part_width: int, part_height: int, height: int, width: int
) -> np.ndarray:
    # Sound and defective in turn, sound first. Row by row, unlike COCO's, which go column by column.
    inside = np.arange(len(runs)) % 2 == 1
    return place(np.repeat(inside, runs).reshape(part_height, part_width), left, top, height, width)
