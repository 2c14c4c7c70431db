"""Metrics in files: all of them as JSON, the numbers kept of each image as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from dms_jax.evaluation.scoring import ImageRow
from dms_jax.tables import harmless
from dms_jax.whole_files import write_whole


def write_results(results: Mapping[str, Any], path: Path) -> None:
    """Write metrics as JSON, whole or not at all.

    Raises:
      ValueError: a metric is not finite; what does not exist must be None.
    """
    _write(path, json.dumps(results, indent=2, allow_nan=False) + "\n")


def write_image_table(
    rows: Sequence[ImageRow], class_names: Sequence[str], path: Path, free_class: int | None = None
) -> None:
    """Write a line for each image, worst first; what does not exist is empty.

    First come the defects that were missed, then false alarms, then the others; images without a known mask last. The
    larger MAE comes first among each. What is missed or an alarm needs an operating threshold; without one, only a
    defect whose map is black everywhere is missed. An image that its label calls defective and whose mask is empty is
    neither, as on the page of `dms_jax.evaluation.report`.

    Args:
      rows: see `ImageRow` for the columns.
      class_names: in the order of the rows' class numbers.
      path: the file, replaced whole.
      free_class: number of the defect-free class, or None.
    """
    file = io.StringIO(newline="")
    columns = [field.name for field in fields(ImageRow) if field.name != "extra"]
    extra = list(rows[0].extra) if rows else []
    writer = csv.DictWriter(file, [*columns, *extra])
    writer.writeheader()
    for row in sorted(rows, key=lambda row: _worst_first(row, free_class)):
        named = {
            key: None if (number := getattr(row, key)) is None else class_names[number]
            for key in ("label", "predicted", "gated_predicted")
        }
        defective = None if row.defective is None else int(row.defective)
        values = {key: value for key, value in asdict(row).items() if key != "extra"}
        writer.writerow(
            {key: harmless(cell) for key, cell in (values | named | {"defective": defective}).items()} | row.extra
        )
    _write(path, file.getvalue())


def _worst_first(row: ImageRow, free_class: int | None) -> tuple[int, float, str]:
    if row.mae is None:
        return (3, 0.0, row.name)
    # 0 where nothing that was called defective is so; None where nothing is called so, nor is.
    nothing_right = row.iou == 0 or (row.iou is None and bool(row.defective) and row.maximum == 0)
    rank = 2
    if nothing_right and row.defective:
        rank = 0
    elif nothing_right and row.is_sound(free_class):
        rank = 1
    return (rank, -row.mae, row.name)


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all; pipes and devices are written to as they are."""
    # A file's name need not be UTF-8: its bytes are kept.
    data = text.encode("utf-8", "surrogateescape")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            write_whole(path, lambda file: file.write(data))
    except OSError as error:
        if error.filename is None:
            # A full disk does not say which file it was.
            error.filename = str(path)
        raise
