"""Draws how well networks do by what they learn from, and by what they cost, from the runs in docs/results.

    python docs/results_charts.py masks [NAME ...] --output FILE.svg     # by the share of masks: data.mask_share
    python docs/results_charts.py images [NAME ...] --output FILE.svg    # by the number of images: data.train_images
    python docs/results_charts.py minutes [NAME ...] --output FILE.svg   # by the minutes of the whole run
    python docs/results_charts.py rate [NAME ...] --output FILE.svg      # by the images per second of its training
    python docs/results_charts.py latency [NAME ...] --speed SPEED.json --output FILE.svg
    python docs/results_charts.py prediction [NAME ...] --speed SPEED.json --output FILE.svg

A NAME is as in docs/results_tables.py, beside this file. Of the first two, runs that differ in that field and in their
seed alone are a curve: its line is the mean of the seeds, and each seed a dot; without a NAME, all such curves are
drawn. SPEED.json is what `benchmarks/speed.py --json` wrote on the machine in question, of the networks, sizes and
image sizes of the runs; several may be named, as one has a single network and image size.
"""

import argparse
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from kept_runs import OF_SEEDS, RESULTS, Run, by_seeds, image_size_of, runs_in, without_fields
from learning_curves import Curve, chart
from results_tables import at, minutes, rate


def _percent_of_masks(run: Run) -> float:
    # Results of earlier versions do not say it, since there was nothing else.
    share = at("results/trained_on/mask_share")(run)
    return 100.0 if share is None else 100 * share


_MEASURES = {"maxF, defective": at("results/defective/max_f"), "accuracy": at("results/accuracy")}

# The field that varies, how a run's place is read, and what the axis is.
_VARIED: Mapping[str, tuple[str, Callable[[Run], float | None], str]] = {
    "masks": (
        "data.mask_share",
        _percent_of_masks,
        "share of the defective training images whose mask is used, %",
    ),
    "images": ("data.train_images", at("results/trained_on/images"), "training images"),
}
_OF_RUNS: Mapping[str, tuple[Callable[[Run], float | None], str]] = {
    "minutes": (minutes, "minutes of the whole run"),
    "rate": (rate, "images per second of training"),
}
# Of a command: what the networks and images of benchmarks/speed.py do not have.
_NOT_TIMED = ("--config.model.", "--config.data.resize=tiles")

# Of files of earlier versions of benchmarks/speed.py, which do not say it: its default.
_TIMED_SIDE = 300

# The job of benchmarks/speed.py, which of its rows' figures, what to multiply it with, and the axis.
_OF_SPEED: Mapping[str, tuple[str, str, float, str]] = {
    "latency": ("latency", "seconds", 1e3, "latency of one image, ms"),
    "prediction": ("predict", "images_per_second", 1, "images per second of prediction"),
}


def scarcity_curves(groups: Mapping[str, Sequence[Run]], kind: str) -> list[Curve]:
    """maxF on defective images, and accuracy, by what the runs learn from.

    Args:
      groups: see `docs/kept_runs.by_seeds`.
      kind: `masks` or `images`.

    Returns:
      Two curves for each set of runs that differ in that alone, and in their seeds.

    Raises:
      ValueError: no two runs differ in that alone, or one does not say how many images it learnt from.
    """
    field, read, _ = _VARIED[kind]
    series: dict[frozenset[str], list[str]] = {}
    for name, runs in groups.items():
        # As in `by_seeds`, neither the order of the fields counts nor how often something is written down.
        command = frozenset(shlex.split(without_fields(runs[0]["command"], *OF_SEEDS, field)))
        series.setdefault(command, []).append(name)
    # Two runs may differ in nothing, as one that was made again.
    series = {command: names for command, names in series.items() if len({read(groups[name][0]) for name in names}) > 1}
    if not series:
        raise ValueError(f"no two runs differ in config.{field} alone: train more with benchmarks/recipes.py")
    curves = []
    for names in series.values():
        common = _beginning(names) if len(series) > 1 else ""
        for title, measure in _MEASURES.items():
            line, dots = [], []
            for name in names:
                places = {read(run) for run in groups[name]}
                if None in places:
                    raise ValueError(f"{name} does not say what it was trained on: evaluate it anew, and keep it again")
                values = [value for run in groups[name] if (value := measure(run)) is not None]
                # The same for all seeds.
                place = float(next(iter(places)))
                dots += [(place, value) for value in values]
                if values:
                    line.append((place, sum(values) / len(values)))
            curves.append(Curve(f"{common}: {title}" if common else title, [sorted(line)], dots))
    return curves


def _beginning(names: Sequence[str]) -> str:
    """What the names begin with in common, without the numbers and signs at its end."""
    alike = takewhile(lambda characters: len(set(characters)) == 1, zip(*names, strict=False))
    return "".join(characters[0] for characters in alike).rstrip("-_0123456789")


def cost_curves(groups: Mapping[str, Sequence[Run]], place: Callable[[Run], float | None]) -> list[Curve]:
    """maxF on defective images by a cost: dots of each run, one for each of its seeds.

    Args:
      groups: see `docs/kept_runs.by_seeds`.
      place: reads the cost of a run; those where it is None, as where nobody knows it, are left out.
    """
    measure = _MEASURES["maxF, defective"]
    curves = []
    for name, runs in groups.items():
        found = [(place(run), measure(run)) for run in runs]
        dots = [(across, up) for across, up in found if across is not None and up is not None]
        if dots:
            curves.append(Curve(name, [], dots))
    return curves


def read_speeds(paths: Sequence[Path]) -> dict[str, Any]:
    """What `benchmarks/speed.py --json` wrote in all of these files.

    Raises:
      ValueError: one is another file, or they are of several devices.
      OSError: one cannot be read.
    """
    speeds = [_read_speed(path) for path in paths]
    first = speeds[0]["device"]
    for path, speed in zip(paths, speeds, strict=True):
        if speed["device"] != first:
            raise ValueError(f"{path} is of {speed['device']}, {paths[0]} of {first}: draw a chart of each device")
    return {"device": first, "steps": [row for speed in speeds for row in speed["steps"]]}


def _read_speed(path: Path) -> dict[str, Any]:
    try:
        speed: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        used = {"network", "size", "job", "devices", "batch", "seconds"}
        if not speed["device"] or any(used - row.keys() for row in speed["steps"]):
            raise ValueError("a figure is missing")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no file that benchmarks/speed.py --json wrote: name one") from error
    return speed


def speed_of(speed: Mapping[str, Any], kind: str) -> Callable[[Run], float | None]:
    """Reads how fast a run's network is from what `benchmarks/speed.py --json` wrote.

    Of several batches of prediction the fastest counts. None for a network that was not timed: of another backbone,
    ablation or width than its size has, or without BatchNorm, of crops of another size or of tiles, or of a size that
    is not in the file, or where neither the run's command nor its recipe says how large its crops are.
    """
    job, key, factor, _ = _OF_SPEED[kind]

    def read(run: Run) -> float | None:
        results = run["results"]
        words = shlex.split(run["command"])
        changed = any("backbone=" in word or "norm=none" in word or word.startswith(_NOT_TIMED) for word in words)
        wanted = {"network": results["network"], "size": results["size"], "job": job, "devices": 1}
        side = image_size_of(run)
        rows = [row for row in speed["steps"] if row.get("image_size", _TIMED_SIDE) == side]
        rows = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
        if results["ablation"] or changed or not rows:
            return None
        return factor * min(rows, key=lambda row: row["seconds"] / row["batch"])[key]

    return read


def main(argv: Sequence[str] | None = None) -> None:
    """Draw what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=[*_VARIED, *_OF_RUNS, *_OF_SPEED], help="what the chart goes by")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a run, or of all its seeds (default: all)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.svg", help="the chart")
    parser.add_argument(
        "--speed", type=Path, nargs="+", metavar="SPEED.json", help="of benchmarks/speed.py, for these two"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="(default: docs/results)")
    options = parser.parse_args(argv)
    kind = options.kind
    if kind in _OF_SPEED and options.speed is None:
        parser.error(f"{kind} is measured by benchmarks/speed.py: name what its --json wrote with --speed")
    try:
        groups = by_seeds(runs_in(options.results), options.names)
        if kind in _VARIED:
            curves, across = scarcity_curves(groups, kind), _VARIED[kind][2]
        elif kind in _OF_RUNS:
            read, across = _OF_RUNS[kind]
            curves = cost_curves(groups, read)
        else:
            speed = read_speeds(options.speed)
            curves = cost_curves(groups, speed_of(speed, kind))
            across = f"{_OF_SPEED[kind][3]}, on {speed['device']}"
        up = "test: maxF, defective images, and accuracy" if kind in _VARIED else "test: maxF, defective images"
        # A share of masks may be 0; everything else differs by factors.
        text = chart(curves, across, up, logarithmic=kind != "masks")
    except (OSError, ValueError) as error:
        parser.error(str(error))
    options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
