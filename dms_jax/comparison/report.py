"""A comparison as a table for the terminal, and as JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dms_jax.comparison.rows import Row
from dms_jax.comparison.table4 import TABLE_4, Published
from dms_jax.evaluation.summary_metrics import Metrics
from dms_jax.tables import Cell, format_table

# Differences that are less do not need a reason: the table has three digits.
_SAME = 0.0006
# Names of methods that Table 4 calls otherwise; its FCN is taken for FCN-8s, as in docs/comparison-networks.md.
_OTHER_NAMES = {"fcn8s": "fcn"}


def published_numbers(name: str, paper_split: bool) -> Published | None:
    """The paper's numbers of a method; None where they are of other images.

    Args:
      name: the method's, in upper or lower case, with or without hyphens and the like: `U-Net`, `unet`, `FCN-8s`.
      paper_split: see `comparison_text`.
    """
    by_name = {_plain(known): numbers for known, numbers in TABLE_4.items()}
    plain = _plain(name)
    return by_name.get(_OTHER_NAMES.get(plain, plain)) if paper_split else None


def _plain(name: str) -> str:
    # Other signs mean something: U-Net++ is not U-Net.
    return re.sub(r"[ ._-]", "", name.lower())


def comparison_text(rows: Sequence[Row], *, paper_split: bool) -> str:
    """The table, and below it a sentence on each row that has something to be said of.

    Args:
      rows: at least one.
      paper_split: whether the images are those of the paper's Table 4; without one of its methods on these there are
        no columns of it.
    """
    cells: list[list[Cell]] = []
    notes: list[str] = []
    papers = [published_numbers(row.name, paper_split) for row in rows]
    for row, paper in zip(rows, papers, strict=True):
        difference = _difference(row.metrics, paper)
        numbers = [paper.mae, paper.max_f] if paper else [None, None]
        cells.append([row.name, row.metrics["images"], *_measured(row.metrics), *numbers, *difference, row.seconds])
        if note := _note(row, paper_split):
            notes.append(f"{row.name}: {note}.")
        elif any(abs(each or 0) >= _SAME for each in difference):
            notes.append(f"{row.name}: differs from the paper.")
    black = rows[0].metrics["all_black"]
    cells.append(["all black", rows[0].metrics["images"], *_measured(black), *[None] * 5])
    headers = ["method", "images", "MAE", "maxF", "MAE, defective", "maxF, defective"]
    of_paper = ["paper's MAE", "paper's maxF", "MAE - paper's", "maxF - paper's"]
    if any(papers):
        headers += of_paper
    else:
        cells = [[*line[: len(headers)], *line[len(headers) + len(of_paper) :]] for line in cells]
    text = format_table([*headers, "seconds"], cells, precision=4)
    if any(paper and paper.defective for paper in papers):
        notes.insert(0, "The paper measures the classic methods on the defective images alone.")
    return "\n".join([text, *(["", *notes] if notes else [])])


def comparison_json(rows: Sequence[Row], *, paper_split: bool) -> list[dict[str, Any]]:
    """For each row its `method`, `images`, metrics, `paper`, `difference`, `seconds` and `note`, ready for JSON.

    `mae` and `max_f` are of all images, those in `defective` of the images whose mask has a pixel above 127;
    `difference` is between the paper's and those of the images that the paper measured on, which `paper.images` names.
    """
    return [_as_dict(row, paper_split) for row in rows]


def _as_dict(row: Row, paper_split: bool) -> dict[str, Any]:
    paper = published_numbers(row.name, paper_split)
    keys = ("images", "mae", "max_f", "max_f_threshold")
    mae, max_f = _difference(row.metrics, paper)
    return {
        "method": row.name,
        **{key: row.metrics[key] for key in keys},
        "defective": {key: row.metrics["defective"][key] for key in keys},
        "paper": paper
        and {"mae": paper.mae, "max_f": paper.max_f, "images": "defective" if paper.defective else "all"},
        "difference": paper and {"mae": mae, "max_f": max_f},
        "seconds": row.seconds,
        "note": _note(row, paper_split) or None,
    }


def _note(row: Row, paper_split: bool) -> str:
    return "; ".join(filter(None, (row.note, row.mtdd_note if paper_split else "")))


def _measured(metrics: Metrics) -> list[Cell]:
    return [metrics["mae"], metrics["max_f"], metrics["defective"]["mae"], metrics["defective"]["max_f"]]


def _difference(metrics: Metrics, paper: Published | None) -> tuple[float | None, float | None]:
    if paper is None:
        return None, None
    own = metrics["defective"] if paper.defective else metrics
    if own["mae"] is None or own["max_f"] is None:
        return None, None
    return own["mae"] - paper.mae, own["max_f"] - paper.max_f
