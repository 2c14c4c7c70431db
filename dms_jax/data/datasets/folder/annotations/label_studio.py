"""Label Studio's exports JSON and JSON-MIN, and brush labels as PNG files.

Read as labelstud.io/guide/export and its pages of tags describe them, and as Label Studio 1.23 and label-studio-sdk
2.1.2 write them. Coordinates are per cent of the image. A rectangle is turned clockwise around the corner (x, y). The
(x, y) of an ellipse is its centre: the page of EllipseLabels says upper left corner, but the editor
(`EllipseRegion.jsx`) hands it to Konva's Ellipse, whose position is its centre.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from dms_jax.data.datasets.folder.annotations.brush_rle import decode_brush
from dms_jax.data.datasets.folder.annotations.drawing import fill_box, fill_ellipse, fill_polygon, rotated_box
from dms_jax.data.datasets.folder.annotations.entries import Entry, Findings, Region, as_listing
from dms_jax.data.datasets.folder.annotations.files import Files
from dms_jax.data.datasets.folder.annotations.values import a, label_of, number_of, points_of, size_of
from dms_jax.data.datasets.folder.listing import Listing
from dms_jax.data.image_files import IMAGE_SUFFIXES
from dms_jax.data.mask_files import read_mask
from dms_jax.errors import UserError

# With LABELS of several hyphens, the tag is the part before the first.
_PNG_NAME = re.compile(r"task-(\d+)-annotation-(\d+)-by-[^-]*-([^-]*)-(.+)-\d+\.png", re.IGNORECASE)
# Label Studio's copy of a file is named after eight digits of a hash and the file.
_UPLOADED = re.compile(r"^[0-9a-f]{8}-(.+)")
_SHAPES = ("brush", "polygon", "rectangle", "ellipse", "keypoint")
_NOT_SHAPES = ("choices", "labels", "number", "rating", "textarea", "relation", "taxonomy", "datetime", "pairwise")


def is_label_studio(content: Any) -> bool:
    """Whether a JSON file's contents look like Label Studio's: a list of tasks."""
    if not isinstance(content, list) or not content or not all(isinstance(task, dict) for task in content):
        return False
    return all("id" in task and ("data" in task or "annotation_id" in task) for task in content)


def is_png_export(path: Path) -> bool:
    """Whether a file is named like one of the export of brush labels."""
    return _PNG_NAME.fullmatch(path.name) is not None


def list_label_studio(contents: Mapping[Path, Sequence[Mapping[str, Any]]], files: Files) -> Listing:
    """Lists the images of Label Studio's tasks.

    Of several annotations of a task, the one marked as ground truth counts, else the last one. A task without one that
    was submitted is left out; one that was submitted empty is free of defects, and one with a choice alone has that for
    its class. The PNG files of a task are united where its JSON has no region.

    Args:
      contents: what is in each JSON file.
      files: what lies in the user's folder.

    Returns:
      What the files hold; images are not opened.
    """
    found = Findings()
    pngs = _png_files(files)
    unsubmitted, reviewed = 0, 0
    for path, tasks in contents.items():
        for task in tasks:
            task_pngs = pngs.get(str(task["id"]), {})
            try:
                annotations = _annotations(task)
                if not annotations and not task_pngs:
                    unsubmitted += 1
                    found.unannotated.append(_find(task, path, files))
                    continue
                reviewed += len(annotations) > 1
                found.entries.append(_entry(path, task, annotations, task_pngs, files))
            except LookupError as error:
                found.problems.append(f"{path}, task {task['id']}, is about {error.args[0]}.")
            except ValueError as error:
                found.problems.append(f"{path}, task {task['id']}, {error}: correct it in Label Studio, or remove it.")
    if unsubmitted:
        found.notes.append(
            f"{unsubmitted} tasks without a submitted annotation are left out: submit an empty one where there is no "
            "defect."
        )
    if reviewed:
        found.notes.append(
            f"{reviewed} tasks have several annotations: the one marked as ground truth counts, else the last."
        )
    tasks = {str(task["id"]) for contained in contents.values() for task in contained}
    for task in sorted(pngs.keys() - tasks):
        first = next(iter(pngs[task].values()))[0].path
        found.problems.append(f"{first} is of task {task}, which no JSON lists: export the tasks as JSON again.")
    found.files += [png.path for of_task in pngs.values() for several in of_task.values() for png in several]
    return as_listing("Label Studio", tuple(contents), files, found)


@dataclass(frozen=True)
class _Png:
    path: Path
    label: str


def _png_files(files: Files) -> dict[str, dict[str, list[_Png]]]:
    """The files of the PNG export by task and annotation."""
    found: dict[str, dict[str, list[_Png]]] = defaultdict(lambda: defaultdict(list))
    for path in files.images:
        match = _PNG_NAME.fullmatch(path.name)
        if match:
            found[match[1]][match[2]].append(_Png(path, match[4]))
    return found


@dataclass(frozen=True)
class _Annotation:
    """An annotation of a task.

    Attributes:
      key: its number.
      rank: orders the annotations of a task.
      results: as in the JSON export.
    """

    key: str
    rank: tuple[bool, str, int]
    results: Sequence[Mapping[str, Any]]


def _annotations(task: Mapping[str, Any]) -> list[_Annotation]:
    """The submitted annotations of a task, the one that counts last."""
    if "data" not in task:  # JSON-MIN: one annotation, whose results are lists by the names of their tags
        lists = [value for value in task.values() if isinstance(value, list)]
        results = [result for values in lists for result in values if isinstance(result, dict)]
        results = [{"value": result, **result} for result in results]
        results += [
            {"type": "choices", "value": {"choices": [value] if isinstance(value, str) else value["choices"]}}
            for name, value in task.items()
            if (name == "choice" and isinstance(value, str)) or (isinstance(value, dict) and "choices" in value)
        ]
        return [_Annotation(str(task["annotation_id"]), (False, "", 0), results)]
    submitted = []
    for annotation in task.get("annotations", task.get("completions")) or ():
        if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
            raise ValueError("has an annotation without a list result")
        if not all(isinstance(result, dict) for result in annotation["result"]):
            raise ValueError("has an annotation with a result that is no object")
        if not annotation.get("was_cancelled"):
            changed = str(annotation.get("updated_at") or annotation.get("created_at") or "")
            rank = (bool(annotation.get("ground_truth")), changed, len(submitted))
            submitted.append(_Annotation(str(annotation.get("id")), rank, annotation["result"]))
    return sorted(submitted, key=lambda annotation: annotation.rank)


def _entry(
    path: Path,
    task: Mapping[str, Any],
    annotations: Sequence[_Annotation],
    pngs: Mapping[str, Sequence[_Png]],
    files: Files,
) -> Entry:
    image = _find(task, path, files)
    results = annotations[-1].results if annotations else ()
    labelled = {result.get("id") for result in results if "labels" in _value(result)}
    regions, sizes = [], set()
    for result in results:
        region = _region(result, labelled)
        if region is not None:
            regions.append(region)
            sizes.add(size_of(result.get("original_width"), result.get("original_height")))
    if len(sizes) > 1:
        raise ValueError("has regions of several original sizes")
    if not regions and pngs:
        key = annotations[-1].key if annotations else max(pngs, key=int)
        regions = [Region(label_of(png.label), partial(_draw_png, png.path)) for png in pngs.get(key, ())]
    choices = [choice for result in results for choice in _choices(result)]
    if len(choices) > 1 and not regions:
        raise ValueError(f"has no region and the choices {' and '.join(choices)}, of which one can be its class")
    return Entry(image, path, tuple(regions), sizes.pop() if sizes else None, choices[0] if choices else None)


def _find(task: Mapping[str, Any], path: Path, files: Files) -> Path:
    data = task.get("data", task)
    if not isinstance(data, dict):
        raise ValueError("has no data")
    names = {key: _plain_name(value) for key, value in data.items() if isinstance(value, str)}
    names = {key: name for key, name in names.items() if Path(name).suffix.lower() in IMAGE_SUFFIXES}
    if len(names) > 1 and "image" in names:
        names = {"image": names["image"]}
    if len(names) != 1:
        raise ValueError(f"names {len(names)} images in its data, where one is needed")
    (name,) = names.values()
    uploaded = _UPLOADED.match(name.rpartition("/")[2])
    try:
        return files.find(name, path)
    except LookupError:
        if uploaded is None:
            raise
        return files.find(uploaded[1], path)


def _plain_name(address: str) -> str:
    """The path in an address: of a web server, a bucket, or Label Studio's own files."""
    parts = urlsplit(address)
    local = parse_qs(parts.query).get("d")
    return local[0] if local else unquote(parts.path if parts.scheme or parts.query else address)


def _value(result: Mapping[str, Any]) -> Mapping[str, Any]:
    value = result.get("value")
    return value if isinstance(value, dict) else {}


def _choices(result: Mapping[str, Any]) -> Iterable[str]:
    choices = _value(result).get("choices") if result.get("type") == "choices" else None
    return map(label_of, choices) if isinstance(choices, list) else ()


def _region(result: Mapping[str, Any], labelled: set[Any]) -> Region | None:
    """The region of a result; None where it is none, or one whose class another result of the same id names."""
    value = _value(result)
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
        if result.get("id") in labelled:
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


def _draw_png(path: Path, height: int, width: int) -> np.ndarray:
    try:
        mask = np.asarray(read_mask(path))
    except UserError as error:
        raise ValueError(f"is unreadable, as {error}".removesuffix(".")) from error
    if mask.shape != (height, width):
        raise ValueError(f"has {mask.shape[1]} x {mask.shape[0]} pixels in {path}, not {width} x {height}")
    return mask
