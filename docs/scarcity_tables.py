"""Prints tables of the runs in docs/results by what they learnt from, in Markdown.

    python docs/scarcity_tables.py NAME ...                 # by their images and masks: data.train_images, .mask_share
    python docs/scarcity_tables.py ALL NAME ... --left-out  # by the class that they never saw: data.without

A NAME is as in docs/results_tables.py. Of the second table, ALL learnt from every class, and each other one from all
but one: of the test images of that class, what ALL makes of them and what a network does that has never seen it.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kept_runs import RESULTS, Run, by_seeds, field_of, runs_in
from results_tables import at, cell, markdown

_FALSE_ALARMS = "results/image_level/map_maximum/false_alarm_rate"


def learnt_table(groups: Mapping[str, Sequence[Run]]) -> str:
    """A row for each run with all its seeds: what it learnt from, and test figures, those of each class among them.

    Where a run sets data.mask_balance, each row tells which share of the defective images in its batches has a mask.

    Raises:
      ValueError: a run is of an earlier version, and does not say what it learnt from.
    """
    first = next(iter(groups.values()))[0]
    classes = _defective_classes(first)
    balances = {name: float(field_of(runs[0]["command"], "data.mask_balance") or 0) for name, runs in groups.items()}
    balanced = any(balances.values())
    header = ["images", "masks of defects", *(["with a mask, in a batch"] if balanced else []), "seeds"]
    header += ["MAE, defective", "maxF, defective"]
    header += [*(f"of {name}" for name in classes), "normal images that fire", "accuracy", "AUROC: map", "head"]
    rows = []
    for name, runs in groups.items():
        learnt = [_learnt(name, run) for run in runs]
        row = [cell([each["images"] for each in learnt], 0), cell([each["masks"] for each in learnt], 0)]
        if balanced:
            row += [f"{100 * balances[name]:g} %" if balances[name] else "as they come"]
        row += [", ".join(str(run["seed"]) for run in runs)]
        row += [_cell(runs, "results/defective/mae", 4), _cell(runs, "results/defective/max_f", 3)]
        row += [_cell(runs, f"results/per_class/{each}/max_f", 2) for each in classes]
        row += [_percent(runs, _FALSE_ALARMS), _percent(runs, "results/accuracy")]
        row += [_cell(runs, f"results/image_level/{score}/auroc", 3) for score in ("map_maximum", "class_head")]
        rows.append(row)
    return markdown(header, rows)


def left_out_table(groups: Mapping[str, Sequence[Run]]) -> str:
    """A row for the class that each run but the first never saw; of its test images, beside the first run's.

    Raises:
      ValueError: the first run left out a class, or another one not just one.
    """
    (first, everything), *others = groups.items()
    if not others:
        raise ValueError("there is nothing beside the first run: name others that left out a class")
    if _learnt(first, everything[0])["without"]:
        raise ValueError(f"{first} left out a class: name a run first that learnt from all of them")
    header = ["left out", "its test images", "maxF, seen", "unseen", "images that fire, seen", "unseen"]
    header += ["maxF of all defective images", "normal images that fire"]
    last = ("results/defective/max_f", _FALSE_ALARMS)
    rows = [["nothing", "", "", "", "", "", _cell(everything, last[0], 3), _percent(everything, last[1])]]
    for name, runs in others:
        without = _learnt(name, runs[0])["without"]
        if len(without) != 1:
            raise ValueError(f"{name} left out {len(without)} classes: name runs that left out one")
        of_class = f"results/per_class/{without[0]}"
        pairs: tuple[tuple[str, Callable[..., str]], ...] = (
            (f"{of_class}/max_f", lambda runs, path: _cell(runs, path, 3)),
            (f"{of_class}/fired", _percent),
        )
        row = [without[0], cell([at(f"{of_class}/images")(runs[0])], 0)]
        row += [shown(which, path) for path, shown in pairs for which in (everything, runs)]
        rows.append([*row, _cell(runs, last[0], 3), _percent(runs, last[1])])
    return markdown(header, rows)


def _defective_classes(run: Run) -> list[str]:
    # An image without a defect has no F-measure.
    per_class = at("results/per_class")(run) or {}
    return [name for name, own in per_class.items() if own.get("max_f") is not None]


def _learnt(name: str, run: Run) -> Mapping[str, Any]:
    learnt = run["results"].get("trained_on")
    if not (isinstance(learnt, Mapping) and learnt.keys() >= {"images", "masks", "without"}):
        raise ValueError(f"{name} does not say what it learnt from: leave it out")
    return learnt


def _cell(runs: Sequence[Run], path: str, digits: int) -> str:
    return cell([at(path)(run) for run in runs], digits)


def _percent(runs: Sequence[Run], path: str) -> str:
    values = [at(path)(run) for run in runs]
    text = cell([None if value is None else 100 * value for value in values], 1)
    return f"{text} %" if text else ""


def main(argv: Sequence[str] | None = None) -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME", help="of a run, or of all its seeds")
    parser.add_argument("--left-out", action="store_true", help="a row for the class that each never saw")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="(default: docs/results)")
    options = parser.parse_args(argv)
    try:
        groups = by_seeds(runs_in(options.results), options.names)
        print((left_out_table if options.left_out else learnt_table)(groups))
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
