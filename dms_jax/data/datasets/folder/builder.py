"""A user's own images: class folders, or a CSV that lists images."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from dms_jax.data.class_names import FREE_NAMES, is_free_name
from dms_jax.data.datasets.base import (
    LabelledImage,
    SurfaceDefectBuilder,
    check_splits,
    read_examples,
    skip_or_raise,
)
from dms_jax.data.datasets.folder.annotations import list_annotations
from dms_jax.data.datasets.folder.csv_listing import list_csv
from dms_jax.data.datasets.folder.listing import ListedImage, Listing, list_folder
from dms_jax.data.datasets.folder.reading import Reading
from dms_jax.data.datasets.folder.understood import understood
from dms_jax.data.datasets.splitting import VALIDATION_SHARE, hold_out
from dms_jax.data.facts import ImageFacts
from dms_jax.errors import UsageError, UserError, some_names

TEST_SHARE = 0.2
# The one class of a dataset without any label: a network needs one, and no image is of it.
UNLABELLED_CLASS = "defect"

_CONFIG_NAME = re.compile(r"[\w.-]+-[0-9a-f]{8}-[0-9a-f]{8}", re.ASCII)
# So many files are named in a note; the others are counted.
_NAMED = 10


class Folder(SurfaceDefectBuilder, skip_registration=True):
    """A user's own images, from a folder of class folders or from a CSV file.

    A folder holds `<split>/<class>/NAME.*` beside `masks/<split>/<class>/NAME.*`, with splits `train`, `validation`
    and `test` (see `list_folder`, also for MVTec AD's layout), or `<class>/NAME.*` beside `masks/<class>/NAME.*`. A CSV
    has the columns `image`, `mask`, `label` and `split`, of which only `image` must be filled in (see `list_csv`).

    For both: the *defect-free class* is the one named free, good, normal or ok, in upper or lower case; where no class
    is, it is the one without masks, if exactly one of several classes has none; else there is none. An image of the
    defect-free class without a mask has one that is all black. Any other image without a mask has an unknown one
    (`has_mask` false), an image without a label has label -1, and one with neither is refused. The classes are in the
    order of their names, the defect-free one first.

    Images stay in the split that the user gives them; without one they are for training. Where no image is given
    to `test`, a fifth of the training images of every class is, and where none is given to `validation`, a tenth
    of what is left then, by a fixed hash of their names. Copies of one image share a group, and stay together here.

    A configuration is named after the folder, a hash of its path, and a hash of its files' names, sizes and times of
    change: when the folder's contents have changed, they are prepared anew in a directory of their own.
    """

    name = "folder"
    VERSION = tfds.core.Version("1.0.0")
    CLASS_NAMES = ()
    FREE_CLASS = None

    @classmethod
    def get_builder_config(cls, name: str, version: Any = None) -> tfds.core.BuilderConfig | None:
        """The configuration of any name that `config_name` makes; None for other names."""
        del version
        return tfds.core.BuilderConfig(name=name) if _CONFIG_NAME.fullmatch(name) else None

    _reading = Reading()

    def download_and_prepare(
        self, *, download_config: tfds.download.DownloadConfig, reading: Reading = _reading, **kwargs: Any
    ) -> None:
        """Prepares the dataset from `download_config.manual_dir`, a folder or a CSV file.

        Args:
          download_config: see TFDS.
          reading: what is declared of the files' values.
          **kwargs: see `SurfaceDefectBuilder`.
        """
        # The download manager would give it to `_split_generators` only if it is a folder.
        self._root = Path(download_config.manual_dir)
        self._reading = reading
        super().download_and_prepare(download_config=download_config, **kwargs)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager
        root = self._root
        listing = list_images(root)
        skip_or_raise(listing.problems, self._skipped)
        if self._skipped is not None:
            kept = {image.label for image in listing.images if image.mask_path is not None}
            lost = listing.masked - kept
            self._skipped.refuse_without_masks(label for label in lost if not is_free_name(label))
        if not listing.images:
            ignored = (
                f" ({len(listing.ignored)} files ignored, such as {listing.ignored[0]})" if listing.ignored else ""
            )
            raise UserError(
                f"{root} has no images that can be used{ignored}: put each into a folder named after its class."
            )
        labels = {image.label for image in listing.images} - {None}
        _check_names(labels)
        free_class = choose_free_class(listing)
        class_names = sorted(labels, key=lambda label: (label != free_class, label)) or [UNLABELLED_CLASS]
        images = label_images(listing, free_class, self._reading)
        splits = split_images(images, listing)
        check_splits(splits, root)
        self.info.features["label"].names = class_names
        self.info.metadata.update(
            class_names=class_names,
            ignores=self._reading.mask_values is not None and self._reading.mask_values.ignored is not None,
            free_class=free_class,
            notes=list(_notes(listing, images, free_class)),
            understood=understood(images, free_class),
        )
        return {split: self._generate_examples(members) for split, members in splits.items()}

    def _check_contents(self, facts: Sequence[ImageFacts]) -> None:
        _refuse_masks_among_images(facts)

    def _generate_examples(self, images: Iterable[LabelledImage]) -> Iterator[tuple[str, dict[str, Any]]]:
        return read_examples(images, self._skipped)


def _refuse_masks_among_images(facts: Sequence[ImageFacts]) -> None:
    """Refuse images that are black but for one shade or a few, where others are not: they are masks, or their copies.

    Raises:
      UserError: there are such images.
    """
    masks = sorted(fact.name for fact in facts if fact.pixels.looks_like_mask)
    if masks and len(masks) <= 0.75 * len(facts):
        raise UserError(
            f"Of {len(facts)} images, {len(masks)} look like masks (black, and a few shades): "
            f"{some_names(masks, _NAMED)}. Put masks into a folder masks, or remove them."
        )


def list_images(source: Path) -> Listing:
    """Lists what a folder, a CSV file or a file of annotations holds.

    Raises:
      UserError: it is none of them, or can't be read.
    """
    annotated = list_annotations(source)
    if annotated is not None:
        return annotated
    if source.is_dir():
        return list_folder(source)
    if source.is_file() and source.suffix.lower() == ".csv":
        return list_csv(source)
    raise UserError(
        f"manual_dir {source} is neither a folder nor a .csv file, nor one of annotations (.json, .xml): name your "
        "folder of images."
    )


def config_name(manual_dir: str, data_dir: Path, declared: Sequence[str] = ()) -> str:
    """The name of a source's configuration, which changes with its path and with its contents.

    Args:
      manual_dir: a folder or a CSV file.
      data_dir: where datasets are prepared. If the source is not there any more, the configuration is the one that was
        prepared from it last.
      declared: what the user says of the files' values, which is part of their contents.

    Returns:
      The source's name, a hash of its path and a hash of its files' names, sizes and times of change.

    Raises:
      UsageError: `manual_dir` is empty.
      UserError: the source is neither a folder nor a CSV file, can't be read, or is not there and was never prepared.
    """
    if not manual_dir:
        raise UsageError("dataset folder needs manual_dir: name your folder of images, or the CSV that lists them.")
    source = Path(os.path.abspath(Path(manual_dir).expanduser()))
    readable = re.sub(r"[^\w.-]+", "_", source.name, flags=re.ASCII)[:40] or "images"
    prefix = f"{readable}-{_short_hash([os.fsencode(source)])}"
    if source.exists():
        # As in earlier versions where nothing is declared.
        said = [text.encode() for text in declared] if any(declared) else []
        return f"{prefix}-{_short_hash([*map(_fingerprint, list_images(source).files), *said])}"
    prepared = (data_dir / Folder.name).glob(f"{prefix}-*/{Folder.VERSION}/dataset_info.json")
    latest = max(prepared, key=lambda path: path.stat().st_mtime, default=None)
    if latest is None:
        raise UserError(f"manual_dir {source} does not exist: name your folder of images, or the CSV that lists them.")
    return latest.parent.parent.name


def _check_names(labels: Iterable[str]) -> None:
    """Refuse names of classes that differ in case alone, which some file systems take for one."""
    folded: dict[str, str] = {}
    for label in sorted(labels):
        other = folded.setdefault(label.casefold(), label)
        if other != label:
            raise UserError(f"The classes {other} and {label} differ in case alone: give them one name.")


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
    sizes = Counter(_size(image.image_path) for image in images)
    groups, first_of = {}, {}
    for image in images:
        alone = sizes[_size(image.image_path)] == 1
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


def _notes(listing: Listing, images: Sequence[LabelledImage], free_class: str | None) -> Iterator[str]:
    """What the user should know of how the images were understood, one sentence each."""
    yield from listing.notes
    unknown = Counter(image.label for image in images if not image.has_mask)
    total = Counter(image.label for image in images)
    if free_class is not None and not is_free_name(free_class):
        yield f"Class {free_class} is taken to be free of defects, because it alone has no masks."
    elif free_class is None and unknown:
        yield f"No class is taken to be free of defects: if one is, name it {' or '.join(FREE_NAMES[:4])}."
    for label, count in sorted(unknown.items()):
        yield f"{count} of the {total[label]} images of class {label} have no mask: they teach the class alone."
    if total[None]:
        yield f"{total[None]} of the {len(images)} images have no label: they teach the mask alone."
    if listing.ignored:
        yield f"What is no image, or lies in no class folder, is ignored: {some_names(listing.ignored, _NAMED)}."


def _fingerprint(path: Path) -> bytes:
    """Changes with a file's path, size and time of change; also of a file that is not there."""
    changed = path.stat().st_mtime_ns if path.exists() else 0
    return os.fsencode(path) + f"\0{_size(path)}\0{changed}".encode()


def _size(path: Path) -> int:
    """A file's size in bytes; -1 if it is not there, which is for its reader to say."""
    return path.stat().st_size if path.exists() else -1


def _short_hash(parts: Iterable[bytes]) -> str:
    return hashlib.sha256(b"\n".join(parts)).hexdigest()[:8]


def _contents_hash(path: Path) -> bytes | Path:
    """A hash of a file's contents; the path of a file that can't be read, which is for its reader to say."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return path
