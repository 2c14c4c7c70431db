"""The table of what variants of a configuration came to, and the validations of a run: of `recipes.py`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dms_jax.runs.monitoring.metrics_file import METRICS_NAME, read_metrics


def validations(workdir: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics with a validation, in order: `step`, `max_f`, `defective/max_f` and so on."""
    file = workdir / METRICS_NAME
    lines = read_metrics(file) if file.exists() else []
    found = []
    for line in lines:
        names = [name for name in line if name.endswith("/defective/max_f")]
        if names:
            prefix = names[0].removesuffix("defective/max_f")
            found.append({name.removeprefix(prefix): value for name, value in line.items()})
    return found


def step_that_reached(lines: Sequence[Mapping[str, Any]], value: float) -> int | None:
    """The first of the validations at which maxF on defective images was at least a value; None if it never was."""
    return next((line["step"] for line in lines if (line["defective/max_f"] or 0) >= value), None)


def table_of(records: Mapping[str, Mapping[str, Any]], output: Path, reach: float | None = None) -> str:
    """A row for each variant: test metrics, normal images that fire, the validation of the best step, and what it took.

    Args:
      records: by name; see `recipes.run_variant`.
      output: the folder of their work directories.
      reach: adds the first validated step with at least this maxF on defective images; None for no such column.
    """
    header = ["variant", "MAE", "maxF", "MAE, defective", "maxF, defective", "accuracy"]
    header += ["gated: MAE", "maxF", "maxF, defective", "fired: map", "gated", "head"]
    header += ["best step", "validation: MAE", "maxF, defective", "accuracy"]
    header += [] if reach is None else [f"step of {reach}"]
    rows = [[*header, "minutes"]]
    failures = []
    for name, record in records.items():
        results, lines = record["results"] or {}, validations(output / name)
        # Where validation shows no defect, it is chosen by something else, and of equals the last.
        chosen = [line for line in lines if line["step"] == results.get("best_step")]
        best = chosen[0] if chosen else max(lines, key=lambda line: line["defective/max_f"] or 0, default={})
        gated, images = results.get("gated") or {}, results.get("image_level") or {}
        defective, gated_defective = results.get("defective") or {}, gated.get("defective") or {}
        fired = [
            (images.get(by) or {}).get("false_alarm_rate") for by in ("map_maximum", "gated_maximum", "class_head")
        ]
        row = [name, *(_number(results.get(key), 5) for key in ("mae", "max_f"))]
        row += [_number(defective.get(key), 5) for key in ("mae", "max_f")]
        row += [_number(results.get("accuracy"), 3), *(_number(gated.get(key), 5) for key in ("mae", "max_f"))]
        row += [_number(gated_defective.get("max_f"), 5), *(_number(rate, 3) for rate in fired)]
        row += [str(results.get("best_step", "")), _number(best.get("mae"), 5)]
        row += [_number(best.get("defective/max_f"), 5), _number(best.get("accuracy"), 3)]
        if reach is not None:
            step = step_that_reached(lines, reach)
            row.append("never" if step is None else str(step))
        rows.append([*row, f"{record['seconds'] / 60:.1f}"])
        if record["failure"]:
            failures.append(f"{name} failed: {record['failure']}")
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "| --- " * len(rows[0]) + "|", *lines[1:], *failures])


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
