"""Figures in files: all of them as JSON, the numbers kept of each picture as CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TextIO

from dms_jax.evaluation.scoring import PictureRow


def write_results(results: Mapping[str, Any], path: Path) -> None:
    """Write figures as JSON, whole or not at all.

    Raises:
      ValueError: a figure is not finite; what does not exist must be None.
    """
    text = json.dumps(results, indent=2, allow_nan=False) + "\n"
    with _replacing(path) as file:
        file.write(text)


def write_picture_table(rows: Sequence[PictureRow], class_names: Sequence[str], path: Path) -> None:
    """Write a line for each picture, the largest MAE first; what does not exist is empty.

    Args:
      rows: see `PictureRow` for the columns.
      class_names: in the order of the rows' class numbers.
      path: the file, replaced whole.
    """
    with _replacing(path) as file:
        writer = csv.DictWriter(file, [field.name for field in fields(PictureRow)])
        writer.writeheader()
        for row in sorted(rows, key=_worst_first):
            named = {
                key: None if (number := getattr(row, key)) is None else class_names[number]
                for key in ("label", "predicted")
            }
            defective = None if row.defective is None else int(row.defective)
            writer.writerow({**asdict(row), **named, "defective": defective})


def _worst_first(row: PictureRow) -> tuple[float, str]:
    """By the largest MAE; pictures without a known mask come last."""
    return (1.0 if row.mae is None else -row.mae, row.name)


@contextmanager
def _replacing(path: Path) -> Iterator[TextIO]:
    """A text file that takes the place of `path` once it is whole; pipes and devices are written to as they are."""
    in_place = path.exists() and not path.is_file()
    written = path if in_place else path.with_name(path.name + ".tmp")
    try:
        # A file's name need not be UTF-8: its bytes are kept.
        with written.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            yield file
        if not in_place:
            written.replace(path)
    except BaseException:
        if not in_place:
            written.unlink(missing_ok=True)
        raise
