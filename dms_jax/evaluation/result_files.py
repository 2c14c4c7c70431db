"""Metrics in files: all of them as JSON, the numbers kept of each image as CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TextIO

from dms_jax.evaluation.scoring import ImageRow


def write_results(results: Mapping[str, Any], path: Path) -> None:
    """Write metrics as JSON, whole or not at all.

    Raises:
      ValueError: a metric is not finite; what does not exist must be None.
    """
    text = json.dumps(results, indent=2, allow_nan=False) + "\n"
    with _replacing(path) as file:
        file.write(text)


def write_image_table(rows: Sequence[ImageRow], class_names: Sequence[str], path: Path) -> None:
    """Write a line for each image, worst first; what does not exist is empty.

    First come the defects that were missed, then false alarms, then the others; images without a known mask last. The
    larger MAE comes first among each. What is missed or an alarm needs an operating threshold; without one, only a
    defect whose map is black everywhere is missed.

    Args:
      rows: see `ImageRow` for the columns.
      class_names: in the order of the rows' class numbers.
      path: the file, replaced whole.
    """
    with _replacing(path) as file:
        columns = [field.name for field in fields(ImageRow) if field.name != "extra"]
        extra = list(rows[0].extra) if rows else []
        writer = csv.DictWriter(file, [*columns, *extra])
        writer.writeheader()
        for row in sorted(rows, key=_worst_first):
            named = {
                key: None if (number := getattr(row, key)) is None else class_names[number]
                for key in ("label", "predicted")
            }
            defective = None if row.defective is None else int(row.defective)
            values = {key: value for key, value in asdict(row).items() if key != "extra"}
            writer.writerow({**values, **named, "defective": defective, **row.extra})


def _worst_first(row: ImageRow) -> tuple[int, float, str]:
    if row.mae is None:
        return (3, 0.0, row.name)
    # 0 where nothing that was called defective is so; None where nothing is called so, nor is.
    nothing_right = row.iou == 0 or (row.iou is None and bool(row.defective) and row.maximum == 0)
    rank = (0 if row.defective else 1) if nothing_right else 2
    return (rank, -row.mae, row.name)


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
    except BaseException as error:
        if not in_place:
            written.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            # A full disk does not say which file it was.
            error.filename = str(path)
        raise
