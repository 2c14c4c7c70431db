"""From listed files to labelled images in splits: classes, copies, and which image is for what."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dms_jax.data.class_names import is_free_name
from dms_jax.data.datasets.base import LabelledImage
from dms_jax.data.datasets.folder.listing import ListedImage, Listing
from dms_jax.data.datasets.folder.reading import Reading
from dms_jax.data.datasets.splitting import VALIDATION_SHARE, hold_out
from dms_jax.errors import UserError

TEST_SHARE = 0.2


def choose_free_class(listing: Listing) -> str | None:
    """The defect-free class, see `Folder`; None where there is none.

    Raises:
      UserError: several classes have the name of one.
    """
    labels = sorted({image.label for image in listing.images} - {None})
    named = [label for label in labels if is_free_name(label)]
    if len(named) > 1:
        raise UserError(f"The classes {' and '.join(named)} are both free of defects by their names: merge them.")
    unmasked = [label for label in labels if label not in listing.masked]
    if named:
        return named[0]
    return unmasked[0] if len(unmasked) == 1 < len(labels) else None


def label_images(listing: Listing, free_class: str | None, reading: Reading | None = None) -> list[LabelledImage]:
    """The listed images as the dataset takes them, copies of one image in one group.

    Args:
      listing: the images.
      free_class: the class whose images have an all-black mask where they have no other.
      reading: how the files are read.

    Returns:
      The images, in the same order.
    """
    groups, reading = group_copies(listing.images), reading or Reading()
    return [
        LabelledImage(
            name=image.name,
            label=image.label,
            group=groups[image.name],
            image_path=image.image_path,
            mask_path=image.mask_path,
            has_mask=image.mask_path is not None or image.label == free_class,
            mask_reader=reading.mask_reader(image.mask_reader),
            image_reader=reading.image_reader(),
        )
        for image in listing.images
    ]


def group_copies(images: Sequence[ListedImage]) -> dict[str, str]:
    """Groups images whose files have the same contents.

    Args:
      images: the images.

    Returns:
      For every name the name of its group: that of the first of its copies.
    """
    # Files of different sizes are different: few need to be read.
    sizes = Counter(size_of(image.image_path) for image in images)
    groups, first_of = {}, {}
    for image in images:
        # Empty files show nothing that could be the same: each of them is named by its reader.
        size = size_of(image.image_path)
        alone = sizes[size] == 1 or not size
        contents = image.name if alone else _contents_hash(image.image_path)
        groups[image.name] = first_of.setdefault(contents, image.name)
    return groups


def split_images(images: Sequence[LabelledImage], listing: Listing) -> dict[str, list[LabelledImage]]:
    """Splits the images as the user has, and cuts a missing test or validation split off the training images.

    Args:
      images: the images of the listing, in its order.
      listing: says which splits there are, and which images belong to them.

    Returns:
      The images of `train`, `validation` and `test`, in the order given.
    """
    splits: dict[str, list[LabelledImage]] = {"train": [], "validation": [], "test": []}
    for image, listed in zip(images, listing.images, strict=True):
        splits[listed.split or "train"].append(image)
    for split, share in (("test", TEST_SHARE), ("validation", VALIDATION_SHARE)):
        if split not in listing.splits:
            splits["train"], splits[split] = hold_out(splits["train"], share, salt=split)
    return splits


def size_of(path: Path) -> int:
    """A file's size in bytes; -1 if it is not there, which is for its reader to say."""
    # Not `path.exists()`, which raises errors for what can't be the name of a file, or may not be looked at.
    return path.stat().st_size if os.path.exists(path) else -1


def _contents_hash(path: Path) -> bytes | Path:
    """A hash of a file's contents; the path of a file that can't be read, which is for its reader to say."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return path
