"""What `dms-jax predict` wrote into a folder: its settings, its records, and which shards of it are missing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dms_jax.errors import UserError, some_names
from dms_jax.inference.folder.records import read_records

# Of the table of one of several calls that share a folder; a file of more digits is not from one.
_SHARD = re.compile(r"predictions-([0-9]{1,5})-of-([0-9]{1,5})")
# So many shards that are missing are named; the others are counted.
_NAMED = 10
# What the record of a predicted image has.
_KEYS = frozenset({"file", "name", "class", "probabilities", "score", "area", "boxes"})


@dataclass(frozen=True)
class PredictionFolder:
    """A folder of predictions.

    Attributes:
      path: the folder.
      class_names: in the order of their numbers.
      free_class: number of the defect-free class, or None.
      threshold: map > threshold is defective, 0..255, or None.
      note: how it was chosen, or why there is none.
      gates: the maps have been multiplied by the probability of a defect.
      value_range: black and white of images of more than 8 bits, or None.
      model: what it was predicted with, for the user.
    """

    path: Path
    class_names: tuple[str, ...]
    free_class: int | None
    threshold: int | None
    note: str
    gates: bool
    value_range: tuple[float, float] | None
    model: str


def open_predictions(folder: Path) -> PredictionFolder:
    """Read how the images of a folder were predicted; of several shards, one says it for all.

    Raises:
      UserError: it is no folder of predictions, or what says it is damaged.
    """
    paths = sorted(folder.glob("predictions*.json"))
    if not paths:
        raise UserError(f"{folder} has no predictions.json: name a folder that `dms-jax predict` wrote.")
    try:
        fields = json.loads(paths[0].read_text(encoding="utf-8"))
        names, free = tuple(fields["class_names"]), fields["free_class"]
        value_range, threshold = fields["value_range"], fields["threshold"]
        if not all(isinstance(name, str) for name in names):
            raise ValueError("class_names are no texts")
        if threshold is not None and not (isinstance(threshold, int) and 0 <= threshold <= 255):
            raise ValueError("threshold is no value of a map")
        if value_range is not None:
            low, high = map(float, value_range)
            value_range = low, high
        return PredictionFolder(
            path=folder,
            class_names=names,
            free_class=None if free is None else names.index(free),
            threshold=threshold,
            note=str(fields["note"]),
            gates=bool(fields["gates"]),
            value_range=value_range,
            model=", ".join(f"{key} {value}" for key, value in dict(fields["model"]).items()),
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise UserError(f"{paths[0]} is damaged: predict the images again, to another folder.") from error


def read_predictions(folder: PredictionFolder) -> tuple[list[Mapping[str, Any]], list[str]]:
    """The records of what was predicted, and why other files could not be; each file once, whatever shards had it.

    Raises:
      UserError: a file of records is damaged.
    """
    predicted: dict[str, Mapping[str, Any]] = {}
    failed: dict[str, str] = {}
    for path in sorted(folder.path.glob("predictions*.jsonl")):
        for record in read_records(path):
            file = record["file"]
            if record.get("error") is not None:
                failed.setdefault(file, str(record["error"]))
            elif record.keys() >= _KEYS and record["probabilities"].keys() in (set(folder.class_names), set()):
                predicted[file] = record
            else:
                raise UserError(
                    f"{path} is damaged (what it has of {file} is not whole): predict the images again, to another "
                    "folder."
                )
    return list(predicted.values()), [reason for file, reason in failed.items() if file not in predicted]


def missing_shards(folder: Path) -> Iterator[str]:
    """A sentence for each number of shards that not all are there of; none where all images were one call's, too."""
    if (folder / "predictions.jsonl").exists():
        return
    there: dict[int, set[int]] = {}
    for path in folder.glob("predictions-*-of-*.jsonl"):
        if match := _SHARD.fullmatch(path.stem):
            there.setdefault(int(match[2]), set()).add(int(match[1]))
    for count, numbers in sorted(there.items()):
        missing = [f"{number}/{count}" for number in range(1, count + 1) if number not in numbers]
        if missing:
            yield f"The images of shard {some_names(missing, _NAMED)} are not in {folder}: predict them too."
