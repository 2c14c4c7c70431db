"""The results of a run on a split: kept in `eval/<split>.json` and `.csv`, shown as tables."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dms_jax.comparison.deep import DEEP_NETWORKS
from dms_jax.errors import UserError
from dms_jax.evaluation.result_files import write_image_table, write_results
from dms_jax.evaluation.results_text import all_images, details_text, outputs_table
from dms_jax.evaluation.scoring import ImageRow
from dms_jax.references import is_reference


def save_results(
    results: dict[str, Any],
    workdir: Path,
    split: str,
    rows: Sequence[ImageRow],
    class_names: Sequence[str],
    free_class: int | None = None,
) -> None:
    """Write results to `eval/<split>.json` in the work directory, and their images to `eval/<split>.csv`.

    Each is written whole or not at all; the JSON file, which says that a run was tested, comes last.
    """
    folder = workdir / "eval"
    folder.mkdir(exist_ok=True)
    write_image_table(rows, class_names, folder / f"{split}.csv", free_class)
    write_results(results, _results_file(workdir, split))


def load_results(workdir: Path, split: str) -> dict[str, Any] | None:
    """Read what `save_results` wrote, or None where there is nothing.

    Raises:
      UserError: the file is damaged.
    """
    path = _results_file(workdir, split)
    try:
        results = json.loads(path.read_text())
        if not isinstance(results, dict):
            raise ValueError("not an object")
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: remove it, and the run will be tested again.") from error
    return results


def remove_results(workdir: Path, split: str) -> None:
    """Remove what says that a run was tested; the table of its images stays until it is tested again."""
    _results_file(workdir, split).unlink()


def _results_file(workdir: Path, split: str) -> Path:
    return workdir / "eval" / f"{split}.json"


def results_title(results: dict[str, Any]) -> str:
    """A line that says what was measured on what."""
    name = run_name(results)
    by_mask, defective = results["images"], results["defective"]["images"]
    counts = f"{by_mask} images, {defective} of them defective"
    if (total := all_images(results)) > by_mask:
        # Maps are scored where the mask is known; classes where the label is.
        counts = f"{total} images, {by_mask} of them with a known mask, {defective} of these defective"
    return (
        f"{name} on {results['dataset']} ({results['dataset_config']}), {results['split']}: {counts}; "
        f"step {results['best_step']}, selected on {results['selected_on']}"
    )


def run_name(results: dict[str, Any]) -> str:
    """The network with its size and ablation, such as `BDMS lite (c)`."""
    network = results["network"]
    # A network of the user's own is named by a reference.
    title = DEEP_NETWORKS[network].title if network in DEEP_NETWORKS else network.upper()
    name = network.rpartition(":")[2] if is_reference(network) else title
    if results["size"] != "full":
        name += f" {results['size']}"
    if results["ablation"]:
        name += f" ({results['ablation']})"
    return name


def results_text(results: dict[str, Any]) -> str:
    """A table with a row for each output of the network, and those of classes, threshold and whole images."""
    first = f"{results_title(results)}\n{outputs_table(results)}"
    parts = [first, _no_better_than_black(results), details_text(results)]
    return "\n\n".join(part for part in parts if part)


def _no_better_than_black(results: dict[str, Any]) -> str:
    own, black = results["mae"], results["all_black"]["mae"]
    if own is None or own < black or not results["defective"]["images"]:
        return ""
    return (
        f"These maps err no less than black ones (MAE {own:.4f} against {black:.4f}): train longer, see whether "
        "anything is left of defects at the network's size (a larger config.data.image_size, or "
        "config.data.resize=tiles where that is not set), and look at the report before you use them."
    )
