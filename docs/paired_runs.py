"""Prints how runs differ on the same test images: python docs/paired_runs.py RUN OTHER ... [--manual-dir DIR].

Each OTHER has a row: by how much it is above the first RUN, as the mean over the defective images of MAE and, at each
run's operating threshold, F1; of the weighted F-measure; and by how many percent more of the normal images fire. Behind
each is the interval that holds 95 % of the means of 10 000 samples of groups, drawn with replacement (the percentile
bootstrap): images of a group, such as the exposures of a tile of MTDD, are no independent ones. An interval without 0
is a difference that other tiles would be likely to show too; that another seed would, it does not say. A RUN needs
config.json, run.json, eval/test.csv and eval/test.json, and the dataset has to be there, as for errors_by_tile.py.
"""

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from errors_by_tile import groups_of_test, refuse_other_images, run_results, untested
from results_tables import markdown

from dms_jax.errors import UserError
from dms_jax.runs.config.saved import load_run

# Columns of `eval/test.csv`, and what they are of.
_MEASURES = {"mae": "MAE, defective", "f1": "F1, defective", "weighted_f": "weighted F, defective"}
_FIRED = "normal images that fire"
_ROUNDS = 10_000
_WITHIN = (2.5, 97.5)


def read_measures(workdir: Path) -> dict[str, dict[str, float]]:
    """What `eval/test.csv` says of each image: the measures of the defective ones, and whether normal ones fire.

    Images without a known mask have none; F1 and whether an image fires is left out where there is no threshold.

    Raises:
      UserError: the run has not been tested.
    """
    threshold = run_results(workdir)["operating_threshold"]["value"]
    path = workdir / "eval" / "test.csv"
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError as error:
        raise untested(path) from error
    measures: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["defective"] == "1":
            measures[row["name"]] = {title: float(row[name]) for name, title in _MEASURES.items() if row[name]}
        elif row["defective"] == "0":
            fires = {} if threshold is None else {_FIRED: 100.0 * (float(row["maximum"]) > threshold)}
            measures[row["name"]] = fires
    return measures


def mean_and_interval(differences: np.ndarray, groups: Sequence[str], seed: int = 0) -> tuple[float, float, float]:
    """The mean over images, and the ends of its interval over samples of groups.

    Args:
      differences: float [n], one for each image.
      groups: n names; images of a group are drawn together.
      seed: of the samples.
    """
    _, group_of = np.unique(np.asarray(groups, object).astype(str), return_inverse=True)
    sums, counts = np.bincount(group_of, differences), np.bincount(group_of)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(_ROUNDS, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, _WITHIN)
    return float(differences.mean()), float(low), float(high)


def row_of(
    first: Mapping[str, Mapping[str, float]], other: Mapping[str, Mapping[str, float]], group_of: Mapping[str, str]
) -> list[str]:
    """The cells of a run: its differences from the first; empty where one of both has no such measure."""
    cells = []
    for measure, digits in zip((*_MEASURES.values(), _FIRED), (4, 3, 3, 1), strict=True):
        names = [name for name in first if measure in first[name] and measure in other[name]]
        if not names:
            cells.append("")
            continue
        differences = np.array([other[name][measure] - first[name][measure] for name in names])
        mean, low, high = mean_and_interval(differences, [group_of[name] for name in names])
        cells.append(f"{mean:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})")
    return cells


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the runs, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, metavar="RUN", help="a work directory, from which the others differ")
    parser.add_argument("others", nargs="+", type=Path, metavar="OTHER")
    parser.add_argument("--manual-dir", metavar="DIR", help="where the dataset as published lies now")
    parser.add_argument("--data-dir", metavar="DIR", help="where prepared datasets are kept now")
    chosen = parser.parse_args(arguments)
    runs = [chosen.first, *chosen.others]
    try:
        for run in runs:
            load_run(run)
        refuse_other_images([(run, run_results(run)) for run in runs])
        measures = [read_measures(run) for run in runs]
        for run, own in zip(runs, measures, strict=True):
            if own.keys() != measures[0].keys():
                raise UserError(f"{run} was tested on other images than {runs[0]}: name runs on the same.")
        group_of = groups_of_test(runs[0], chosen.data_dir, chosen.manual_dir)
        if unknown := measures[0].keys() - group_of.keys():
            raise UserError(f"{min(unknown)} is no test image of {runs[0]}: name runs on one dataset.")
    except UserError as error:
        print(f"paired_runs.py: {error}", file=sys.stderr)
        return 1
    header = ["run", *_MEASURES.values(), f"{_FIRED}, %"]
    rows = [
        [run.name, *row_of(measures[0], own, group_of)] for run, own in zip(chosen.others, measures[1:], strict=True)
    ]
    print(markdown(header, rows))
    for title, measure in (("defective", "MAE, defective"), ("normal", _FIRED)):
        names = [name for name, own in measures[0].items() if measure in own]
        print(f"\n{len(names)} {title} images of {len({group_of[name] for name in names})} groups.", end="")
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
