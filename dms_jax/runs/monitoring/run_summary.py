"""What a run says before its first step: where it computes, how it is configured and how many parameters it has."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from clu import parameter_overview
from jax.sharding import Mesh
from ml_collections import ConfigDict

from dms_jax.data.prepared import PreparedDataset
from dms_jax.runs.config.saved import CONFIG_NAME
from dms_jax.runs.monitoring.metrics_file import fixable
from dms_jax.runs.splits import validation_name

PARAMETERS_NAME = "parameters.txt"
WARNINGS_NAME = "warnings.txt"


def announce_devices(mesh: Mesh) -> None:
    """Say on standard error what the run computes on, and loudly if that is no accelerator."""
    kinds = sorted({device.device_kind for device in mesh.devices.flat})
    print(f"{mesh.size} device(s): {', '.join(kinds)}", file=sys.stderr)
    if jax.default_backend() == "cpu":
        print(
            "*** NO ACCELERATOR FOUND: COMPUTING ON THE CPU, MANY TIMES SLOWER (for an NVIDIA GPU: "
            "pip install -e '.[cuda]') ***",
            file=sys.stderr,
        )


def warn(notes: Sequence[str], warnings: Sequence[str]) -> None:
    """Say on standard error what has become of the dataset, and what is likely to be wrong with it."""
    for sentence in notes:
        print(f"Note: {sentence}", file=sys.stderr)
    for sentence in warnings:
        print(f"Warning: {sentence}", file=sys.stderr)


def keep_warnings(warnings: Sequence[str], workdir: Path) -> None:
    """Keep in the work directory what was warned of, for whoever comes back at the end; no file where nothing was.

    Raises:
      UserError: it cannot be written.
    """
    path = workdir / WARNINGS_NAME
    with fixable(path, "written", "make room, or choose another --workdir"):
        path.unlink(missing_ok=True)
        if warnings:
            # A file's name need not be UTF-8.
            text = "".join(f"{sentence}\n" for sentence in warnings)
            path.write_text(text, encoding="utf-8", errors="surrogateescape")


def describe_run(config: ConfigDict, dataset: PreparedDataset, params: Any, workdir: Path) -> None:
    """Print the configuration, the dataset and the network's parts; store the table of every parameter."""
    path = workdir / PARAMETERS_NAME
    table = parameter_overview.get_parameter_overview(params, include_stats=False)
    with fixable(path, "written", "make room, or choose another --workdir"):
        path.write_text(table + "\n")
    # By name, as a part may be a parameter of the network itself.
    parts = {name: int(parameter_overview.count_parameters({name: tree})) for name, tree in params.items()}
    sizes = ", ".join(f"{count} {name}" for name, count in dataset.sizes.items())
    folds = ""
    if config.data.folds:
        folds = f"; of train and validation together, {validation_name(config)} is for validation"
    lines = [
        f"configuration (also in {workdir / CONFIG_NAME}):",
        json.dumps(config.to_dict(), indent=2),
        f"{dataset.name} ({dataset.config}): {sizes} images{folds}",
        *(f"skipped: {sentence}" for sentence in dataset.skipped),
        *dataset.notes,
        f"parameters (each one in {path}):",
        *(f"  {name:<10} {count:>12,}" for name, count in parts.items()),
        f"  {'total':<10} {sum(parts.values()):>12,}",
        "compiling the training step, which may take a minute or two",
    ]
    print(*lines, sep="\n", file=sys.stderr)
