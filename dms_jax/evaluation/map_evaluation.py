"""A folder of saliency maps, from any method, against a folder of masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dms_jax.errors import UserError
from dms_jax.evaluation.figures import Figures, compute_figures
from dms_jax.evaluation.labels import Labels
from dms_jax.evaluation.map_files import MapPair, match_maps, read_map, read_truth, refuse, shortened
from dms_jax.evaluation.metrics import resize_map
from dms_jax.evaluation.scoring import Evaluation, ScoredPicture, collect, score_picture
from dms_jax.evaluation.thresholds import OperatingThreshold, no_threshold

# Pictures in hand at a time: what is read ahead of what was scored must not grow with their number.
_CHUNK = 64


@dataclass(frozen=True, eq=False)
class MapResults:
    """What a folder of maps comes to.

    Attributes:
      figures: see `dms_jax.evaluation.figures.compute_figures`.
      evaluation: what they were computed from.
      class_names: names of the classes that the evaluation's rows have numbers of; empty without labels.
      notes: sentences on what was matched although names differ, converted, resized, left out or odd.
    """

    figures: Figures
    evaluation: Evaluation
    class_names: tuple[str, ...]
    notes: tuple[str, ...]


def evaluate_maps(
    maps: Path,
    masks: Path,
    *,
    labels: Labels | None = None,
    threshold: OperatingThreshold | None = None,
    resize: bool = False,
    with_sod: bool = True,
) -> MapResults:
    """Score a folder of maps against a folder of masks.

    Args:
      maps: 8-bit grey pictures, 0 for sound and 255 for defective.
      masks: pictures of the same names, 0 for sound and 255 for defective; greys between count as filed in the MAE,
        and are cut at > 127 otherwise.
      labels: the classes of the pictures, and possibly what a method took them for.
      threshold: to work with; none leaves the figures that need one None.
      resize: bring maps of another size to that of their mask, by Pillow's bilinear filter.
      with_sod: measure S, E and weighted F too.

    Raises:
      UserError: maps and masks do not match, or one of them cannot be scored as it stands; a sentence each.
    """
    matching = match_maps(maps, masks)
    threshold = threshold or no_threshold("none was given, nor pictures to choose one on")
    names = [pair.name for pair in matching.pairs]
    classes = labels.match(names) if labels is not None else {}
    notes: dict[str, list[str]] = {"map": [], "mask": [], "size": []}
    problems: list[str] = []

    def score(pair: MapPair) -> ScoredPicture | str:
        try:
            saliency_map, map_note = read_map(pair.map_path)
            mask, mask_note = read_truth(pair.mask_path)
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
        label, predicted = classes.get(pair.name, (None, None))
        return score_picture(
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
    figures = compute_figures(evaluation, threshold, class_names=class_names, free_class=free_class)
    said = [sentence for kind in notes.values() for sentence in shortened(sorted(kind))]
    if max(row.maximum for row in evaluation.rows) == 1:
        said.append(f"No map in {maps} has a pixel above 1, which is all but black: 255 is certain, not 1.")
    return MapResults(figures, evaluation, class_names, (*matching.notes, *said))


def _in_threads(
    score: Callable[[MapPair], ScoredPicture | str], pairs: tuple[MapPair, ...]
) -> Iterator[ScoredPicture | str]:
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(pairs), _CHUNK):
            yield from pool.map(score, pairs[start : start + _CHUNK])


def _without_problems(results: Iterator[ScoredPicture | str], problems: list[str]) -> Iterator[ScoredPicture]:
    """The scored pictures; the sentences among the results go to `problems`."""
    for result in results:
        if isinstance(result, str):
            problems.append(result)
        else:
            yield result


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]}"
