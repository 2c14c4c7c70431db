"""Finding images and their masks in a folder of class folders, without opening an image."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from dms_jax.data.datasets.folder.masks import Pairing, Place, pair_masks
from dms_jax.data.datasets.folder.roles import masked_names, may_hold_masks, says_mask
from dms_jax.data.datasets.folder.tree import Tree, refuse_datasets_further_down, refuse_several_datasets, unwrap
from dms_jax.data.mask_files import read_mask, read_united_mask

_LOSSLESS = frozenset({".png", ".bmp", ".gif", ".tif", ".tiff"})


@dataclass(frozen=True)
class ListedImage:
    """An image as the user has stored it.

    Attributes:
      name: path relative to the folder or to the CSV, unique.
      image_path: the image's file.
      mask_path: the mask's file; None where there is none.
      label: name of the class; None where it is not given.
      split: `train`, `validation` or `test`; None where it is not given.
      mask_reader: reads the mask's file, as an image of mode L: 0 is sound, 255 is defective.
    """

    name: str
    image_path: Path
    mask_path: Path | None
    label: str | None
    split: str | None
    mask_reader: Callable[[Path], Image.Image] = read_mask


@dataclass(frozen=True)
class Listing:
    """What a user's folder or CSV holds.

    Attributes:
      images: those that can be used, so far as is known without opening them, in the order of names.
      problems: a sentence about each file that can't be used.
      ignored: paths of what is neither an image nor a mask, or lies in no class folder.
      files: the files of all images and masks, usable or not.
      masked: the classes that have masks, usable or not.
      splits: the splits that are named, for usable images or not.
      notes: what the user should know of how the files were understood, one sentence each.
    """

    images: tuple[ListedImage, ...]
    problems: tuple[str, ...]
    ignored: tuple[str, ...]
    files: tuple[Path, ...]
    masked: frozenset[str]
    splits: frozenset[str]
    notes: tuple[str, ...] = ()


def list_folder(root: Path) -> Listing:
    """Lists images in class folders and pairs them with their masks, by the names of folders and files.

    Folders whose names say a split (`train`, `training`, `val`, `validation`, `test`, `testing`), masks (`masks`, `gt`,
    `ground_truth`, `labels`, `annotations`) or images (`images`, `img`), also together or with `dir` and the like
    (`train_masks`, `img_dir`), may be nested in any order; the first other folder on the way to an image is its class.
    `docs/layouts.md` shows what that comes to. Masks may also lie beside their images, as `NAME_mask.*` and the like.
    A mask's image is found by `dms_jax.data.datasets.folder.masks.pair_masks`. Images that have a mask need no class
    folder. One outer folder around everything is passed through. A file is an image if Pillow reads files of that
    ending. Hidden files and folders (`.NAME`) are passed over, and links to a folder that they lie in.

    Args:
      root: the folder.

    Returns:
      What it holds.

    Raises:
      UserError: a folder can't be read, or `root` holds several datasets.
    """
    inner, notes = unwrap(root)
    refuse_several_datasets(root, inner)
    tree = Tree.read(inner)
    refuse_datasets_further_down(root, tree.images)
    beside = _masks_beside(tree.images, tree.masks)
    if beside:
        notes.append(f"{len(beside)} files beside images are taken for their masks, such as {beside[0].path.name}.")
    images = _without(tree.images, beside)
    masks = [*tree.masks, *beside]
    same_name = _same_names(images)
    if pairs := _pairs_of_endings(same_name, images, masks):
        notes.append(
            f"{len(pairs)} files that are named like an image but for their ending are taken for its mask, such as "
            f"{pairs[0].path.name}."
        )
        images = _without(images, pairs)
        masks, same_name = [*masks, *pairs], _same_names(images)
        beside = [*beside, *pairs]
    doubled = {place for places in same_name for place in places}
    pairing = pair_masks(
        _without(images, doubled),
        masks,
        has_splits=any(place.split for place in (*images, *masks)),
    )
    usable = [place for place in images if place not in doubled and place not in pairing.clashes]
    # What has neither a class nor a mask says nothing.
    mute = [place for place in usable if place.label is None and place not in pairing.masks]
    listed = [_listed_image(place, pairing, root) for place in _without(usable, mute)]
    stray_masks, ignored_masks = _strays(pairing, doubled, set(beside), images)
    without_classes = any(image.label is None for image in listed)
    mute_problems = [_mute(place) for place in mute if without_classes or place.among_images]
    ignored_images = [str(place.path) for place in mute if not (without_classes or place.among_images)]
    return Listing(
        images=tuple(sorted(listed, key=lambda image: image.name)),
        problems=(
            *tree.problems,
            *_unclear_folders(usable),
            *(_same_name(places) for places in (*same_name, *pairing.clashes.values())),
            *stray_masks,
            *mute_problems,
        ),
        ignored=(*tree.ignored, *ignored_masks, *ignored_images),
        files=tuple(place.path for place in (*tree.images, *tree.masks)),
        masked=frozenset(
            {*tree.masked, *(place.label for place in (*beside, *pairing.masks) if place.label is not None)}
        ),
        splits=frozenset({place.split for place in images} - {None}),
        notes=(*notes, *pairing.notes),
    )


def _without(places: Iterable[Place], others: Iterable[Place]) -> list[Place]:
    left_out = set(others)
    return [place for place in places if place not in left_out]


def _listed_image(place: Place, pairing: Pairing, root: Path) -> ListedImage:
    masks = sorted(mask.path for mask in pairing.masks.get(place, ()))
    return ListedImage(
        name=place.path.relative_to(root).as_posix(),
        image_path=place.path,
        mask_path=masks[0] if masks else None,
        label=place.label,
        split=place.split,
        mask_reader=partial(read_united_mask, others=tuple(masks[1:])) if masks[1:] else read_mask,
    )


def _strays(
    pairing: Pairing, doubled: set[Place], beside: set[Place], images: Sequence[Place]
) -> tuple[list[str], list[str]]:
    """A sentence about each mask that has no image, or several, and the paths of those that are no matter."""
    problems, ignored = [], []
    # Masks of an image that cannot be used are no problem of their own.
    unusable = {(place.split, place.label, place.below, place.stem) for place in doubled}
    # Outside of class folders, files are masks if some of them are.
    flat_masks = any(mask.label is None for masks in pairing.masks.values() for mask in masks)
    unclassed = {image.stem: image.path for image in images if image.label is None}
    for mask in pairing.unmatched:
        if mask.label is None and mask not in beside and not flat_masks:
            ignored.append(str(mask.path))
        if (mask.split, mask.label, mask.below, mask.stem) not in unusable:
            image = unclassed.get(mask.stem) if mask.label is not None else None
            problems.append(
                f"{mask.path} is a mask of no image: remove it, or name it like its image."
                if image is None
                else f"{mask.path} lies in a folder {mask.label}, but the image of its name, {image}, in none: give "
                "both the folder of their class, or none."
            )
    for mask, owners in pairing.ambiguous.items():
        problems.append(
            f"{mask.path} could be the mask of {' or of '.join(str(owner.path) for owner in owners[:3])}: put masks "
            "into folders of splits and classes, as the images are."
        )
    return problems, ignored


def _unclear_folders(images: Sequence[Place]) -> list[str]:
    """A sentence about each class whose name has a word for masks in it: they would be learnt as images."""
    classes = {image.label: image.path.parent for image in images if image.label and may_hold_masks(image.label)}
    return [
        f"{folder} seems to hold masks, but {label} is not understood: name the folder masks, with the classes in it "
        "as the images have them."
        for label, folder in sorted(classes.items())
    ]


def _pairs_of_endings(
    same_name: Sequence[Sequence[Place]], images: Sequence[Place], masks: Sequence[Place]
) -> list[Place]:
    """The masks of folders that hold nothing but pairs of a JPEG and a file without loss, as MTDD and Crack500 do.

    Their contents are looked at when they are read: a mask is no photograph, and an image no mask.
    """
    paired: dict[Path, list[Place]] = defaultdict(list)
    for places in same_name:
        lossless = [place for place in places if place.path.suffix.lower() in _LOSSLESS]
        if len(places) == 2 and len(lossless) == 1:
            paired[places[0].path.parent] += lossless
    counts = Counter(image.path.parent for image in images)
    masked = {(mask.split, mask.label) for mask in masks}
    return [
        place
        for folder, places in paired.items()
        if 1 < len(places) == counts[folder] / 2
        for place in places
        if (place.split, place.label) not in masked
    ]


def _mute(place: Place) -> str:
    return (
        f"{place.path} has no mask and lies in no class folder: add its mask, black if it shows no defect, or put "
        "images into folders named after their classes."
    )


def _same_name(places: Sequence[Place]) -> str:
    listed = " and ".join(sorted(str(place.path) for place in places))
    return f"{listed} have the same name but for its ending: rename or remove all but one."


def _masks_beside(images: Sequence[Place], masks: Sequence[Place]) -> list[Place]:
    """Files among the images that are called like the mask of another one in their folder, and have no mask."""
    stems = {(image.path.parent, image.stem) for image in images}
    # 1_mask may be an image, if there is a mask for it.
    owned = {(mask.split, mask.label, mask.below, mask.stem) for mask in masks}
    return [
        image
        for image in images
        if says_mask(image.stem)
        and (image.split, image.label, image.below, image.stem) not in owned
        and any((image.path.parent, name) in stems for name, _ in masked_names(image.stem))
    ]


def _same_names(images: Sequence[Place]) -> list[list[Place]]:
    """Images that differ in the ending of their names alone."""
    places: dict[Any, list[Place]] = defaultdict(list)
    for image in images:
        places[image.path.parent, image.stem].append(image)
    return [sorted(same, key=lambda place: place.path) for same in places.values() if len(same) > 1]
