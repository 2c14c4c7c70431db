"""How many test images of MTDD have their own tile in training, for every public split that can be had.

    python docs/split_leaks.py --mtdd DIR [--train NAME=FILE] [--test NAME=FILE]

DIR is the folder that holds MT_Free. A FILE names images, one a line (what follows a blank is not read): those that a
split of your own trains or tests on. With one of the two, all other images are the other part; with both, they are in
none. docs/data.md has the table, and says where each split is from.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dms_jax.data.datasets import mtdd
from dms_jax.data.datasets.base import LabelledImage
from dms_jax.errors import UserError

DIFFERNET_TRAIN = Path(__file__).parent / "splits" / "mtdd_differnet_train.txt"

# Exposures that PaddleSeg's QualityInspector tests on.
_LATER_EXPOSURES = ("exp5_", "exp6_")

Parts = Mapping[str, Sequence[LabelledImage]]


@dataclass(frozen=True)
class Leak:
    """What a split has of images and tiles.

    Attributes:
      images: of train, validation and test.
      tiles: the same.
      normal: test images without a defect whose own tile is in train or validation, and all of them; means over draws.
      defective: the same of the others.
    """

    images: tuple[int, int, int]
    tiles: tuple[int, int, int]
    normal: tuple[float, int]
    defective: tuple[float, int]


def leak_of(parts: Parts) -> Leak:
    """Count a split's images and tiles, and the test images that have their tile in train or validation.

    Args:
      parts: the images of `train`, `validation` and `test`; a part that is not there has none.
    """
    ordered = [parts.get(name, ()) for name in ("train", "validation", "test")]
    tiles = [{image.group for image in part} for part in ordered]
    seen = tiles[0] | tiles[1]

    def leaked(normal: bool) -> tuple[int, int]:
        chosen = [image for image in ordered[2] if (image.label == mtdd.Mtdd.FREE_CLASS) == normal]
        return sum(image.group in seen for image in chosen), len(chosen)

    images = tuple(map(len, ordered))
    return Leak(images, tuple(map(len, tiles)), leaked(True), leaked(False))


def named(images: Sequence[LabelledImage], file: Path) -> list[LabelledImage]:
    """The images that a file names, one a line, by their names without folder and extension.

    Raises:
      ValueError: a name is of no image.
    """
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip() and line[0] != "#"]
    stems = {Path(line.split()[0]).stem for line in lines}
    found = [image for image in images if Path(image.name).stem in stems]
    unknown = stems - {Path(image.name).stem for image in found}
    if unknown:
        raise ValueError(f"{file} names {min(unknown)} and {len(unknown) - 1} more that are no images of the dataset")
    return found


def split_of(
    images: Sequence[LabelledImage],
    train: Sequence[LabelledImage] | None = None,
    test: Sequence[LabelledImage] | None = None,
) -> Parts:
    """A split of which one part or both are known; all other images are the one that is not."""
    if train is None or test is None:
        known = {image.name for image in train or test or ()}
        others = [image for image in images if image.name not in known]
        train, test = (others if part is None else part for part in (train, test))
    return {"train": train, "test": test}


def published_splits(images: Sequence[LabelledImage]) -> dict[str, Parts]:
    """The splits that are told image by image."""
    later = [image for image in images if Path(image.name).name.startswith(_LATER_EXPOSURES)]
    return {
        "`paper`": mtdd.split_images(images, "paper"),
        "DifferNet": split_of(images, train=named(images, DIFFERNET_TRAIN)),
        "exposures 5 and 6": split_of(images, test=later),
        "`tiles`": mtdd.split_images(images, "tiles"),
    }


def drawn_leak(
    images: Sequence[LabelledImage], share: float, chosen_from: Callable[[str], bool], *, draws: int = 200
) -> Leak:
    """The mean leak of splits that are drawn at random, image by image.

    Args:
      images: all; what is not drawn trains, and classes that are not drawn from are in test.
      share: of every class that is drawn from, how much is for testing, 0..1.
      chosen_from: whether a class is drawn from.
      draws: how many splits are drawn.
    """
    generator = np.random.default_rng(0)
    classes = sorted({image.label for image in images})
    members = {label: [image for image in images if image.label == label] for label in classes}
    fixed = [image for label in classes if not chosen_from(label) for image in members[label]]
    leaks = []
    for _ in range(draws):
        train, test = [], list(fixed)
        for label in filter(chosen_from, classes):
            order = generator.permutation(len(members[label]))
            count = round(share * len(order))
            test += [members[label][i] for i in order[:count]]
            train += [members[label][i] for i in order[count:]]
        leaks.append(leak_of({"train": train, "test": test}))
    means = [
        (float(np.mean([getattr(leak, kind)[0] for leak in leaks])), getattr(leaks[0], kind)[1])
        for kind in ("normal", "defective")
    ]
    tiles = np.mean([leak.tiles for leak in leaks], axis=0).round().astype(int).tolist()
    return Leak(leaks[0].images, tuple(tiles), means[0], means[1])


def drawn_leaks(images: Sequence[LabelledImage], draws: int = 200) -> dict[str, Leak]:
    """The mean leaks of the ways in which this dataset is usually split at random."""
    free = mtdd.Mtdd.FREE_CLASS
    defective = [image for image in images if image.label != free]
    return {
        "random: a fifth of each class": drawn_leak(images, 0.2, lambda label: True, draws=draws),
        "random: a fifth of the defective": drawn_leak(defective, 0.2, lambda label: True, draws=draws),
        "random: a quarter of the normal, all defective": drawn_leak(
            images, 0.25, lambda label: label == free, draws=draws
        ),
    }


def table_of(leaks: Mapping[str, Leak]) -> str:
    """A row of Markdown for each split: images and, in brackets, tiles of each part, and what leaks."""
    header = ["split", "train", "validation", "test"]
    header += ["normal test images with their tile in training", "defective ones"]
    rows = [header, ["---"] * len(header)]
    for name, leak in leaks.items():
        parts = [f"{count} ({tiles})" if count else "" for count, tiles in zip(leak.images, leak.tiles, strict=True)]
        rows.append([name, *parts, *(_of(*pair) for pair in (leak.normal, leak.defective))])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _of(leaked: float, total: int) -> str:
    count = f"{leaked}" if isinstance(leaked, int) else f"{leaked:.1f}"
    return f"{count} of {total}" if total else ""


def _named_file(value: str) -> tuple[str, Path]:
    name, equals, file = value.partition("=")
    if not (name and equals and file):
        raise argparse.ArgumentTypeError(f"{value!r} is not NAME=FILE")
    return name, Path(file)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mtdd", type=Path, required=True, metavar="DIR", help="the folder that holds MT_Free")
    for part in ("train", "test"):
        parser.add_argument(
            f"--{part}", action="append", default=[], type=_named_file, metavar="NAME=FILE", help=f"images of {part}"
        )
    options = parser.parse_args(argv)
    try:
        images = mtdd.find_images(options.mtdd)
        splits = published_splits(images)
    except (UserError, ValueError) as error:
        parser.error(str(error).rstrip("."))
    files = {"train": dict(options.train), "test": dict(options.test)}
    for name in files["train"] | files["test"]:
        try:
            parts = {part: named(images, of[name]) for part, of in files.items() if name in of}
        except (OSError, ValueError) as error:
            parser.error(str(error))
        splits[name] = split_of(images, **parts)
    print(table_of({name: leak_of(parts) for name, parts in splits.items()} | drawn_leaks(images)))


if __name__ == "__main__":
    main()
