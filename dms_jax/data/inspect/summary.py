"""What is in a prepared dataset: counts, sizes and shares, and what is likely to be wrong with it."""

import contextlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dms_jax.data.facts import UNLABELLED, ImageFacts, measure
from dms_jax.data.inspect.warnings import class_warnings, copy_warnings, image_warnings, mask_warnings, range_warnings
from dms_jax.data.prepared import PreparedDataset
from dms_jax.tables import format_table
from dms_jax.whole_files import write_whole

# Beside the dataset. Its version changes when the warnings or the numbers do: another version's is computed anew.
SUMMARY_NAME = "summary.json"
_VERSION = 3


@dataclass(frozen=True)
class SplitSummary:
    """Counts, shares and sizes of one split, or of all together.

    Attributes:
      images: how many.
      classes: number of images of each class, every class of the dataset named, in the order of their indices.
      unlabelled: number of images without a class.
      without_mask: number of images whose mask is unknown; the two shares leave them out.
      defective_images: share of the images with a defective pixel (mask > 127), 0..1; None where there is no mask.
      defective_pixels: share of defective pixels in an image, averaged over the images, 0..1; None where there is no
        mask.
      smallest: (H, W) of the image with the fewest pixels; None without images.
      largest: (H, W) of the image with the most pixels; None without images.
      sizes: number of different sizes.
    """

    images: int
    classes: Mapping[str, int]
    unlabelled: int
    without_mask: int
    defective_images: float | None
    defective_pixels: float | None
    smallest: tuple[int, int] | None
    largest: tuple[int, int] | None
    sizes: int


@dataclass(frozen=True)
class DatasetSummary:
    """What is in a prepared dataset.

    Attributes:
      dataset: the dataset's name.
      config: the name of its configuration.
      directory: where it is on disk.
      free_class: the defect-free class; None where every image has a defect.
      splits: the summaries of `train`, `validation` and `test`.
      whole: the summary of the three together.
      warnings: what is likely to be wrong, one sentence each.
    """

    dataset: str
    config: str
    directory: str
    free_class: str | None
    splits: Mapping[str, SplitSummary]
    whole: SplitSummary
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The same as nested dicts, which `json.dumps` takes.

        `pictures`, what `images` was called in earlier versions' files, is there too: scripts read it.
        """
        nested = asdict(self)
        for split in (nested["whole"], *nested["splits"].values()):
            split["pictures"] = split["images"]
        return nested


def summarise(dataset: PreparedDataset) -> DatasetSummary:
    """What is in a dataset: read from the file beside it, or else found by looking at every image once.

    A dataset gets that file when it is prepared; where it lacks it, is not whole, or is of another version, it is
    written now, if it can be.

    Args:
      dataset: a prepared dataset.

    Returns:
      Its summary, with warnings of what is likely to be wrong with it.

    Raises:
      UserError: the file is not there, and the dataset is damaged.
    """
    directory = Path(dataset.directory)
    try:
        return _read(directory, dataset)
    except (OSError, ValueError, KeyError, TypeError):
        images = {split: [_facts(example) for example in dataset.source(split)] for split in dataset.sizes}
        return keep_summary(dataset, images)


def keep_summary(dataset: PreparedDataset, images: Mapping[str, Sequence[ImageFacts]]) -> DatasetSummary:
    """Makes a dataset's summary and writes it beside the dataset, where `summarise` finds it, if it can be written.

    Args:
      dataset: a prepared dataset.
      images: what is known of the images of each split, in the order of its examples.

    Returns:
      The summary.
    """
    summary = _summary(dataset, images)
    directory = Path(dataset.directory)
    # A dataset made by hand has no directory.
    if directory.is_dir():
        kept = {"version": _VERSION, **asdict(summary)}
        with contextlib.suppress(OSError):
            write_whole(directory / SUMMARY_NAME, lambda file: file.write(json.dumps(kept, indent=2).encode()))
    return summary


def _summary(dataset: PreparedDataset, images: Mapping[str, Sequence[ImageFacts]]) -> DatasetSummary:
    merged = [image for members in images.values() for image in members]
    free = dataset.free_class
    return DatasetSummary(
        dataset=dataset.name,
        config=dataset.config,
        directory=str(dataset.directory),
        free_class=None if free is None else dataset.class_names[free],
        splits={split: _summarise_split(members, dataset.class_names) for split, members in images.items()},
        whole=_summarise_split(merged, dataset.class_names),
        warnings=(
            *class_warnings(
                {split: [image.label for image in members] for split, members in images.items()}, dataset.class_names
            ),
            *mask_warnings(images, free),
            *copy_warnings(images),
            *range_warnings(images),
            *image_warnings(images),
        ),
    )


def _read(directory: Path, dataset: PreparedDataset) -> DatasetSummary:
    """The summary kept beside a dataset.

    Raises:
      OSError: there is none.
      ValueError, KeyError or TypeError: it is not whole, of another version, or of another dataset.
    """
    kept = json.loads((directory / SUMMARY_NAME).read_text(encoding="utf-8"))
    splits = {name: _read_split(split) for name, split in kept["splits"].items()}
    sizes = {name: split.images for name, split in splits.items()}
    if kept["version"] != _VERSION or sizes != dict(dataset.sizes):
        raise ValueError(f"{directory / SUMMARY_NAME} is of another version or dataset")
    return DatasetSummary(
        dataset=dataset.name,
        config=dataset.config,
        # The dataset may have been moved.
        directory=str(directory),
        free_class=kept["free_class"],
        splits=splits,
        whole=_read_split(kept["whole"]),
        warnings=tuple(kept["warnings"]),
    )


def _read_split(kept: Mapping[str, Any]) -> SplitSummary:
    split = SplitSummary(**kept)
    smallest, largest = (None if size is None else tuple(size) for size in (split.smallest, split.largest))
    return replace(split, smallest=smallest, largest=largest)


def _facts(example: Mapping[str, Any]) -> ImageFacts:
    # Without `has_mask`, the masks of all images are known.
    mask = example["mask"] if example.get("has_mask", True) else None
    return ImageFacts(example["name"], int(example["label"]), measure(example["image"], mask))


def summary_text(summary: DatasetSummary) -> str:
    """A summary for the terminal: images of each class, the splits' metrics, and the warnings, one line each."""
    columns = {**summary.splits, "all": summary.whole}
    rows = [
        ("images", lambda split: split.images),
        ("unlabelled", lambda split: split.unlabelled),
        ("without mask", lambda split: split.without_mask),
        ("defective by mask, %", lambda split: _percent(split.defective_images)),
        ("defective pixels, %", lambda split: _percent(split.defective_pixels)),
        ("smallest, height x width", lambda split: _size(split.smallest)),
        ("largest, height x width", lambda split: _size(split.largest)),
        ("different sizes", lambda split: split.sizes),
    ]
    classes = [[name, *(split.classes[name] for split in columns.values())] for name in summary.whole.classes]
    metrics = [[name, *map(metric, columns.values())] for name, metric in rows]
    parts = [
        f"{summary.dataset} ({summary.config}) in {summary.directory}\n"
        f"defect-free class: {summary.free_class or 'none'}",
        format_table(["class", *columns], classes),
        format_table(["metric", *columns], metrics, precision=3),
    ]
    if summary.warnings:
        parts.append("\n".join(f"Warning: {warning}" for warning in summary.warnings))
    return "\n\n".join(parts)


def _summarise_split(images: Sequence[ImageFacts], class_names: Sequence[str]) -> SplitSummary:
    labels = Counter(image.label for image in images)
    shares = [image.pixels.defective for image in images if image.pixels.defective is not None]
    sizes = sorted({image.pixels.size for image in images}, key=lambda size: (size[0] * size[1], size))
    return SplitSummary(
        images=len(images),
        classes={name: labels[index] for index, name in enumerate(class_names)},
        unlabelled=labels[UNLABELLED],
        without_mask=len(images) - len(shares),
        defective_images=float(np.mean([share > 0 for share in shares])) if shares else None,
        defective_pixels=float(np.mean(shares)) if shares else None,
        smallest=sizes[0] if sizes else None,
        largest=sizes[-1] if sizes else None,
        sizes=len(sizes),
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _size(size: tuple[int, int] | None) -> str | None:
    return None if size is None else f"{size[0]} x {size[1]}"
