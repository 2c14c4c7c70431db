"""The results of a run on a split: kept in `eval/<split>.json`, shown as a table."""

import json
from pathlib import Path
from typing import Any

from dms_jax.errors import UserError
from dms_jax.evaluation.tables import format_table


def save_results(results: dict[str, Any], workdir: Path, split: str) -> None:
    """Write results to `eval/<split>.json` in the work directory, whole or not at all."""
    path = workdir / "eval" / f"{split}.json"
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(results, indent=2, allow_nan=False) + "\n")
    temporary.replace(path)


def load_results(workdir: Path, split: str) -> dict[str, Any] | None:
    """Read what `save_results` wrote, or None where there is nothing.

    Raises:
      UserError: the file is damaged.
    """
    path = workdir / "eval" / f"{split}.json"
    try:
        results = json.loads(path.read_text())
        if not isinstance(results, dict):
            raise ValueError("not an object")
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: remove it, and the run will be tested again.") from error
    return results


def results_table(results: dict[str, Any]) -> str:
    """A table with a row for each output of the network, under a line that says what was measured on what."""
    name = results["network"].upper()
    if results["size"] != "full":
        name += f" {results['size']}"
    if results["ablation"]:
        name += f" ({results['ablation']})"
    title = (
        f"{name} on {results['dataset']} ({results['dataset_config']}), {results['split']}: "
        f"{results['pictures']} pictures, {results['defective']['pictures']} of them defective; "
        f"step {results['best_step']}, selected on {results['selected_on']}"
    )
    headers = ["output", "MAE", "maxF", "MAE, defective", "maxF, defective", "accuracy"]
    rows = []
    for index, output in enumerate(results["outputs"]):
        is_final = index == len(results["outputs"]) - 1
        rows.append(
            [
                f"{index} (final)" if is_final else str(index),
                output["mae"],
                output["max_f"],
                output["defective"]["mae"],
                output["defective"]["max_f"],
                output["accuracy"],
            ]
        )
    return f"{title}\n{format_table(headers, rows, precision=5)}"
