"""Which mask belongs to which image, by their names and places."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path

from dms_jax.data.class_names import is_free_name
from dms_jax.data.datasets.folder.roles import masked_names


@dataclass(frozen=True)
class Place:
    """Where a file lies, as far as folders' names say.

    Attributes:
      path: the file.
      split: `train`, `validation` or `test`; None where no folder says it.
      label: the class; None where no folder says it.
      below: folders within the class.
      stem: its name without ending, in composed characters.
      tested: it lies in MVTec AD's folder of the masks of test images.
      among_images: it lies in a folder of images, by its name.
    """

    path: Path
    split: str | None
    label: str | None
    below: tuple[str, ...]
    stem: str
    tested: bool = False
    among_images: bool = False


@dataclass
class Pairing:
    """The masks of each image, and those that belong to none.

    Attributes:
      masks: of each image, several where they are parts of one.
      clashes: images with several masks that are not.
      ambiguous: masks that could belong to several images, with these.
      unmatched: masks of no image.
      notes: how masks were found, one sentence each.
    """

    masks: dict[Place, list[Place]] = field(default_factory=dict)
    clashes: dict[Place, list[Place]] = field(default_factory=dict)
    ambiguous: dict[Place, list[Place]] = field(default_factory=dict)
    unmatched: list[Place] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def pair_masks(images: Sequence[Place], masks: Sequence[Place], *, has_splits: bool) -> Pairing:
    """Find the image of each mask.

    A mask belongs to the image of its name (or of its name without `_mask` and the like, or a number) in its split and
    its class; where its folders say neither, to the only image of that name. Of several images that differ in their
    class, the only one that is not free of defects by its class's name has it. What the names of a folder's masks
    all end with besides may be anything.

    Args:
      images: all images.
      masks: all masks.
      has_splits: whether folders name splits.
    """
    by_stem: dict[str, list[Place]] = defaultdict(list)
    numbered: set[tuple[str, str | None]] = set()
    for image in images:
        by_stem[image.stem].append(image)
        # Where there is an image 1_2, what is called 1_3 is of an image that is missing, and no third mask of 1.
        numbered |= {(name, image.label) for name, is_part in masked_names(image.stem) if is_part}
    pairing = Pairing()
    found: dict[Place, list[tuple[Place, bool]]] = defaultdict(list)
    left = []
    for mask in masks:
        if mask.tested and has_splits and mask.split is None:
            mask = replace(mask, split="test")
        owners, is_part = _owners(mask, by_stem, numbered)
        _assign(mask, owners, is_part, found, pairing, left)
    for folder, members in _by_folder(left).items():
        renamed = _without_common_suffix(members)
        if renamed and all(len(_owners(other, by_stem, numbered)[0]) == 1 for other in renamed):
            for mask, other in zip(members, renamed, strict=True):
                _assign(mask, *_owners(other, by_stem, numbered), found, pairing, [])
            pairing.notes.append(
                f"The masks in {folder} are taken for those of the images that are named like "
                f"{members[0].path.name} without {members[0].stem.removeprefix(renamed[0].stem)}."
            )
        else:
            pairing.unmatched += members
    for image, owned in found.items():
        parts = [mask for mask, _ in owned]
        if sum(not is_part for _, is_part in owned) > 1:
            pairing.clashes[image] = parts
        else:
            pairing.masks[image] = parts
    united = sum(len(parts) > 1 for parts in pairing.masks.values())
    if united:
        pairing.notes.append(f"{united} images have several masks, which are united.")
    return pairing


def _assign(
    mask: Place,
    owners: list[Place],
    is_part: bool,
    found: dict[Place, list[tuple[Place, bool]]],
    pairing: Pairing,
    left: list[Place],
) -> None:
    if len(owners) == 1:
        found[owners[0]].append((mask, is_part))
    elif owners:
        pairing.ambiguous[mask] = owners
    else:
        left.append(mask)


def _owners(
    mask: Place, by_stem: dict[str, list[Place]], numbered: set[tuple[str, str | None]]
) -> tuple[list[Place], bool]:
    """The images that a mask may belong to, and whether it is one of several masks of its image."""
    for name, below, is_part in _names(mask):
        fitting = [
            image
            for image in by_stem.get(name, ())
            if _fits(mask, below, image) and not (is_part and (name, image.label) in numbered)
        ]
        if len(fitting) > 1:
            defective = [image for image in fitting if image.label is None or not is_free_name(image.label)]
            fitting = defective if len(defective) == 1 else fitting
        if fitting:
            return fitting, is_part
    return [], False


def _names(mask: Place) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    yield mask.stem, mask.below, False
    for name, is_part in masked_names(mask.stem):
        yield name, mask.below, is_part
    if mask.below:
        # A folder for each image's masks, as MVTec LOCO AD has them.
        yield mask.below[-1], mask.below[:-1], True


def _fits(mask: Place, below: tuple[str, ...], image: Place) -> bool:
    if mask.split is not None and mask.split != image.split:
        return False
    if mask.label is None:
        # A flat folder of masks for all classes.
        return not below or below == image.below
    return mask.label == image.label and below == image.below


def _by_folder(masks: Sequence[Place]) -> dict[Path, list[Place]]:
    folders: dict[Path, list[Place]] = defaultdict(list)
    for mask in masks:
        folders[mask.path.parent].append(mask)
    return folders


def _without_common_suffix(masks: Sequence[Place]) -> list[Place]:
    """The masks, named without what all their names end with; none where that is nothing."""
    if len(masks) < 2:
        return []
    suffix = masks[0].stem
    for mask in masks:
        same = (a == b for a, b in zip(reversed(suffix), reversed(mask.stem), strict=False))
        length = sum(1 for _ in takewhile(bool, same))
        suffix = suffix[len(suffix) - length :]
    # Whole words alone: 10_x and 20_x have _x in common.
    start = next((i for i, letter in enumerate(suffix) if letter in " ._-"), len(suffix))
    suffix = suffix[start:]
    return [replace(mask, stem=mask.stem.removesuffix(suffix)) for mask in masks] if suffix else []
