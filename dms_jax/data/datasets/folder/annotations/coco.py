"""COCO's JSON files: polygons, run lengths (RLE) and boxes.

Read as cocodataset.org/#format-data describes them, and drawn by its own library, pycocotools. `categories`, `images`
and `annotations` refer to each other by `id`, a number or a text. Roboflow's, CVAT's and Label Studio's exports are the
same.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dms_jax.data.datasets.folder.annotations.drawing import fill_box
from dms_jax.data.datasets.folder.annotations.entries import Entry, Findings, Region, as_listing
from dms_jax.data.datasets.folder.annotations.files import Files
from dms_jax.data.datasets.folder.annotations.values import label_of, number_of, points_of, size_of
from dms_jax.data.datasets.folder.listing import Listing
from dms_jax.data.datasets.folder.roles import SPLIT_NAMES
from dms_jax.data.library_warnings import library_warnings_ignored
from dms_jax.errors import UserError


def is_coco(content: Any) -> bool:
    """Whether a JSON file's contents look like COCO's."""
    return (
        isinstance(content, dict)
        and isinstance(content.get("images"), list)
        and ("annotations" in content or "categories" in content)
    )


def list_coco(contents: Mapping[Path, Mapping[str, Any]], files: Files) -> Listing:
    """Lists the images of COCO's JSON files.

    A file whose name, or whose folder's name, says train, val, valid, validation or test gives its images that split
    (`instances_train2017.json`, `train/_annotations.coco.json`). An image that no annotation is about is free of
    defects. An annotation without a segmentation is its `bbox`, filled.

    Args:
      contents: what is in each JSON file.
      files: what lies in the user's folder.

    Returns:
      What the files hold; images are not opened.

    Raises:
      UserError: a file lacks a list, or pycocotools is not installed.
    """
    _pycocotools()
    found = Findings()
    for path, content in contents.items():
        _read(path, content, files, found)
    return as_listing("COCO", tuple(contents), files, found)


def split_of(path: Path, root: Path) -> str | None:
    """The split that a file's name says, else that of its folder in `root`; None where neither says one."""
    # How the user calls the folder of all says nothing of what is in it.
    for name in (path.stem, *([path.parent.name] if path.parent != root else [])):
        splits = {SPLIT_NAMES[word] for word in re.split("[^a-z]+", name.lower()) if word in SPLIT_NAMES}
        if len(splits) == 1:
            return splits.pop()
    return None


def _read(path: Path, content: Mapping[str, Any], files: Files, found: Findings) -> None:
    info = content.get("info")
    if isinstance(info, dict) and info.get("contributor") == "Label Studio Converter":
        found.notes.append(
            f"{path} holds the outlines of Label Studio's brush strokes, which lack strokes a pixel wide, holes "
            "and the edges: export JSON instead, which has the strokes themselves."
        )
    for key in ("images", "annotations", "categories"):
        items = content.get(key)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise UserError(f"{path} has no list of {key}, as COCO's files have: export it again.")
    split = split_of(path, files.root)
    images, categories = content["images"], {str(item.get("id")): item.get("name") for item in content["categories"]}
    counts = Counter(str(image.get("id")) for image in images)
    regions: dict[str, list[Region]] = defaultdict(list)
    spoilt = {key for key, count in counts.items() if count > 1}
    found.problems += [
        f"{path} has {counts[key]} images with the id {key}: give each its own." for key in sorted(spoilt)
    ]
    sizes = {}
    for image in images:
        key = str(image.get("id"))
        try:
            sizes[key] = size_of(image.get("width"), image.get("height"))
        except ValueError as error:
            spoilt.add(key)
            found.problems.append(f"{path}, image {key}, {error}: correct it.")
    for annotation in content["annotations"]:
        key = str(annotation.get("image_id"))
        try:
            if key not in counts:
                raise ValueError(f"is about the image {key}, which the file does not list")
            regions[key].append(_region(annotation, categories, sizes.get(key)))
        except ValueError as error:
            # Without one of its regions, a mask would be wrong.
            spoilt.add(key)
            found.problems.append(f"{path}, annotation {annotation.get('id')}, {error}: correct or remove it.")
    for image in images:
        key = str(image.get("id"))
        try:
            found_at = files.find(str(image.get("file_name") or ""), path, partial(_in_split, files=files, split=split))
        except LookupError as error:
            found.problems.append(f"{path} lists {error.args[0]}.")
            continue
        if key not in spoilt:
            found.entries.append(Entry(found_at, path, tuple(regions[key]), sizes[key], split=split))


def _in_split(image: Path, files: Files, split: str | None) -> bool:
    words = re.split("[^a-z]+", files.name(image).lower())
    return split is not None and any(SPLIT_NAMES.get(word) == split for word in words)


def _region(annotation: Mapping[str, Any], categories: Mapping[str, Any], size: tuple[int, int] | None) -> Region:
    category = str(annotation.get("category_id"))
    if category not in categories:
        raise ValueError(f"is of the category {category}, which the file does not list")
    label = label_of(categories[category])
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict):
        return Region(label, partial(_draw_runs, _runs(segmentation, size)))
    if not segmentation:
        box = annotation.get("bbox")
        if not isinstance(box, list) or len(box) != 4:
            raise ValueError("has neither a segmentation nor a bbox")
        left, top, width, height = map(number_of, box)
        return Region(label, partial(fill_box, (left, top, left + width, top + height)), "box")
    if not isinstance(segmentation, list):
        raise ValueError("has a segmentation that is neither polygons nor run lengths")
    polygons = segmentation if isinstance(segmentation[0], list) else [segmentation]
    return Region(label, partial(draw_polygons, [_polygon(polygon) for polygon in polygons]))


def _polygon(numbers: Any) -> list[float]:
    if not isinstance(numbers, list) or len(numbers) % 2:
        raise ValueError("has a polygon that is no list of x and y in turn")
    # pycocotools would take four numbers for a box.
    return [value for point in points_of(zip(numbers[::2], numbers[1::2], strict=True), 3) for value in point]


def _runs(segmentation: Mapping[str, Any], size: tuple[int, int] | None) -> dict[str, Any]:
    given, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(given, list) or len(given) != 2:
        raise ValueError("has run lengths without a size")
    height, width = size_of(*given) or (0, 0)
    if size is not None and (width, height) != size:
        raise ValueError(f"has run lengths of {width} x {height} pixels for an image of {size[0]} x {size[1]}")
    if isinstance(counts, list):
        _check_counts(counts, height, width)
    elif not isinstance(counts, str):
        raise ValueError("has run lengths that are neither numbers nor a text")
    return {"size": [height, width], "counts": counts}


def draw_polygons(polygons: Sequence[Sequence[float]], height: int, width: int) -> np.ndarray:
    """What several polygons hold together.

    Args:
      polygons: x and y in turn of each, three points or more.
      height: of the image.
      width: of the image.

    Returns:
      bool [H, W].
    """
    mask = _pycocotools()
    return _decode(mask.merge(mask.frPyObjects(polygons, height, width)))


def _draw_runs(runs: Mapping[str, Any], height: int, width: int) -> np.ndarray:
    if runs["size"] != [height, width]:
        raise ValueError(f"has run lengths of {runs['size'][1]} x {runs['size'][0]} pixels, not {width} x {height}")
    counts = runs["counts"]
    if isinstance(counts, str):
        # Unpacked here: where the text is too short, pycocotools 2.0.11 returns what was in memory.
        counts = _unpack(counts)
        _check_counts(counts, height, width)
    return _decode(_pycocotools().frPyObjects({"size": [height, width], "counts": counts}, height, width))


def _check_counts(counts: Sequence[Any], height: int, width: int) -> None:
    valid = all(isinstance(count, int) and count >= 0 for count in counts)
    if not valid or sum(counts) != height * width:
        raise ValueError(f"has run lengths that do not add up to {width} x {height} pixels")


def _unpack(text: str) -> list[int]:
    """The run lengths in a text, as `rleFrString` of pycocotools' `maskApi.c` reads them.

    A number is written from its lowest to its highest five bits, each as a character from "0" (48) on, to which 32 is
    added where more follow; the highest bit is its sign. From the fourth on, it is the difference to the length two
    before.

    Raises:
      ValueError: the text ends within a number, or has other characters.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError("has run lengths that cannot be decoded")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value = shift = 0
    if shift:
        raise ValueError("has run lengths that end too early")
    return counts


def _decode(packed: Mapping[str, Any]) -> np.ndarray:
    with library_warnings_ignored():
        return _pycocotools().decode(packed).astype(bool)


def _pycocotools() -> Any:
    # Imported here: few datasets need it.
    try:
        from pycocotools import mask
    except ImportError as error:
        raise UserError("COCO's annotations need pycocotools: pip install pycocotools.") from error
    return mask
