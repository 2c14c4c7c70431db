"""Rows of a comparison: maps that a method makes or that lie in a folder, scored on a dataset's images."""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dms_jax.comparison.method import Method
from dms_jax.data.examples import ExampleSource
from dms_jax.data.prepared import PreparedDataset
from dms_jax.errors import UserError, first_words
from dms_jax.evaluation.maps.files import list_images, match_names, other_layout, read_map, refuse, without_suffix
from dms_jax.evaluation.measures.saliency import resize_map
from dms_jax.evaluation.scoring import ScoredImage, blacken_ignored, score_image
from dms_jax.evaluation.summary_metrics import Metrics, compute_metrics
from dms_jax.evaluation.thresholds import no_threshold
from dms_jax.evaluation.totals import collect
from dms_jax.tables import read_csv
from dms_jax.whole_files import write_whole


@dataclass(frozen=True)
class Row:
    """A line of the comparison.

    Attributes:
      name: of the method.
      metrics: see `dms_jax.evaluation.summary_metrics.compute_metrics`.
      note: how the maps were made; empty where there is nothing to say.
      mtdd_note: see `dms_jax.comparison.method.Method`.
      seconds: that making, writing and scoring the maps took; None where they were there.
    """

    name: str
    metrics: Metrics
    note: str = ""
    mtdd_note: str = ""
    seconds: float | None = None


def make_row(method: Method, dataset: PreparedDataset, source: ExampleSource, folder: Path) -> Row:
    """Make a method's maps of the images that are measured (see `measured`), write them and score them.

    Args:
      method: the method.
      dataset: whose classes the images have.
      source: the images.
      folder: for the maps, see `map_names`; made where it is missing.

    Raises:
      UserError: the method cannot be run.
      OSError: a map cannot be written.
    """
    start = time.perf_counter()
    names, numbers = map_names(source), measured(source)
    images = (source[index]["image"] for index in numbers)

    def written() -> Iterator[NDArray[np.uint8]]:
        for index, saliency_map in zip(numbers, method.make_maps(images), strict=True):
            write_map(saliency_map, folder / f"{names[index]}.png")
            yield saliency_map

    metrics = _metrics(written(), dataset, source.subset(numbers))
    return Row(method.name, metrics, method.note, method.mtdd_note, time.perf_counter() - start)


def score_folder(
    name: str,
    folder: Path,
    dataset: PreparedDataset,
    source: ExampleSource,
    *,
    names: Mapping[str, str] | None = None,
) -> Row:
    """Score the maps in a folder.

    A map has the name of its image, with the image's folders or, where that names one image alone, without. Maps of
    another size than their image are resized, which the row's note says.

    Args:
      name: of the row.
      folder: 8-bit grey maps, of every image that is measured.
      dataset: whose classes the images have.
      source: the images.
      names: from the maps' names to the images', where they differ; neither with suffixes.

    Raises:
      UserError: such an image has no map, or a map cannot be read as one; one sentence each. One for all where no image
        has.
    """
    found: dict[str, str] = {}
    doubled: list[str] = []
    for key, path in list_images(folder, []).items():
        image = (names or {}).get(key, key)
        if image in found:
            doubled.append(f"{found[image]} and {path} are both maps of {image}: leave one of them out.")
        found[image] = path
    refuse(doubled)
    images = map_names(source)
    stems = Counter(image.rpartition("/")[2] for image in images)
    partner = match_names(images, found)
    for image in images:
        stem = image.rpartition("/")[2]
        if image not in partner and stem in found and stems[stem] == 1:
            partner[image] = stem
    if not partner:
        file = "another --map-names" if names else "--map-names"
        fix = f"give the maps the folders and names of the images, or say by {file} which is of which"
        raise other_layout(folder, found, images[0], of=f"image {images[0]}", fix=fix)
    numbers = measured(source)
    source = source.subset(numbers)
    images = [images[index] for index in numbers]
    refuse([f"{image} has no map in {folder}: add {image}.png there." for image in images if image not in partner])
    resized = 0

    def read() -> Iterator[NDArray[np.uint8]]:
        nonlocal resized
        for image, size in zip(images, source.sizes(), strict=True):
            saliency_map, _ = read_map(found[partner[image]])
            resized += saliency_map.shape != size
            yield resize_map(saliency_map, size)

    metrics = _metrics(read(), dataset, source)
    note = f"{resized} of {len(images)} maps were resized to their image's size, bilinearly" if resized else ""
    return Row(name, metrics, note)


def read_names(path: Path) -> dict[str, str]:
    """Read which map is of which image: a CSV file with the columns `map` and `image`, with or without suffixes.

    Columns are separated by commas, semicolons or tabs. Where there are two, that of the images may have any name.
    Lines without a map are ignored.

    Raises:
      UserError: the file cannot be read, lacks a column, or names a map twice.
    """
    try:
        columns, rows = read_csv(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as CSV ({first_words(error)}): name a CSV file.") from error
    others = [column for column in columns if column != "map"]
    image = others[0] if len(columns) == 2 and len(others) == 1 else "image"
    for column in ("map", image):
        if column not in columns:
            raise UserError(f"{path} has no column {column}: its columns must be map and image.")
    lines = [((row["map"] or "").strip(), (row[image] or "").strip()) for row in rows]
    names: dict[str, str] = {}
    for saliency_map, image in lines:
        if not saliency_map:
            continue
        key = without_suffix(saliency_map)
        if key in names:
            raise UserError(f"{path} names the map {saliency_map} twice: name it once.")
        names[key] = without_suffix(image)
    return names


def measured(source: ExampleSource) -> NDArray[np.intp]:
    """The numbers of the images that a comparison is of: those with a mask; all where none has one."""
    known = np.asarray(source.has_masks(), bool)
    return np.flatnonzero(known) if known.any() else np.arange(len(source))


def map_names(source: ExampleSource) -> list[str]:
    """The names of the images' maps, without `.png`: the images' own without suffix, unless two would be one."""
    names = source.names()
    shortened = [without_suffix(name) for name in names]
    return shortened if len(set(shortened)) == len(names) else names


def write_map(saliency_map: NDArray[np.uint8], path: Path) -> None:
    """Write a map or a mask, uint8 [H, W], as PNG; folders that are missing are made.

    Raises:
      OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: Image.fromarray(saliency_map).save(file, "PNG", compress_level=1))


def _metrics(maps: Iterable[NDArray[np.uint8]], dataset: PreparedDataset, source: ExampleSource) -> Metrics:
    known, labels, names = source.has_masks(), source.labels(), source.names()

    def score(index: int, saliency_map: NDArray[np.uint8]) -> ScoredImage:
        mask = source.mask(index)[..., 0]
        if source.ignores:
            (saliency_map,), mask = blacken_ignored([saliency_map], mask)
        return score_image(
            [saliency_map],
            mask if known[index] else None,
            name=names[index],
            label=int(labels[index]) if labels[index] >= 0 else None,
            with_sod=False,
        )

    scored = (score(index, saliency_map) for index, saliency_map in enumerate(maps))
    threshold = no_threshold("maps are compared at every threshold")
    return compute_metrics(collect(scored), threshold, class_names=dataset.class_names, free_class=dataset.free_class)
