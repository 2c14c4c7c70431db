"""Work directories that were tested on the same images: what their files say, and which images show the same thing.

For docs/errors_by_tile.py and docs/paired_runs.py, whose runs need config.json, run.json, eval/test.csv and
eval/test.json; their dataset has to be there, or what it is prepared from.
"""

import argparse
import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dms_jax.errors import UserError
from dms_jax.runs.config.saved import load_run
from dms_jax.runs.dataset import reopen_dataset
from dms_jax.runs.description import DESCRIPTION_NAME, RunDescription
from dms_jax.runs.results import load_results
from dms_jax.tables import harmless


def add_places(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `groups_of_test`."""
    parser.add_argument("--manual-dir", metavar="DIR", help="where the dataset as published lies now")
    parser.add_argument("--data-dir", metavar="DIR", help="where prepared datasets are kept now")


def results_of(runs: Sequence[Path]) -> list[dict[str, Any]]:
    """What runs came to on their test images, as in `eval/test.json`.

    Raises:
      UserError: one is no run or has not been tested, a file is damaged, or their test images are not the same.
    """
    for run in runs:
        load_run(run)
    results = [_run_results(run) for run in runs]
    _refuse_other_images(list(zip(runs, results, strict=True)))
    return results


def rows_of_images(workdir: Path) -> list[dict[str, str]]:
    """The rows of `eval/test.csv`, one for each test image.

    Raises:
      UserError: the run has not been tested.
    """
    path = workdir / "eval" / "test.csv"
    try:
        # A file's name need not be UTF-8.
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError as error:
        raise _untested(path) from error


def groups_of_test(
    workdir: Path, tested: Iterable[str], data_dir: str | None = None, manual_dir: str | None = None
) -> dict[str, str]:
    """The group of each test image, by its name as in `eval/test.csv`.

    Args:
      workdir: of a run.
      tested: names that have to be among them.
      data_dir: where prepared datasets are kept; None for where the run had it.
      manual_dir: the dataset as published; None for where the run had it.

    Raises:
      UserError: there is no run, or its dataset cannot be had, has other images now, or lacks one that was tested.
    """
    config, description = load_run(workdir), RunDescription.load(workdir)
    if description is None:
        raise UserError(f"{workdir / DESCRIPTION_NAME} is missing: train the run anew.")
    with config.unlocked():
        config.data.manual_dir = manual_dir or config.data.manual_dir
        config.data.data_dir = data_dir or config.data.data_dir
    dataset, _ = reopen_dataset(config, description, elsewhere=bool(data_dir or manual_dir))
    source = dataset.source("test")
    group_of = dict(zip(map(harmless, source.names()), source.groups(), strict=True))
    if unknown := set(tested) - group_of.keys():
        raise UserError(f"{min(unknown)} is no test image of {workdir}: name runs on one dataset.")
    return group_of


def _run_results(workdir: Path) -> dict[str, Any]:
    results = load_results(workdir, "test")
    if results is None:
        raise _untested(workdir / "eval" / "test.json")
    return results


def _refuse_other_images(tests: Sequence[tuple[Path, Mapping[str, Any]]]) -> None:
    """Refuse what was tested on other images than the first, or on no test images."""
    tested = []
    for workdir, results in tests:
        if (split := results.get("split", "test")) != "test":
            # As with `data.overfit`.
            raise UserError(f"{workdir} was tested on images of {split}: name a run that was tested on test images.")
        # That of a folder has its path in it.
        config = "" if results.get("dataset") == "folder" else results.get("dataset_config")
        tested.append((results.get("dataset"), config))
        if tested[-1] != tested[0]:
            others = " ".join(filter(None, tested[-1]))
            raise UserError(f"{workdir} was tested on {others}, not on the images of {tests[0][0]}: name runs on one.")


def _untested(missing: Path) -> UserError:
    return UserError(f"{missing} is missing: test the run first, with dms-jax evaluate.")
