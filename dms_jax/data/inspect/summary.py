"""What is in a prepared dataset: counts, sizes and shares, and what is likely to be wrong with it."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dms_jax.data.image_files import DEFECT_THRESHOLD
from dms_jax.data.prepare import PreparedDataset
from dms_jax.tables import format_table

# A class with fewer training images than this is hardly learnt.
_FEW_TRAINING_IMAGES = 10
# So many images are named in a warning; the others are counted.
_NAMED = 10
# TFDS's label of an image without a class.
_UNLABELLED = -1


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
    """Looks at every image of a dataset once, and keeps a few numbers of each.

    Args:
      dataset: a prepared dataset.

    Returns:
      Its summary, with warnings of what is likely to be wrong with it.
    """
    images = {split: [_measure(example) for example in dataset.source(split)] for split in dataset.sizes}
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
            *_class_warnings(images, dataset.class_names),
            *_mask_warnings(images, free),
            *_copy_warnings(images),
        ),
    )


def summary_text(summary: DatasetSummary) -> str:
    """A summary for the terminal: images of each class, the splits' metrics, and the warnings, one line each."""
    columns = {**summary.splits, "all": summary.whole}
    rows = [
        ("images", lambda split: split.images),
        ("unlabelled", lambda split: split.unlabelled),
        ("without mask", lambda split: split.without_mask),
        ("defective images, %", lambda split: _percent(split.defective_images)),
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


@dataclass(frozen=True)
class _Image:
    """What is kept of an image; `defective` is the share of defective pixels, None where the mask is unknown."""

    name: str
    label: int
    size: tuple[int, int]
    defective: float | None
    mask_is_white: bool
    digest: bytes


def _measure(example: Mapping[str, Any]) -> _Image:
    # Without `has_mask`, the masks of all images are known.
    image, mask = example["image"], example["mask"]
    has_mask = example.get("has_mask", True)
    size = image.shape[:2]
    return _Image(
        name=example["name"],
        label=int(example["label"]),
        size=size,
        defective=float(np.mean(mask > DEFECT_THRESHOLD)) if has_mask else None,
        mask_is_white=bool(has_mask and mask.min() == 255),
        digest=hashlib.sha256(f"{size} ".encode() + image.tobytes()).digest(),
    )


def _summarise_split(images: Sequence[_Image], class_names: Sequence[str]) -> SplitSummary:
    labels = Counter(image.label for image in images)
    shares = [image.defective for image in images if image.defective is not None]
    sizes = sorted({image.size for image in images}, key=lambda size: (size[0] * size[1], size))
    return SplitSummary(
        images=len(images),
        classes={name: labels[index] for index, name in enumerate(class_names)},
        unlabelled=labels[_UNLABELLED],
        without_mask=len(images) - len(shares),
        defective_images=float(np.mean([share > 0 for share in shares])) if shares else None,
        defective_pixels=float(np.mean(shares)) if shares else None,
        smallest=sizes[0] if sizes else None,
        largest=sizes[-1] if sizes else None,
        sizes=len(sizes),
    )


def _class_warnings(images: Mapping[str, Sequence[_Image]], class_names: Sequence[str]) -> Iterator[str]:
    counts = {split: Counter(image.label for image in members) for split, members in images.items()}
    used = [name for label, name in enumerate(class_names) if any(count[label] for count in counts.values())]
    if len(used) == 1:
        yield f"{used[0]} is the only class, so that there is nothing to classify."
    few = [
        f"{name} ({counts['train'][label]})"
        for label, name in enumerate(class_names)
        if 0 < counts["train"][label] < _FEW_TRAINING_IMAGES
    ]
    if few:
        yield f"Classes with fewer than {_FEW_TRAINING_IMAGES} training images: {_listed(few)}."
    for split, count in counts.items():
        absent = [name for label, name in enumerate(class_names) if not count[label]]
        if len(absent) == len(class_names):
            yield f"No image of {split} has a class."
        elif absent:
            yield f"Classes without an image in {split}: {_listed(absent)}."


def _mask_warnings(images: Mapping[str, Sequence[_Image]], free_class: int | None) -> Iterator[str]:
    masked = [image for members in images.values() for image in members if image.defective is not None]
    empty = [image.name for image in masked if image.label not in (_UNLABELLED, free_class) and not image.defective]
    if empty:
        yield f"{_are(len(empty))} of a defective class, but the mask has no pixel above 127: {_listed(sorted(empty))}."
    marked = [image.name for image in masked if image.label == free_class and image.defective]
    if marked:
        yield f"{_are(len(marked))} of the defect-free class, but the mask is not empty: {_listed(sorted(marked))}."
    white = [image.name for image in masked if image.mask_is_white]
    if white:
        yield f"{_are(len(white))} defective everywhere, for the mask is all 255: {_listed(sorted(white))}."
    if not any(image.defective for image in images["validation"]):
        yield "No mask of validation shows a defect, so that no operating threshold can be chosen on it."


def _copy_warnings(images: Mapping[str, Sequence[_Image]]) -> Iterator[str]:
    first: dict[bytes, str] = {}
    pairs = []
    for split, members in images.items():
        # Only the splits before are known yet, so that a copy in the same split does not hide one across splits.
        pairs += [f"{image.name} ({split}) = {first[image.digest]}" for image in members if image.digest in first]
        for image in members:
            first.setdefault(image.digest, f"{image.name} ({split})")
    if pairs:
        yield f"{_are(len(pairs))} identical to one in another split, which inflates the metrics: {_listed(pairs)}."
    for split, members in images.items():
        copies = len(members) - len({image.digest for image in members})
        if copies:
            yield f"In {split}, {_are(copies)} identical to another one."


def _are(count: int) -> str:
    return "1 image is" if count == 1 else f"{count} images are"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _size(size: tuple[int, int] | None) -> str | None:
    return None if size is None else f"{size[0]} x {size[1]}"
