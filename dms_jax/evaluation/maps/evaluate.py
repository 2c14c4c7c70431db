"""A folder of saliency maps, from any method, against a folder of masks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dms_jax.data.class_names import FREE_NAMES
from dms_jax.data.mask_values import MaskValues
from dms_jax.errors import UserError
from dms_jax.evaluation.maps.files import (
    MapPair,
    in_free_folders,
    match_maps,
    read_map,
    read_truth,
    refuse,
    shortened,
)
from dms_jax.evaluation.maps.labels import Labels
from dms_jax.evaluation.measures.saliency import resize_map
from dms_jax.evaluation.scoring import ScoredImage, blacken_ignored, score_image
from dms_jax.evaluation.summary_metrics import Metrics, compute_metrics
from dms_jax.evaluation.thresholds import OperatingThreshold, no_threshold
from dms_jax.evaluation.totals import Evaluation, collect

# Images read at a time: what has been read and not yet scored must not grow with their number.
_CHUNK = 64


@dataclass(frozen=True, eq=False)
class MapResults:
    """The evaluation of a folder of maps.

    Attributes:
      metrics: see `dms_jax.evaluation.summary_metrics.compute_metrics`.
      evaluation: what they were computed from.
      class_names: names of the classes that the evaluation's rows have numbers of; empty without labels.
      free_class: number of the defect-free class, or None.
      notes: sentences on what was matched although names differ, converted, resized, left out or odd.
    """

    metrics: Metrics
    evaluation: Evaluation
    class_names: tuple[str, ...]
    free_class: int | None
    notes: tuple[str, ...]


def evaluate_maps(
    maps: str | os.PathLike[str],
    masks: str | os.PathLike[str],
    *,
    labels: Labels | None = None,
    threshold: OperatingThreshold | None = None,
    resize: bool = False,
    with_sod: bool = True,
    mask_values: MaskValues | None = None,
) -> MapResults:
    """Score a folder of maps against a folder of masks.

    Args:
      maps: 8-bit grey images, 0 for sound and 255 for defective.
      masks: images of the same names, 0 for sound and 255 for defective; greys between count as they are in the
        MAE, and are thresholded at > 127 otherwise. Images of the defect-free class, by `labels` or else by the name
        of a map's folder, need none.
      labels: the classes of the images, and possibly those that a method predicted.
      threshold: the operating threshold; without it, the metrics that need one are None.
      resize: bring maps of another size to that of their mask, by Pillow's bilinear filter.
      with_sod: measure S, E and weighted F too.
      mask_values: which values of the masks' files are defective; what they ignore is black in map and mask. None to go
        by what the masks look like.

    Raises:
      UserError: maps and masks do not match, or one of them cannot be scored as it stands; one sentence each.
    """
    matching = match_maps(Path(maps), Path(masks), in_free_folders if labels is None else labels.free_of)
    threshold = threshold or no_threshold("none was given, nor images to choose one on")
    names = [pair.name for pair in matching.pairs]
    classes = labels.match(names) if labels is not None else {}
    notes: dict[str, list[str]] = {"map": [], "mask": [], "size": []}
    problems: list[str] = []

    def score(pair: MapPair) -> ScoredImage | str:
        try:
            saliency_map, map_note = read_map(pair.map_path)
            mask, mask_note = (
                (np.zeros_like(saliency_map), None)
                if pair.mask_path is None
                else read_truth(pair.mask_path, mask_values)
            )
        except UserError as error:
            return str(error)
        for kind, note in (("map", map_note), ("mask", mask_note)):
            notes[kind] += [note] if note else []
        if saliency_map.shape != mask.shape:
            sizes = f"{_size(saliency_map)} pixels but its mask {pair.mask_path} has {_size(mask)}"
            if not resize:
                return f"{pair.map_path} has {sizes}: resize the map, or allow it with --resize."
            notes["size"].append(f"{pair.map_path} has {sizes}, and was resized.")
            saliency_map = resize_map(saliency_map, mask.shape)
        if mask_values is not None and mask_values.ignored is not None:
            (saliency_map,), mask = blacken_ignored([saliency_map], mask)
        label, predicted = classes.get(pair.name, (None, None))
        return score_image(
            [saliency_map],
            mask,
            name=pair.name,
            label=label,
            predicted=() if predicted is None else (predicted,),
            threshold=threshold.final,
            with_sod=with_sod,
        )

    evaluation = collect(_without_problems(_in_threads(score, matching.pairs), problems))
    refuse(problems)
    class_names, free_class = (labels.class_names, labels.free_class) if labels is not None else ((), None)
    metrics = compute_metrics(evaluation, threshold, class_names=class_names, free_class=free_class)
    said = [sentence for kind in notes.values() for sentence in shortened(sorted(kind))]
    if max(row.maximum for row in evaluation.rows) == 1:
        said.append(f"No map in {maps} has a pixel above 1, which is all but black: 255 is certain, not 1.")
    if len(class_names) > 1 and free_class is None and any(row.defective is False for row in evaluation.rows):
        said.append(
            f"No label in {labels.path} is {', '.join(FREE_NAMES[:4])}, so that every label counts as a defect: name "
            "the one of sound images with --free-class."
        )
    return MapResults(metrics, evaluation, class_names, free_class, (*matching.notes, *said))


def _in_threads(
    score: Callable[[MapPair], ScoredImage | str], pairs: tuple[MapPair, ...]
) -> Iterator[ScoredImage | str]:
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(pairs), _CHUNK):
            yield from pool.map(score, pairs[start : start + _CHUNK])


def _without_problems(results: Iterator[ScoredImage | str], problems: list[str]) -> Iterator[ScoredImage]:
    """The scored images; the sentences among the results go to `problems`."""
    for result in results:
        if isinstance(result, str):
            problems.append(result)
        else:
            yield result


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"
