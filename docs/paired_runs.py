"""Prints how runs differ on the same test images: python docs/paired_runs.py RUN OTHER ... [--manual-dir DIR].

Each OTHER has a row: by how much it is above the first RUN, as the mean of MAE over all images and over the defective
ones; of F1, at each run's operating threshold, and of the weighted F-measure over the defective ones; and by how many
percent more of the normal images fire. Behind each is its 95 % confidence interval over groups: images of one, such as
the exposures of a tile of MTDD, are not independent. It is Student's, with the cluster-robust error of a mean (Cameron
and Miller 2015, "A Practitioner's Guide to Cluster-Robust Inference") and one degree of freedom fewer than there are
groups. Of many intervals, one in twenty misses the truth, and none says what another seed would give. A RUN needs
config.json, run.json, eval/test.csv and eval/test.json, and the dataset has to be there, as for errors_by_tile.py.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from results_tables import markdown
from scipy import stats
from tested_runs import add_places, groups_of_test, results_of, rows_of_images

from dms_jax.errors import UserError

# What is compared, and with how many digits; of the defective images alone, the column of `eval/test.csv`.
_MAE, _FIRED = "MAE", "normal images that fire"
_OF_DEFECTIVE = {"mae": "MAE, defective", "f1": "F1, defective", "weighted_f": "weighted F, defective"}
_DIGITS = {_MAE: 4, "MAE, defective": 4, "F1, defective": 3, "weighted F, defective": 3, _FIRED: 1}
_LEVEL = 0.95


def read_measures(workdir: Path, threshold: int | None) -> dict[str, dict[str, float]]:
    """What `eval/test.csv` says of each image: its measures, and of a normal one whether it fires (0 or 100).

    Images without a known mask have none; F1 and whether an image fires are left out where there is no threshold.

    Raises:
      UserError: the run has not been tested, or by a version that wrote less.
    """
    rows = rows_of_images(workdir)
    if rows and (missing := {"name", "defective", "maximum", *_OF_DEFECTIVE} - rows[0].keys()):
        path = workdir / "eval" / "test.csv"
        raise UserError(f"{path} lacks the column {min(missing)}: test the run again, with dms-jax evaluate.")
    measures: dict[str, dict[str, float]] = {}
    for row in rows:
        own = {_MAE: float(row["mae"])} if row["mae"] else {}
        if row["defective"] == "1":
            own |= {title: float(row[name]) for name, title in _OF_DEFECTIVE.items() if row[name]}
        elif row["defective"] == "0" and threshold is not None:
            own[_FIRED] = 100.0 * (float(row["maximum"]) > threshold)
        measures[row["name"]] = own
    return measures


def mean_and_interval(differences: np.ndarray, groups: Sequence[str]) -> tuple[float, float, float]:
    """The mean over images, and the ends of its confidence interval over groups.

    Args:
      differences: float [n], one for each image.
      groups: n names; images of one are not independent.

    Returns:
      The mean, and its lower and upper end; both infinite of a single group, which says nothing of others.
    """
    _, group_of = np.unique(np.asarray(groups, object).astype(str), return_inverse=True)
    mean, count = float(differences.mean()), int(group_of.max()) + 1
    if count == 1:
        return mean, -np.inf, np.inf
    sums = np.bincount(group_of, differences - mean)
    error = np.sqrt(count / (count - 1) * np.sum(sums**2)) / len(differences)
    half = float(stats.t.ppf((1 + _LEVEL) / 2, count - 1) * error)
    return mean, mean - half, mean + half


def row_of(
    first: Mapping[str, Mapping[str, float]], other: Mapping[str, Mapping[str, float]], group_of: Mapping[str, str]
) -> list[str]:
    """The cells of a run: its differences from the first; empty where one of both has no such measure."""
    cells = []
    for measure, digits in _DIGITS.items():
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
    add_places(parser)
    chosen = parser.parse_args(arguments)
    runs = [chosen.first, *chosen.others]
    try:
        thresholds = [(results.get("operating_threshold") or {}).get("value") for results in results_of(runs)]
        measures = [read_measures(run, threshold) for run, threshold in zip(runs, thresholds, strict=True)]
        for run, own in zip(runs, measures, strict=True):
            if own.keys() != measures[0].keys():
                raise UserError(f"{run} was tested on other images than {runs[0]}: name runs on the same.")
        group_of = groups_of_test(runs[0], measures[0], chosen.data_dir, chosen.manual_dir)
    except UserError as error:
        print(f"paired_runs.py: {error}", file=sys.stderr)
        return 1
    header = ["run", *(f"{title}, %" if title == _FIRED else title for title in _DIGITS)]
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
