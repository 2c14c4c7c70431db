"""A run's dataset: prepared when it begins, and the same one whenever it goes on or is evaluated.

A user's folder may change in between. The numbers of classes and the split are hashed from its contents: prepared anew,
outputs would mean other classes, and images that were learnt from would be tested on.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import tensorflow_datasets as tfds
from ml_collections import ConfigDict

from dms_jax.data.datasets.folder.builder import UNLABELLED_CLASS, Folder, config_name, list_images, source_of
from dms_jax.data.datasets.folder.listing import Listing
from dms_jax.data.prepare import prepare
from dms_jax.data.prepared import PreparedDataset
from dms_jax.data.reopening import reopen_folder
from dms_jax.errors import UserError
from dms_jax.runs.description import RunDescription

_NOT_COMPARED = (
    "{} is read anew: its images have the names and labels of those that this run began with; whether their pixels and "
    "masks are the same is not known."
)
_FIX = "bring back what the run began with, or train anew with another --workdir"


def open_dataset(config: ConfigDict) -> PreparedDataset:
    """The dataset that a configuration names, prepared if it is not yet."""
    return prepare(
        config.data.dataset,
        split=config.data.split,
        data_dir=config.data.data_dir,
        manual_dir=config.data.manual_dir,
        synthetic=config.data.synthetic,
        skip_bad=config.data.skip_bad,
        mask_values=config.data.mask_values,
        value_range=config.data.value_range,
    )


def reopen_dataset(
    config: ConfigDict, description: RunDescription, *, elsewhere: bool = False
) -> tuple[PreparedDataset, tuple[str, ...]]:
    """The dataset that a run began with.

    Of a user's folder, the images that were prepared then are used while they are there, also where the folder has
    changed since. Where they are not, the folder is prepared anew, and must hold the same images in the same splits.

    Args:
      config: the run's.
      description: the run's.
      elsewhere: the user says that the dataset now lies where `config.data` says.

    Returns:
      The dataset, and sentences for the user on what has changed.

    Raises:
      UserError: the classes are others than the run's, or its images are there no more.
    """
    is_folder = config.data.dataset == Folder.name
    began_in = Path(description.dataset)
    kept, notes = None, []
    if is_folder:
        listing = _listed_source(config)
        if listing is not None:
            _check_classes(listing, config, description)
        kept = None if elsewhere else reopen_folder(began_in)
        if not elsewhere and _has_changed(config, began_in, listing):
            notes.append(
                f"{config.data.manual_dir} has changed since this run began: it keeps its images, their classes and "
                f"their split, as they are in {began_in}; for the new ones, train with another --workdir."
            )
    dataset = open_dataset(config) if kept is None else kept
    if dataset.class_names != description.class_names:
        raise _other_classes(str(dataset.directory), dataset.class_names, description)
    if kept is None and description.images and dataset.directory != began_in:
        differing = [split for split, digest in digests(dataset).items() if digest != description.images.get(split)]
        if differing:
            where = config.data.manual_dir or dataset.directory
            raise UserError(
                f"the images of {' and '.join(differing)} in {where} are not those that the run began with, which were "
                f"in {began_in}: {_FIX}."
            )
        notes = [_NOT_COMPARED.format(config.data.manual_dir)] if is_folder else []
    return dataset, tuple(notes)


def digests(dataset: PreparedDataset) -> Mapping[str, str]:
    """For each split, a hash of its images' names and labels; of their order it does not depend."""
    found = {}
    for split in dataset.sizes:
        source = dataset.source(split)
        lines = sorted(f"{name}\0{label}" for name, label in zip(source.names(), source.labels(), strict=True))
        found[split] = hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return found


def _listed_source(config: ConfigDict) -> Listing | None:
    """What the folder holds now; None where it is gone or cannot be read.

    What was prepared from it is as good as ever; where that is gone too, preparing it will say the same.
    """
    source = source_of(config.data.manual_dir)
    try:
        return list_images(source) if source.exists() else None
    except UserError:
        return None


def _check_classes(listing: Listing, config: ConfigDict, description: RunDescription) -> None:
    """Refuse a folder whose classes are others now, before it is prepared anew."""
    found = {image.label for image in listing.images if image.label is not None}
    # In the run's order, which is the order that the user knows.
    names = tuple(name for name in description.class_names if name in found)
    names = (*names, *sorted(found - set(names))) or (UNLABELLED_CLASS,)
    if names != description.class_names:
        raise _other_classes(str(Path(config.data.manual_dir).expanduser()), names, description)


def _other_classes(where: str, names: tuple[str, ...], description: RunDescription) -> UserError:
    return UserError(
        f"the run has the classes {', '.join(description.class_names)}, but {where} now has {', '.join(names)}: {_FIX}."
    )


def _has_changed(config: ConfigDict, began_in: Path, listing: Listing | None) -> bool:
    data_dir = Path(config.data.data_dir or tfds.core.constants.DATA_DIR).expanduser()
    try:
        declared = config.data.mask_values, config.data.value_range
        return config_name(config.data.manual_dir, data_dir, declared, listing) != began_in.parent.name
    except UserError:
        # The folder is gone, which its images are not, or cannot be read any more.
        return Path(config.data.manual_dir).expanduser().exists()
