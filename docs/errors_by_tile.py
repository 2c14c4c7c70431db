"""Prints which groups of test images get a wrong name: python docs/errors_by_tile.py RUN ... [--manual-dir DIR].

A group is what shows the same thing, such as a tile of MTDD under several exposures. Of runs on one dataset, as of
several seeds, a row for each group with a wrong name, most of them first: its images, their labels, how many of all
names are wrong and what they are instead, the share of the images that fire by the map's maximum, and MAE and IoU of
the maps. Images without a label have no wrong name. A RUN needs config.json, run.json, eval/test.csv and
eval/test.json, and its dataset has to be there, or what it is prepared from.
"""

import argparse
import csv
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results_tables import markdown

from dms_jax.errors import UserError
from dms_jax.runs.config.saved import load_run
from dms_jax.runs.dataset import reopen_dataset
from dms_jax.runs.description import DESCRIPTION_NAME, RunDescription
from dms_jax.runs.results import load_results
from dms_jax.tables import harmless


@dataclass(frozen=True)
class ImageResult:
    """A row of `eval/test.csv`.

    Attributes:
      name: of the image.
      label: its class; empty where it is unknown.
      predicted: the class that it was called; empty where the network has no class heads.
      fired: whether a pixel of its map is above the operating threshold; None where there is none.
      mae: of its map; None where its mask is unknown.
      iou: of its map at that threshold; None where it has no defect, or there is no threshold.
    """

    name: str
    label: str
    predicted: str
    fired: bool | None
    mae: float | None
    iou: float | None

    @property
    def is_named(self) -> bool:
        """Whether its name can be right or wrong."""
        return bool(self.label and self.predicted)

    @property
    def is_wrong(self) -> bool:
        """Whether it has a wrong name."""
        return self.is_named and self.label != self.predicted


def run_results(workdir: Path) -> dict[str, Any]:
    """What a run came to on its test images.

    Raises:
      UserError: it has not been tested, or the file is damaged.
    """
    results = load_results(workdir, "test")
    if results is None:
        raise untested(workdir / "eval" / "test.json")
    return results


def image_results(workdir: Path, threshold: int | None) -> list[ImageResult]:
    """The test images of a run, with its operating threshold.

    Raises:
      UserError: it has not been tested.
    """
    path = workdir / "eval" / "test.csv"
    try:
        # A file's name need not be UTF-8.
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError as error:
        raise untested(path) from error
    return [
        ImageResult(
            row["name"],
            row["label"],
            row["predicted"],
            None if threshold is None else float(row["maximum"]) > threshold,
            float(row["mae"]) if row["mae"] else None,
            float(row["iou"]) if row["iou"] and row["defective"] == "1" else None,
        )
        for row in rows
    ]


def rows_of_groups(images: Iterable[ImageResult], group_of: Mapping[str, str]) -> list[list[str]]:
    """The table's rows; see the module.

    Args:
      images: of all runs.
      group_of: the group of each name.
    """
    groups: dict[str, list[ImageResult]] = defaultdict(list)
    for image in images:
        groups[group_of[image.name]].append(image)
    wrong = {name: [image for image in own if image.is_wrong] for name, own in groups.items()}
    rows = []
    for name in sorted(groups, key=lambda name: (-len(wrong[name]), name)):
        own = groups[name]
        if not wrong[name]:
            continue
        labels = dict(sorted((image.name, image.label or "no label") for image in own))
        maes = [image.mae for image in own if image.mae is not None]
        ious = [image.iou for image in own if image.iou is not None]
        fired = [image.fired for image in own if image.fired is not None]
        rows.append(
            [
                name,
                str(len(labels)),
                _counted(labels.values()),
                f"{len(wrong[name])} of {sum(image.is_named for image in own)}",
                _counted(image.predicted for image in wrong[name]),
                f"{statistics.mean(fired):.2f}" if fired else "",
                f"{statistics.mean(maes):.4f}" if maes else "",
                f"{statistics.mean(ious):.3f}" if ious else "",
            ]
        )
    return rows


def groups_of_test(workdir: Path, data_dir: str | None = None, manual_dir: str | None = None) -> dict[str, str]:
    """The group of each test image, by its name as in `eval/test.csv`.

    Args:
      workdir: of a run.
      data_dir: where prepared datasets are kept; None for where the run had it.
      manual_dir: the dataset as published; None for where the run had it.

    Raises:
      UserError: there is no run, or its dataset cannot be had or has other images now.
    """
    config, description = load_run(workdir), RunDescription.load(workdir)
    if description is None:
        raise UserError(f"{workdir / DESCRIPTION_NAME} is missing: train the run anew.")
    with config.unlocked():
        config.data.manual_dir = manual_dir or config.data.manual_dir
        config.data.data_dir = data_dir or config.data.data_dir
    dataset, _ = reopen_dataset(config, description, elsewhere=bool(data_dir or manual_dir))
    source = dataset.source("test")
    return dict(zip(map(harmless, source.names()), source.groups(), strict=True))


def untested(missing: Path) -> UserError:
    """That a run lacks a file which its test writes."""
    return UserError(f"{missing} is missing: test the run first, with dms-jax evaluate.")


def refuse_other_images(tests: Sequence[tuple[Path, Mapping[str, Any]]]) -> None:
    """Refuse what was tested on other images than the first, or on no test images.

    Args:
      tests: work directories, and their `eval/test.json`.

    Raises:
      UserError: a run was tested on another dataset or split.
    """
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


def _counted(names: Iterable[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in Counter(names).most_common())


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the runs, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a work directory")
    parser.add_argument("--manual-dir", metavar="DIR", help="where the dataset as published lies now")
    parser.add_argument("--data-dir", metavar="DIR", help="where prepared datasets are kept now")
    chosen = parser.parse_args(arguments)
    try:
        for run in chosen.runs:
            load_run(run)
        tests = [(run, run_results(run)) for run in chosen.runs]
        images = [
            image for run, results in tests for image in image_results(run, results["operating_threshold"]["value"])
        ]
        refuse_other_images(tests)
        group_of = groups_of_test(chosen.runs[0], chosen.data_dir, chosen.manual_dir)
        unknown = {image.name for image in images} - group_of.keys()
        if unknown:
            raise UserError(f"{min(unknown)} is no test image of {chosen.runs[0]}: name runs on one dataset.")
        named = sum(image.is_named for image in images)
        if not named:
            raise UserError("no image has both a label and a predicted class, so that no name is right or wrong.")
    except UserError as error:
        print(f"errors_by_tile.py: {error}", file=sys.stderr)
        return 1
    header = ["group", "images", "labels", "wrong", "called", "fired", "MAE", "IoU, defective"]
    rows = rows_of_groups(images, group_of)
    print(markdown(header, rows))
    wrong = sum(image.is_wrong for image in images)
    groups = len({group_of[image.name] for image in images})
    print(f"\n{wrong} of {named} names are wrong, in {len(rows)} of {groups} groups.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
