"""What is in a prepared dataset: counts, sizes and shares, and what is likely to be wrong with it."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dms_jax.data.prepare import PreparedDataset
from dms_jax.data.source import DEFECT_THRESHOLD
from dms_jax.evaluation.tables import format_table

# A class with fewer training pictures than this is hardly learnt.
_FEW_TRAINING_PICTURES = 10
# So many pictures are named in a warning; the others are counted.
_NAMED = 10
# TFDS's label of a picture without a class.
_UNLABELLED = -1


@dataclass(frozen=True)
class SplitSummary:
    """The figures of one split, or of all together.

    Attributes:
        pictures: how many.
        classes: number of pictures of each class, every class of the dataset named, in the order of their indices.
        unlabelled: number of pictures without a class.
        without_mask: number of pictures whose mask is unknown; the two shares leave them out.
        defective_pictures: share of the pictures with a defective pixel (mask > 127), 0..1; None where there is no
            mask.
        defective_pixels: share of defective pixels in a picture, averaged over the pictures, 0..1; None where there is
            no mask.
        smallest: (H, W) of the picture with the fewest pixels; None without pictures.
        largest: (H, W) of the picture with the most pixels; None without pictures.
        sizes: number of different sizes.
    """

    pictures: int
    classes: Mapping[str, int]
    unlabelled: int
    without_mask: int
    defective_pictures: float | None
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
        free_class: the class without defects; None where every picture has one.
        splits: the figures of `train`, `validation` and `test`.
        whole: the figures of the three together.
        warnings: what is likely to be wrong, a sentence each.
    """

    dataset: str
    config: str
    directory: str
    free_class: str | None
    splits: Mapping[str, SplitSummary]
    whole: SplitSummary
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The same as nested dicts, which `json.dumps` takes."""
        return asdict(self)


def summarise(dataset: PreparedDataset) -> DatasetSummary:
    """Looks at every picture of a dataset once, and keeps a few numbers of each.

    Args:
        dataset: a prepared dataset.

    Returns:
        Its figures, and warnings of what is likely to be wrong with it.
    """
    pictures = {split: [_measure(example) for example in dataset.source(split)] for split in dataset.sizes}
    merged = [picture for members in pictures.values() for picture in members]
    free = dataset.free_class
    return DatasetSummary(
        dataset=dataset.name,
        config=dataset.config,
        directory=str(dataset.directory),
        free_class=None if free is None else dataset.class_names[free],
        splits={split: _summarise_split(members, dataset.class_names) for split, members in pictures.items()},
        whole=_summarise_split(merged, dataset.class_names),
        warnings=(
            *_class_warnings(pictures, dataset.class_names),
            *_mask_warnings(pictures, free),
            *_copy_warnings(pictures),
        ),
    )


def summary_text(summary: DatasetSummary) -> str:
    """A summary for the terminal: classes by split, the splits' figures, and the warnings, one line each."""
    columns = {**summary.splits, "all": summary.whole}
    rows = [
        ("pictures", lambda split: split.pictures),
        ("unlabelled", lambda split: split.unlabelled),
        ("without mask", lambda split: split.without_mask),
        ("defective pictures, %", lambda split: _percent(split.defective_pictures)),
        ("defective pixels, %", lambda split: _percent(split.defective_pixels)),
        ("smallest, height x width", lambda split: _size(split.smallest)),
        ("largest, height x width", lambda split: _size(split.largest)),
        ("different sizes", lambda split: split.sizes),
    ]
    classes = [[name, *(split.classes[name] for split in columns.values())] for name in summary.whole.classes]
    figures = [[name, *map(figure, columns.values())] for name, figure in rows]
    parts = [
        f"{summary.dataset} ({summary.config}) in {summary.directory}\n"
        f"class without defects: {summary.free_class or 'none'}",
        format_table(["class", *columns], classes),
        format_table(["figure", *columns], figures, precision=3),
    ]
    if summary.warnings:
        parts.append("\n".join(f"Warning: {warning}" for warning in summary.warnings))
    return "\n\n".join(parts)


@dataclass(frozen=True)
class _Picture:
    """What is kept of a picture; `defective` is the share of defective pixels, None where the mask is unknown."""

    name: str
    label: int
    size: tuple[int, int]
    defective: float | None
    mask_is_white: bool
    digest: bytes


def _measure(example: Mapping[str, Any]) -> _Picture:
    # A source without `has_mask` knows the masks of all pictures.
    image, mask = example["image"], example["mask"]
    has_mask = example.get("has_mask", True)
    size = image.shape[:2]
    return _Picture(
        name=example["name"],
        label=int(example["label"]),
        size=size,
        defective=float(np.mean(mask > DEFECT_THRESHOLD)) if has_mask else None,
        mask_is_white=bool(has_mask and mask.min() == 255),
        digest=hashlib.sha256(f"{size} ".encode() + image.tobytes()).digest(),
    )


def _summarise_split(pictures: Sequence[_Picture], class_names: Sequence[str]) -> SplitSummary:
    labels = Counter(picture.label for picture in pictures)
    shares = [picture.defective for picture in pictures if picture.defective is not None]
    sizes = sorted({picture.size for picture in pictures}, key=lambda size: (size[0] * size[1], size))
    return SplitSummary(
        pictures=len(pictures),
        classes={name: labels[index] for index, name in enumerate(class_names)},
        unlabelled=labels[_UNLABELLED],
        without_mask=len(pictures) - len(shares),
        defective_pictures=float(np.mean([share > 0 for share in shares])) if shares else None,
        defective_pixels=float(np.mean(shares)) if shares else None,
        smallest=sizes[0] if sizes else None,
        largest=sizes[-1] if sizes else None,
        sizes=len(sizes),
    )


def _class_warnings(pictures: Mapping[str, Sequence[_Picture]], class_names: Sequence[str]) -> Iterator[str]:
    counts = {split: Counter(picture.label for picture in members) for split, members in pictures.items()}
    used = [name for label, name in enumerate(class_names) if any(count[label] for count in counts.values())]
    if len(used) == 1:
        yield f"{used[0]} is the only class, so that there is nothing to classify."
    few = [
        f"{name} ({counts['train'][label]})"
        for label, name in enumerate(class_names)
        if 0 < counts["train"][label] < _FEW_TRAINING_PICTURES
    ]
    if few:
        yield f"Classes with fewer than {_FEW_TRAINING_PICTURES} training pictures: {_listed(few)}."
    for split, count in counts.items():
        absent = [name for label, name in enumerate(class_names) if not count[label]]
        if len(absent) == len(class_names):
            yield f"No picture of {split} has a class."
        elif absent:
            yield f"Classes without a picture in {split}: {_listed(absent)}."


def _mask_warnings(pictures: Mapping[str, Sequence[_Picture]], free_class: int | None) -> Iterator[str]:
    masked = [picture for members in pictures.values() for picture in members if picture.defective is not None]
    empty = [p.name for p in masked if p.label not in (_UNLABELLED, free_class) and not p.defective]
    if empty:
        yield f"{_are(len(empty))} of a defective class, but the mask has no pixel above 127: {_listed(sorted(empty))}."
    marked = [p.name for p in masked if p.label == free_class and p.defective]
    if marked:
        yield f"{_are(len(marked))} of the class without defects, but the mask is not empty: {_listed(sorted(marked))}."
    white = [p.name for p in masked if p.mask_is_white]
    if white:
        yield f"{_are(len(white))} defective everywhere, for the mask is all 255: {_listed(sorted(white))}."
    if not any(picture.defective for picture in pictures["validation"]):
        yield "No mask of validation shows a defect, so that no operating threshold can be chosen on it."


def _copy_warnings(pictures: Mapping[str, Sequence[_Picture]]) -> Iterator[str]:
    first: dict[bytes, str] = {}
    pairs = []
    for split, members in pictures.items():
        # Only the splits before are known yet, so that a copy in the same split does not hide one across splits.
        pairs += [f"{p.name} ({split}) = {first[p.digest]}" for p in members if p.digest in first]
        for picture in members:
            first.setdefault(picture.digest, f"{picture.name} ({split})")
    if pairs:
        yield f"{_are(len(pairs))} identical to one of another split, which flatters the figures: {_listed(pairs)}."
    for split, members in pictures.items():
        copies = len(members) - len({picture.digest for picture in members})
        if copies:
            yield f"In {split}, {_are(copies)} identical to another one of it."


def _are(count: int) -> str:
    return "1 picture is" if count == 1 else f"{count} pictures are"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _size(size: tuple[int, int] | None) -> str | None:
    return None if size is None else f"{size[0]} x {size[1]}"
