"""Prints tables of the runs in docs/results, in Markdown.

    python docs/results_tables.py [NAME ...]              # a row for each run, or for the seeds of one together
    python docs/results_tables.py NAME ... --outputs      # every output of its network, Table 3 of the paper
    python docs/results_tables.py NAME ... --classes      # by class
    python docs/results_tables.py NAME ... --table4       # beside the paper's Table 4
    python docs/results_tables.py NAME ... --ablations    # beside its Tables 2 and 3
    python docs/results_tables.py NAME ... --surfaces     # of several datasets, beside its Table 5
    python docs/results_tables.py [NAME ...] --chart FILE.svg

A NAME is a file's, without .json; without its -seed<n> too, it is all of its seeds together, a file without one among
them: the mean, plus or minus half of the range. `benchmarks/keep_results.py` makes the files; docs/learning_curves.py
draws the chart, and docs/results_charts.py those of how much a network needs and what it costs.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kept_runs import RESULTS, Run, by_seeds, image_size_of, learning_rate_of, recipe_of, runs_in
from learning_curves import Curve, chart
from paper_tables import OfPaper, ablation_of, surface_of

from dms_jax.comparison.report import published_numbers
from dms_jax.runs.results import run_name


def cell(values: Sequence[float | None], digits: int) -> str:
    """The mean of several seeds' figures, plus or minus half of their range; nothing where one of them has none."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return ""
    text = f"{sum(known) / len(known):.{digits}f}"
    half = (max(known) - min(known)) / 2
    # What is counted, such as images, is the same for all seeds.
    is_one = len(known) == 1 or (half == 0 and digits == 0)
    return text if is_one else f"{text} ± {half:.{digits}f}"


def at(path: str) -> Callable[[Mapping[str, Any]], Any]:
    """Reads what lies at a path of keys, such as `gated/defective/max_f`; None where it is not there."""

    def read(tree: Mapping[str, Any]) -> Any:
        found: Any = tree
        for key in path.split("/"):
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    return read


def minutes(run: Run) -> float | None:
    """How long a whole run took, with its start, its validations and its test; None where nobody knows.

    Nobody does where others trained on the same card at the same time, as how long it would have taken alone.
    """
    return None if run["seconds"] is None or _shared(run) else run["seconds"] / 60


def rate(run: Run) -> float | None:
    """Images per second, the median while it trained; None where nobody knows, as for `minutes`."""
    return None if _shared(run) else run.get("images_per_second")


def _shared(run: Run) -> bool:
    # Results of earlier versions do not say it: nearly all of them had a card of their own.
    return (run.get("runs_on_card") or 1) > 1


# A column: its title, what it reads of a run and with how many digits.
_Column = tuple[str, Callable[[Run], Any], int]
_SALIENCY: Sequence[_Column] = (
    ("MAE", at("results/mae"), 5),
    ("maxF", at("results/max_f"), 4),
    ("MAE, defective", at("results/defective/mae"), 5),
    ("maxF, defective", at("results/defective/max_f"), 4),
)
_ACCURACY: _Column = ("accuracy", at("results/accuracy"), 3)
_BESIDE_PAPER: Sequence[_Column] = (
    *_SALIENCY,
    _ACCURACY,
    ("normal images that fire: map", at("results/image_level/map_maximum/false_alarm_rate"), 3),
)
_OF_SURFACES: Sequence[_Column] = (
    *_SALIENCY,
    ("IoU", at("results/iou"), 4),
    ("mIoU, painted", at("results/painted/miou"), 4),
    ("with background", at("results/painted/miou_with_background"), 4),
    _ACCURACY,
)
_FIGURES: Sequence[_Column] = (
    *_BESIDE_PAPER,
    ("gated map", at("results/image_level/gated_maximum/false_alarm_rate"), 3),
    ("head", at("results/image_level/class_head/false_alarm_rate"), 3),
    ("minutes", minutes, 1),
    ("images/s", rate, 0),
)
_OF_MAPS = (
    *(("MAE", "mae", 5), ("maxF", "max_f", 5), ("MAE, defective", "defective/mae", 5)),
    *(("maxF, defective", "defective/max_f", 5), ("IoU", "iou", 5), ("F1", "f1", 5), ("pixel AP", "pixel_ap", 5)),
    ("accuracy", "accuracy", 5),
)
_OF_CLASSES = (
    *(("images", "images", 0), ("MAE", "mae", 5), ("maxF", "max_f", 3), ("IoU", "iou", 3)),
    *(("pixel AP", "pixel_ap", 3), ("accuracy", "accuracy", 3), ("fired", "fired", 3)),
)


def runs_table(groups: Mapping[str, Sequence[Run]]) -> str:
    """A row for each run with all its seeds: what it was, test figures, and what it took."""
    header = ["run", "dataset", "split", "network", "recipe", "pixels", "rate", "seeds"]
    header += [*(title for title, _, _ in _FIGURES), "card"]
    rows = []
    for name, runs in groups.items():
        results = runs[0]["results"]
        seeds = ", ".join(str(run["seed"]) for run in runs)
        row = [name, results["dataset"], results["dataset_config"]]
        side, learning_rate = image_size_of(runs[0]), learning_rate_of(runs[0])
        row += [run_name(results), recipe_of(runs[0]["command"]), "" if side is None else str(side)]
        row += ["" if learning_rate is None else f"{learning_rate:g}", seeds]
        row += [cell([read(run) for run in runs], digits) for _, read, digits in _FIGURES]
        cards = dict.fromkeys(f"{run['card']['count'] or '?'} x {run['card']['kind']}" for run in runs if run["card"])
        rows.append([*row, "; ".join(cards)])
    return markdown(header, rows)


def table4_table(groups: Mapping[str, Sequence[Run]]) -> str:
    """A row for each run with all its seeds, those of a split together, beside the paper's for all test images."""
    return _beside_paper(groups, _BESIDE_PAPER, _of_table4)


def ablations_table(groups: Mapping[str, Sequence[Run]]) -> str:
    """The same beside the paper's Tables 2 and 3."""
    return _beside_paper(groups, _BESIDE_PAPER, ablation_of)


def surfaces_table(groups: Mapping[str, Sequence[Run]]) -> str:
    """The same of all datasets, beside the paper's Table 5, with the IoU of maps painted with their class."""
    return _beside_paper(groups, _OF_SURFACES, surface_of)


def _of_table4(results: Mapping[str, Any]) -> OfPaper | None:
    of_paper = (results["dataset"], results["dataset_config"]) == ("mtdd", "paper")
    published = published_numbers(run_name(results), of_paper)
    return OfPaper(f"{published.mae:.4f}", f"{published.max_f:.3f}") if published else None


def _beside_paper(
    groups: Mapping[str, Sequence[Run]],
    columns: Sequence[_Column],
    published: Callable[[Mapping[str, Any]], OfPaper | None],
) -> str:
    header = ["run", "dataset", "split", "network", "seeds", *(title for title, _, _ in columns)]
    header += ["paper: MAE", "maxF", "accuracy"]
    rows = []
    for own, runs in sorted(groups.items(), key=lambda group: group[1][0]["results"]["dataset_config"]):
        results = runs[0]["results"]
        seeds = ", ".join(str(run["seed"]) for run in runs)
        row = [own, results["dataset"], results["dataset_config"], run_name(results), seeds]
        row += [cell([read(run) for run in runs], digits) for _, read, digits in columns]
        rows.append([*row, *(published(results) or ("", "", ""))])
    return markdown(header, rows)


def outputs_table(runs: Sequence[Run]) -> str:
    """A row for each output of the network, coarse to final (Table 3 of the paper), gated and all-black maps."""
    last = len(runs[0]["results"]["outputs"]) - 1
    rows: dict[str, Sequence[Any]] = {
        f"{number} (final)" if number == last else str(number): [run["results"]["outputs"][number] for run in runs]
        for number in range(last + 1)
    }
    rows["gated"] = [run["results"].get("gated") for run in runs]
    # Of the images alone: the same for all seeds.
    rows["all black"] = [runs[0]["results"]["all_black"]]
    return _table("output", rows, _OF_MAPS)


def classes_table(runs: Sequence[Run]) -> str:
    """A row for the images of each class."""
    names = runs[0]["results"]["per_class"]
    rows = {name: [run["results"]["per_class"][name] for run in runs] for name in names}
    return _table("images of", rows, _OF_CLASSES)


def _table(first: str, rows: Mapping[str, Sequence[Any]], columns: Sequence[tuple[str, str, int]]) -> str:
    body = [
        [name, *(cell([at(path)(one) for one in seeds], digits) for _, path, digits in columns)]
        for name, seeds in rows.items()
    ]
    return markdown([first, *(title for title, _, _ in columns)], body)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows))


def curves_of(groups: Mapping[str, Sequence[Run]]) -> list[Curve]:
    """Validation maxF on defective images by step, a curve for each run with a line for each of its seeds."""
    return [
        Curve(
            name,
            [
                [
                    (line["step"], line["defective/max_f"])
                    for line in run["validation"]
                    if line.get("defective/max_f") is not None
                ]
                for run in runs
            ],
        )
        for name, runs in groups.items()
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a run, or of all its seeds (default: all)")
    parser.add_argument("--outputs", action="store_true", help="a table of every output, for each NAME")
    parser.add_argument("--classes", action="store_true", help="a table by class, for each NAME")
    parser.add_argument("--table4", action="store_true", help="one table, beside the paper's Table 4")
    parser.add_argument("--ablations", action="store_true", help="one table, beside the paper's Tables 2 and 3")
    parser.add_argument("--surfaces", action="store_true", help="one table of datasets, beside the paper's Table 5")
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help="draw the learning curves instead")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="(default: docs/results)")
    options = parser.parse_args(argv)
    wanted = [
        key
        for asked, key in ((options.outputs, "outputs"), (options.classes, "per_class"))
        if asked and not options.chart
    ]
    try:
        groups = by_seeds(runs_in(options.results), options.names)
        for name, runs in groups.items():
            for key in wanted:
                if not all(run["results"].get(key) for run in runs):
                    raise ValueError(f"{name} has no {key} in its results: leave it out")
        if options.chart:
            text = chart(curves_of(groups), "training step", "validation maxF, defective images")
            options.chart.write_text(text, encoding="utf-8")
            return
    except (OSError, ValueError) as error:
        parser.error(str(error))
    tables = [of for wanted, of in ((options.outputs, outputs_table), (options.classes, classes_table)) if wanted]
    of_paper = (options.table4, table4_table), (options.ablations, ablations_table), (options.surfaces, surfaces_table)
    beside = [of for wanted, of in of_paper if wanted]
    for beside_paper in beside if beside or tables else [runs_table]:
        print(beside_paper(groups))
    for name, runs in groups.items():
        for table in tables:
            print(f"{name}:\n\n{table(runs)}\n")


if __name__ == "__main__":
    main()
