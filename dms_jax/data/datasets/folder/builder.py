"""A user's own images: class folders, or a CSV that lists images."""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from dms_jax.data.class_names import FREE_NAMES, check_names, is_free_name
from dms_jax.data.datasets.bad_files import NAMED
from dms_jax.data.datasets.base import (
    LabelledImage,
    SurfaceDefectBuilder,
    check_splits,
    read_examples,
    skip_or_raise,
)
from dms_jax.data.datasets.folder.annotations import list_annotations
from dms_jax.data.datasets.folder.csv_listing import list_csv
from dms_jax.data.datasets.folder.labelling import (
    choose_free_class,
    label_images,
    size_of,
    split_images,
)
from dms_jax.data.datasets.folder.listing import Listing, list_folder
from dms_jax.data.datasets.folder.reading import Reading, takes_values
from dms_jax.data.datasets.folder.understood import understood
from dms_jax.data.facts import ImageFacts, mask_like
from dms_jax.errors import UsageError, UserError, some_names

# The one class of a dataset without any label: a network needs one, and no image is of it.
UNLABELLED_CLASS = "defect"

_CONFIG_NAME = re.compile(r"[\w.-]+-[0-9a-f]{8}-[0-9a-f]{8}", re.ASCII)
# So many files are named in a note; the others are counted.
_NAMED = 10
_NAME_IT = (
    "name your folder of images, or the CSV that lists them, by --config.data.manual_dir=DIR (of dms-jax commands: "
    "--manual-dir DIR)"
)


class Folder(SurfaceDefectBuilder, skip_registration=True):
    """A user's own images, from a folder of class folders or from a CSV file.

    A folder holds `<split>/<class>/NAME.*` beside `masks/<split>/<class>/NAME.*`, with splits `train`, `validation`
    and `test` (see `list_folder`, also for other layouts), or `<class>/NAME.*` beside `masks/<class>/NAME.*`, or holds
    annotations (see `list_annotations`). A CSV has the columns `image`, `mask`, `label` and `split`, of which `image`
    and a mask or a label must be filled in (see `list_csv`).

    For all: the *defect-free class* is the one with a name of `dms_jax.data.class_names`; where no class has one, it is
    the one without masks, if exactly one of several classes has none; else there is none. An image of the
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

    _reading = Reading()

    @classmethod
    def get_builder_config(cls, name: str, version: Any = None) -> tfds.core.BuilderConfig | None:
        """The configuration of any name that `config_name` makes; None for other names."""
        del version
        return tfds.core.BuilderConfig(name=name) if _CONFIG_NAME.fullmatch(name) else None

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
        self.info.metadata["declared"] = list(reading.declared)
        super().download_and_prepare(download_config=download_config, **kwargs)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        del dl_manager
        listing = list_images(self._root)
        problems = listing.problems
        if self._skipped is not None or len(problems) >= NAMED:
            # Of so many, no other would be named, and it is rather the layout that is wrong: nothing need be read.
            skip_or_raise(problems, self._skipped)
            problems = ()
        try:
            splits = self._understand(listing)
        except UserError:
            # It may come of them alone.
            skip_or_raise(problems, None)
            raise
        # They are named with those that can't be read, so that all can be corrected at once.
        return {
            split: self._generate_examples(members, problems if split == "train" else ())
            for split, members in splits.items()
        }

    def _understand(self, listing: Listing) -> dict[str, list[LabelledImage]]:
        """The images of each split; the classes are written to the dataset's metadata.

        Raises:
          UserError: there are too few images, or names of classes contradict each other.
        """
        root = self._root
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
        if self._reading.mask_values and not all(takes_values(image.mask_reader) for image in listing.images):
            raise UsageError(
                f"mask_values is of masks in files, and those of {root} are drawn from annotations: leave it empty."
            )
        labels = {image.label for image in listing.images} - {None}
        check_names(labels)
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
        )
        self._listing, self._images = listing, images
        return splits

    def _check_contents(self, facts: Sequence[ImageFacts]) -> None:
        # Of those that are used: which can be is known when all have been read.
        used = {fact.name for fact in facts}
        images = [image for image in self._images if image.name in used]
        _refuse_masks_among_images(facts, images)
        self.info.metadata.update(
            notes=list(_notes(self._listing, images, self.free_class)),
            understood=understood(images, self.free_class, skipped=len(self._skipped or ())),
        )

    def _generate_examples(
        self, images: Iterable[LabelledImage], known_bad: Sequence[str] = ()
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        return read_examples(images, self._skipped, known_bad=known_bad)


def _refuse_masks_among_images(facts: Sequence[ImageFacts], images: Sequence[LabelledImage]) -> None:
    """Refuse images that are black but for one shade or a few, where others are not: they are masks, or their copies.

    Raises:
      UserError: there are such images.
    """
    similar, are_nearly_all = mask_like(facts)
    # What has a mask of its own, or lies in the folder of those without a defect, is an image: in dark field, all but
    # the defect is black.
    certain = {image.name for image in images if image.mask_path is not None or is_free_name(image.label or "")}
    masks = [name for name in similar if name not in certain]
    if masks and not are_nearly_all:
        raise UserError(
            f"Of {len(facts)} images, {len(masks)} look like masks (black, and a few shades): "
            f"{some_names(sorted(masks), _NAMED)}. Put masks into a folder masks, or remove them."
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


def source_of(manual_dir: str) -> Path:
    """The folder or file that a `manual_dir` names, absolute and without `~` and `..`, as it names what is prepared."""
    return Path(os.path.abspath(Path(manual_dir).expanduser()))


def config_name(manual_dir: str, data_dir: Path, declared: Sequence[str] = (), listing: Listing | None = None) -> str:
    """The name of a source's configuration, which changes with its path and with its contents.

    Args:
      manual_dir: a folder or a CSV file.
      data_dir: where datasets are prepared. If the source is not there any more, the configuration is the one that was
        prepared from it last, with the same declared.
      declared: what the user says of the files' values, which is part of their contents.
      listing: what the source holds, if it has been listed already.

    Returns:
      The source's name, a hash of its path and a hash of its files' names, sizes and times of change.

    Raises:
      UsageError: `manual_dir` is empty.
      UserError: the source is neither a folder nor a CSV file, can't be read, or is not there and was never prepared.
    """
    if not manual_dir:
        raise UsageError(f"dataset folder needs manual_dir: {_NAME_IT}.")
    source = source_of(manual_dir)
    readable = re.sub(r"[^\w.-]+", "_", source.name, flags=re.ASCII)[:40] or "images"
    prefix = f"{readable}-{_short_hash([os.fsencode(source)])}"
    if source.exists():
        # As in earlier versions where nothing is declared.
        said = [text.encode() for text in declared] if any(declared) else []
        return f"{prefix}-{_short_hash([*map(_fingerprint, (listing or list_images(source)).files), *said])}"
    prepared = (data_dir / Folder.name).glob(f"{prefix}-*/{Folder.VERSION}/dataset_info.json")
    fitting = (path for path in prepared if _may_be_declared(path.with_name("metadata.json"), declared))
    latest = max(fitting, key=lambda path: path.stat().st_mtime, default=None)
    if latest is None:
        raise UserError(f"manual_dir {source} does not exist: {_NAME_IT}.")
    return latest.parent.parent.name


def _may_be_declared(metadata: Path, declared: Sequence[str]) -> bool:
    """Whether a dataset was prepared with these words of the user's; earlier versions did not note which these were."""
    try:
        noted = json.loads(metadata.read_text(encoding="utf-8")).get("declared")
    except (OSError, ValueError, AttributeError):
        # For whoever opens it to say.
        return True
    return noted is None or noted == (list(declared) if any(declared) else [])


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
    changed = path.stat().st_mtime_ns if os.path.exists(path) else 0
    return os.fsencode(path) + f"\0{size_of(path)}\0{changed}".encode()


def _short_hash(parts: Iterable[bytes]) -> str:
    return hashlib.sha256(b"\n".join(parts)).hexdigest()[:8]
