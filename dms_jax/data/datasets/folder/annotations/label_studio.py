"""Label Studio's exports JSON and JSON-MIN, and brush labels as PNG files.

Read as labelstud.io/guide/export and its pages of tags describe them, and as Label Studio 1.23 and label-studio-sdk
2.1.2 write them.
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

from dms_jax.data.datasets.folder.annotations.entries import Entry, Findings, Region, as_listing
from dms_jax.data.datasets.folder.annotations.files import Files
from dms_jax.data.datasets.folder.annotations.label_studio_regions import region_of, value_of
from dms_jax.data.datasets.folder.annotations.values import label_of, size_of
from dms_jax.data.datasets.folder.listing import Listing
from dms_jax.data.image_files import IMAGE_SUFFIXES
from dms_jax.data.mask_files import read_mask
from dms_jax.errors import UserError

# With LABELS of several hyphens, the tag is the part before the first.
_PNG_NAME = re.compile(r"task-(\d+)-annotation-(\d+)-by-[^-]*-([^-]*)-(.+)-\d+\.png", re.IGNORECASE)
# Label Studio's copy of a file is named after eight digits of a hash and the file.
_UPLOADED = re.compile(r"^[0-9a-f]{8}-(.+)")


def is_label_studio(content: Any) -> bool:
    """Whether a JSON file's contents look like Label Studio's: a list of tasks."""
    return isinstance(content, list) and any(_is_task(task) for task in content)


def _is_task(task: Any) -> bool:
    if not isinstance(task, dict):
        return False
    return ("data" in task and ("id" in task or "annotations" in task)) or ("id" in task and "annotation_id" in task)


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
        for number, task in enumerate(tasks, start=1):
            if not _is_task(task):
                found.problems.append(f"{path} has something else than a task as number {number}: export it again.")
                continue
            key = str(task.get("id"))
            task_pngs = pngs.pop(key, {})
            found.files += [png.path for of_annotation in task_pngs.values() for png in of_annotation]
            try:
                annotations = _annotations(task)
                if not annotations and not task_pngs:
                    unsubmitted += 1
                    found.unannotated.append(_find(task, path, files))
                    continue
                reviewed += max(len(annotations), len(task_pngs)) > 1
                found.entries.append(_entry(path, task, annotations, task_pngs, files))
            except LookupError as error:
                found.problems.append(f"{path}, task {key}, is about {error.args[0]}.")
            except ValueError as error:
                found.problems.append(f"{path}, task {key}, {error}: correct it in Label Studio, or remove it.")
    if unsubmitted:
        found.notes.append(
            f"{unsubmitted} tasks without a submitted annotation are left out: submit an empty one where there is no "
            "defect."
        )
    if reviewed:
        found.notes.append(
            f"{reviewed} tasks have several annotations: the one marked as ground truth counts, else the last."
        )
    for key, of_task in sorted(pngs.items()):
        paths = [png.path for of_annotation in of_task.values() for png in of_annotation]
        found.files += paths
        found.problems.append(f"{paths[0]} is of task {key}, which no JSON lists: export the tasks as JSON again.")
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
    submitted, annotations = [], task.get("annotations", task.get("completions")) or []
    if not isinstance(annotations, list):
        raise ValueError("has annotations that are no list")
    for annotation in annotations:
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
    labelled = {str(result["id"]) for result in results if "id" in result and "labels" in value_of(result)}
    regions, sizes = [], set()
    for result in results:
        region = region_of(result, labelled)
        if region is not None:
            regions.append(region)
            sizes.add(size_of(result.get("original_width"), result.get("original_height")))
    if len(sizes) > 1:
        raise ValueError("has regions of several original sizes")
    if not regions and pngs:
        key = annotations[-1].key if annotations else max(pngs, key=int)
        if key not in pngs:
            raise ValueError(f"counts by its annotation {key}, which is empty, but has PNG files of {', '.join(pngs)}")
        regions = [Region(label_of(png.label), partial(_draw_png, png.path)) for png in pngs[key]]
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
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    local = parse_qs(parts.query).get("d")
    return local[0] if local else unquote(parts.path if parts.scheme or parts.query else address)


def _choices(result: Mapping[str, Any]) -> Iterable[str]:
    choices = value_of(result).get("choices") if result.get("type") == "choices" else None
    return map(label_of, choices) if isinstance(choices, list) else ()


def _draw_png(path: Path, height: int, width: int) -> np.ndarray:
    try:
        mask = np.asarray(read_mask(path))
    except UserError as error:
        raise ValueError(f"is unreadable, as {error}".removesuffix(".")) from error
    if mask.shape != (height, width):
        raise ValueError(f"has {mask.shape[1]} x {mask.shape[0]} pixels in {path}, not {width} x {height}")
    return mask
