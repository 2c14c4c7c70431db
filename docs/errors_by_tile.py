"""Prints which groups of test images get a wrong name: python docs/errors_by_tile.py RUN ... [--manual-dir DIR].

A group is what shows the same thing, such as a tile of MTDD under several exposures. Of runs on one dataset, as of
several seeds, a row for each group with a wrong name, most of them first: its images, their labels, how many of all
names are wrong and what they are instead, the share of the images that fire by the map's maximum, and MAE and IoU of
the maps. Images without a label have no wrong name. A RUN needs config.json, run.json, eval/test.csv and
eval/test.json, and its dataset has to be there, or what it is prepared from.
"""

import argparse
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from results_tables import markdown
from tested_runs import add_places, groups_of_test, results_of, rows_of_images

from dms_jax.errors import UserError


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


def image_results(workdir: Path, threshold: int | None) -> list[ImageResult]:
    """The test images of a run, with its operating threshold.

    Raises:
      UserError: it has not been tested.
    """
    return [
        ImageResult(
            row["name"],
            row["label"],
            row["predicted"],
            None if threshold is None else float(row["maximum"]) > threshold,
            float(row["mae"]) if row["mae"] else None,
            float(row["iou"]) if row["iou"] and row["defective"] == "1" else None,
        )
        for row in rows_of_images(workdir)
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


def _counted(names: Iterable[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in Counter(names).most_common())


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the runs, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a work directory")
    add_places(parser)
    chosen = parser.parse_args(arguments)
    try:
        images = [
            image
            for run, results in zip(chosen.runs, results_of(chosen.runs), strict=True)
            for image in image_results(run, results["operating_threshold"]["value"])
        ]
        tested = (image.name for image in images)
        group_of = groups_of_test(chosen.runs[0], tested, chosen.data_dir, chosen.manual_dir)
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
