"""A page on a folder of predictions, as `dms-jax predict` writes it: with masks scored, without them shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from dms_jax.data.class_names import in_free_folder
from dms_jax.data.image_files import read_image
from dms_jax.data.mask_values import MaskValues
from dms_jax.data.prediction_folders import MAPS, OVERLAYS
from dms_jax.errors import UserError
from dms_jax.evaluation.maps.files import list_images, match_names, read_map, read_truth, shortened
from dms_jax.evaluation.observation import ObservedImage
from dms_jax.evaluation.report.cards import MOST_CARDS, Card, make_card, worst
from dms_jax.evaluation.report.gallery import Gallery
from dms_jax.evaluation.report.kinds import FINDINGS, FOUND, NOTHING, Kind, shown_errors
from dms_jax.evaluation.report.page import Report
from dms_jax.evaluation.report.pictures import make_pictures
from dms_jax.evaluation.report.prediction_folder import (
    PredictionFolder,
    missing_shards,
    open_predictions,
    read_predictions,
)
from dms_jax.evaluation.report.text import shown_number
from dms_jax.evaluation.scoring import ScoredImage, blacken_ignored, score_image
from dms_jax.evaluation.summary_metrics import compute_metrics
from dms_jax.evaluation.thresholds import given_threshold, no_threshold
from dms_jax.evaluation.totals import collect

# Images read at a time: what has been read and not yet shown must not grow with their number.
_CHUNK = 64


def report_predictions(folder: Path, masks: Path | None = None, mask_values: MaskValues | None = None) -> Report:
    """What a page shows of a folder of predictions.

    Args:
      folder: with `predictions.json`, `predictions.jsonl` and `maps/`; those of several shards are put together.
      masks: images of the same names below it, 255 for defective, or of names with which the path of an image ends; an
        image without one has an unknown truth, unless its folder's name says that it is defect-free. None to show what
        was predicted, unscored.
      mask_values: which values of the masks' files are defective; what they ignore is black in map and mask. None to go
        by what the masks look like.

    Raises:
      UserError: it is no such folder, a file of it is missing or damaged, no mask belongs to an image, or the folder of
        masks is that of the maps.
    """
    opened = open_predictions(folder)
    records, failed = read_predictions(opened)
    if not records:
        raise UserError(f"{folder} has no predicted image: name a folder that `dms-jax predict` wrote to.")
    notes = [*missing_shards(folder), *(f"Not predicted: {reason}" for reason in shortened(failed))]
    truths: dict[str, str | None] = {}
    if masks is not None:
        if any(masks.resolve().is_relative_to((folder / written).resolve()) for written in (MAPS, OVERLAYS)):
            raise UserError(f"{masks} holds what was predicted, and no masks: name the folder of the masks.")
        files = list_images(masks, notes)
        names = [each["name"] for each in records]
        matched = match_names(names, files)
        matched |= _match_paths([each for each in records if each["name"] not in matched], files, matched.values())
        masked = {name: files[found] for name, found in matched.items()}
        free = (each["name"] for each in records if in_free_folder(each["name"]) or in_free_folder(each["file"]))
        truths = {**dict.fromkeys(free), **masked}
        if not masked:
            raise UserError(
                f"no image in {masks} is named like a prediction in {folder}, such as {records[0]['name']}: name "
                "the folder of their masks."
            )
        if unknown := len(names) - len(truths):
            have = "has a mask of its name" if len(masked) == 1 else "have a mask of their name"
            notes.append(
                f"{len(masked)} of {len(names)} predictions {have} in {masks}: the truth of {unknown} is unknown."
            )
    shown: list[Card] = []
    of_masks: list[str] = []

    def scored() -> Iterator[ScoredImage]:
        for score, card in _looked_at(opened, records, truths, mask_values, of_masks, scores=masks is not None):
            shown.append(card)
            if len(shown) >= 2 * MOST_CARDS:
                shown[:] = worst(shown)
            if score is not None:
                yield score

    # Without masks there is nothing to add up, but all images are looked at.
    evaluation = collect(scored())
    notes += shortened(sorted(of_masks))
    kinds: tuple[Kind, ...] = FINDINGS
    metrics = None
    if masks is not None:
        kinds = shown_errors(evaluation.rows)
        threshold = no_threshold(opened.note) if opened.threshold is None else given_threshold(opened.threshold)
        metrics = compute_metrics(evaluation, threshold, free_class=opened.free_class)
        # The maps are what they are: gated already, or not wanted so.
        metrics |= {
            "gated": None,
            "image_level": {**metrics["image_level"], "gated_maximum": None, "gated_class_head": None},
        }
    gallery = Gallery(tuple(worst(shown)), kinds, opened.class_names, len(records))
    return Report(
        title=f"Predictions in {folder.resolve().name}",
        summary=_summary(opened, records, truths, scores=masks is not None),
        gallery=gallery,
        metrics=metrics,
        notes=notes,
    )


def _match_paths(
    records: Sequence[Mapping[str, Any]], masks: Collection[str], taken: Collection[str]
) -> dict[str, str]:
    """The masks whose name, with its folders, ends an image's path, where that is unambiguous.

    Predictions of several folders have names without these folders, which their masks may lie in all the same.

    Args:
      records: predictions.
      masks: their names.
      taken: those that belong to other predictions.
    """
    left = set(masks).difference(taken)
    partner: dict[str, str] = {}
    for record in records:
        parts = PurePath(record["file"]).with_suffix("").parts
        ends = ("/".join(parts[start:]) for start in range(len(parts) - 1))
        # The name alone, without a folder, would be that of any image.
        if (found := next((end for end in ends if end in left), None)) is not None:
            partner[record["name"]] = found
    counts = Counter(partner.values())
    return {name: mask for name, mask in partner.items() if counts[mask] == 1}


def _looked_at(
    folder: PredictionFolder,
    records: Sequence[Mapping[str, Any]],
    truths: Mapping[str, str | None],
    values: MaskValues | None,
    notes: list[str],
    *,
    scores: bool,
) -> Iterator[tuple[ScoredImage | None, Card]]:
    def look(record: Mapping[str, Any]) -> tuple[ScoredImage | None, Card]:
        saliency_map, _ = read_map(folder.path / MAPS / f"{record['name']}.png")
        mask, note = _mask(record, saliency_map, truths, values)
        notes.extend([note] if note else [])
        if mask is not None and values is not None and values.ignored is not None:
            (saliency_map,), mask = blacken_ignored([saliency_map], mask)
        return _look(folder, record, saliency_map, mask, scores=scores)

    left = iter(records)
    with ThreadPoolExecutor() as pool:
        while chunk := list(islice(left, _CHUNK)):
            yield from pool.map(look, chunk)


def _mask(
    record: Mapping[str, Any], saliency_map: np.ndarray, truths: Mapping[str, str | None], values: MaskValues | None
) -> tuple[np.ndarray | None, str | None]:
    """The mask of a predicted image, black where it is defect-free, None where unknown; and what is odd in it."""
    if record["name"] not in truths:
        return None, None
    mask_path = truths[record["name"]]
    if mask_path is None:
        return np.zeros_like(saliency_map), None
    mask, note = read_truth(mask_path, values)
    if mask.shape != saliency_map.shape:
        raise UserError(
            f"{mask_path} is {_size(mask)} pixels, and the map of {record['file']} {_size(saliency_map)}: "
            "replace the mask by one of the image's size."
        )
    return mask, note


def _look(
    folder: PredictionFolder,
    record: Mapping[str, Any],
    saliency_map: np.ndarray,
    mask: np.ndarray | None,
    *,
    scores: bool,
) -> tuple[ScoredImage | None, Card]:
    image = _image(record["file"], folder, saliency_map.shape)
    number = folder.class_names.index(record["class"]) if record["class"] in folder.class_names else None
    predicted = () if number is None else (number,)
    likely = sorted(((value, name) for name, value in record["probabilities"].items()), reverse=True)[:3]
    numbers = (
        ("score", shown_number(float(record["score"]))),
        *((("area", shown_number(float(record["area"]))),) if record["area"] is not None else ()),
    )
    probabilities = tuple((folder.class_names.index(name), value) for value, name in likely)
    if not scores:
        kind = FOUND if saliency_map.max() > (folder.threshold or 0) else NOTHING
        card = Card(
            name=record["file"],
            size=saliency_map.shape,
            pictures=make_pictures(image, None, [saliency_map], folder.threshold),
            kinds=(kind.key,),
            order=(FINDINGS.index(kind), -float(record["score"]), -float(record["area"] or 0), record["file"]),
            maximum=int(saliency_map.max()),
            predicted=predicted,
            numbers=numbers,
            probabilities=probabilities,
        )
        return None, card
    by_name = record["probabilities"]
    scored = score_image(
        [saliency_map],
        mask,
        name=record["file"],
        predicted=predicted,
        probabilities=np.array([by_name[name] for name in folder.class_names]) if by_name else None,
        free_class=folder.free_class,
        threshold=folder.threshold,
    )
    observed = ObservedImage(
        replace(scored.row, gated_maximum=None),
        image,
        mask,
        (saliency_map,),
        folder.threshold,
        folder.free_class,
        scored.predicted,
    )
    card = make_card(observed)
    return scored, replace(card, numbers=(*numbers, *card.numbers), probabilities=probabilities)


def _image(path: str, folder: PredictionFolder, size: tuple[int, ...]) -> np.ndarray | None:
    """The image that was predicted, if it is still where it was and of that size."""
    try:
        image = np.asarray(read_image(path, folder.value_range))
    except UserError:
        return None
    return image if image.shape[:2] == size else None


def _summary(
    folder: PredictionFolder, records: Sequence[Mapping[str, Any]], truths: Mapping[str, str | None], *, scores: bool
) -> list[str]:
    firing = sum(bool(record["boxes"]) for record in records)
    sentences = [f"{len(records)} images, predicted with {folder.model}."]
    gated = ", times the probability of a defect," if folder.gates else ""
    if folder.threshold is None:
        sentences.append(f"There is no threshold to call a pixel defective by: {folder.note}.")
    else:
        sentences.append(
            f"A pixel of a map{gated} is called defective above {folder.threshold} ({folder.note}): there is one in "
            f"{firing} of {len(records)} images."
        )
    if scores:
        free = sum(mask is None for mask in truths.values())
        folders = f", or {free} of them by a folder's name that says that there is no defect" if free else ""
        sentences.append(f"The truth of {len(truths)} images is known, by their masks{folders}.")
    return sentences


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"
