"""What all datasets of surface defects have in common."""

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from dms_jax.data.datasets.archives import fetch, unpack
from dms_jax.data.datasets.bad_files import BadFilesError, SkippedFiles, refusal, skip_or_raise
from dms_jax.data.datasets.split_writer import SplitWriter
from dms_jax.data.datasets.threads import in_threads
from dms_jax.data.facts import ImageFacts, measure
from dms_jax.data.image_files import read_image
from dms_jax.data.library_warnings import library_warnings_ignored
from dms_jax.data.mask_files import read_mask, read_pair
from dms_jax.data.png import encode_png
from dms_jax.errors import UserError

SPLITS = ("train", "validation", "test")

# The key of an example's `PixelFacts`, which are for the summary and not part of the dataset.
_FACTS = "facts"


@dataclass(frozen=True)
class LabelledImage:
    """An image in a file, its mask, and what is known about them.

    Attributes:
      name: path relative to the dataset's root, unique in the dataset.
      label: name of the class; None where it is unknown.
      group: name of the group; images of one group show the same thing and belong in one split.
      image_path: the image's file.
      mask_path: the mask's file; None where there is none.
      has_mask: whether the mask is known; without a file, a known one is all black.
      mask_reader: reads that file, as an image of mode L: 0 is sound, 255 is defective.
      image_reader: reads the image's file, as one of mode RGB.
    """

    name: str
    label: str | None
    group: str
    image_path: Path
    mask_path: Path | None
    has_mask: bool = True
    mask_reader: Callable[[Path], Image.Image] = read_mask
    image_reader: Callable[[Path], Image.Image] = read_image


class SurfaceDefectBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Base of all datasets: images with a mask of the defect and one label.

    An example is a dict of `image` (uint8 [H, W, 3]), `mask` (uint8 [H, W, 1], 0 is sound and 255 defective,
    grey edges as in the file), `has_mask` (whether the mask is known; where it is not, `mask` is all 0),
    `label` (index into `class_names`, -1 where it is unknown), `name` (text, the path relative to the
    dataset's root, unique) and `group` (text; images of one group show the same thing and are always in
    one split). The splits are `train`, `validation` and `test`.

    Attributes:
      CLASS_NAMES: names of the classes, in the order of their indices; empty where each prepared dataset has its own.
      FREE_CLASS: the defect-free class; None where every image has a defect, or where each prepared dataset has its
        own.
    """

    CLASS_NAMES: ClassVar[tuple[str, ...]]
    FREE_CLASS: ClassVar[str | None]

    # Sentences about the files that are left out of the dataset; None where such files are refused.
    _skipped: SkippedFiles | None = None

    # What was learnt of each split's examples while they were written, in their order; see `SplitWriter.facts`.
    facts: Mapping[str, Sequence[ImageFacts] | None] | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their indices; of the prepared dataset where it has its own."""
        return tuple(self.info.metadata.get("class_names", self.CLASS_NAMES))

    @property
    def free_class(self) -> str | None:
        """The defect-free class, or None; of the prepared dataset where it has its own."""
        return self.info.metadata.get("free_class", self.FREE_CLASS)

    @property
    def notes(self) -> tuple[str, ...]:
        """What those who use the dataset should know, one sentence each."""
        return tuple(self.info.metadata.get("notes", ()))

    def download_and_prepare(self, *, skip_bad: bool = False, **kwargs: Any) -> None:
        """Prepares the dataset as TFDS does; unpacked archives are removed afterwards.

        Args:
          skip_bad: leave out files that can't be used, and list them as `skipped` in the metadata.
          **kwargs: see TFDS.
        """
        # TFDS keeps the metadata beside the dataset, and writes it when all examples have been read.
        self._skipped = SkippedFiles() if skip_bad else None
        self.info.metadata["skipped"] = self._skipped
        with tempfile.TemporaryDirectory(prefix="dms-jax-") as folder:
            self._unpacked = Path(folder)
            super().download_and_prepare(**kwargs)

    def _generate_splits(
        self, dl_manager: tfds.download.DownloadManager, download_config: tfds.download.DownloadConfig
    ) -> list[tfds.core.SplitInfo]:
        """Writes the splits in place of TFDS, see `SplitWriter`; bad files of all splits are named together."""
        generators = self._split_generators(dl_manager)
        infos, facts, sizes, bad = [], {}, {}, []
        for split, generator in generators.items():
            template = self._get_filename_template(split_name=split)
            with SplitWriter(self.info.features, template, download_config.get_shard_config()) as writer:
                try:
                    _add_all(writer, generator, split)
                except BadFilesError as error:
                    bad += error.sentences
                if not bad:
                    infos.append(writer.finish())
                    facts[split] = writer.facts
                    sizes |= writer.files
        if bad:
            raise UserError(refusal(bad))
        if self._skipped is not None:
            self._skipped.refuse_without_masks(self._skipped.masks_lost.keys() - self._skipped.masks_kept.keys())
        self._check_contents([fact for known in facts.values() for fact in known or ()])
        self.info.metadata["file_sizes"] = sizes
        self.facts = facts
        return infos

    def _check_contents(self, facts: Sequence[ImageFacts]) -> None:
        """Refuses images that cannot be what they are taken for; does nothing for published datasets.

        Args:
          facts: what is known of the images of all splits.

        Raises:
          UserError: there are such images.
        """

    def _info(self) -> tfds.core.DatasetInfo:
        return _LocalInfo(
            builder=self,
            description=type(self).__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), dtype=np.uint8, encoding_format="png"),
                    "mask": tfds.features.Image(shape=(None, None, 1), dtype=np.uint8, encoding_format="png"),
                    "has_mask": np.bool_,
                    "label": tfds.features.ClassLabel(names=self.CLASS_NAMES or None),
                    "name": tfds.features.Text(),
                    "group": tfds.features.Text(),
                }
            ),
            metadata=tfds.core.MetadataDict(),
        )

    def _given_folder(self, dl_manager: tfds.download.DownloadManager) -> Path | None:
        """The folder that the user names or, if it exists, TFDS's default for files fetched by hand."""
        try:
            return Path(dl_manager.manual_dir)
        except AssertionError:  # TFDS's way to say that there is none, or that it is empty
            return None

    @property
    def _downloads(self) -> Path:
        """TFDS's folder for downloads, whose `manual` is its default for files fetched by hand."""
        return Path(self.data_dir_root).expanduser() / "downloads"

    def _fetch_archive(self, dl_manager: tfds.download.DownloadManager, url: str, fix: str) -> Path:
        """Downloads and unpacks an archive, into a folder that is removed after the preparation.

        Args:
          dl_manager: does the download, and keeps the archive for the next time.
          url: address of a zip archive.
          fix: what to do where there is no network; ends the error message.

        Returns:
          The folder with the archive's contents.

        Raises:
          UserError: the download failed, or the archive is damaged or unsafe.
        """
        unpack(fetch(dl_manager, url, kept=self._downloads / self.name, fix=fix), self._unpacked)
        return self._unpacked


class _LocalInfo(tfds.core.DatasetInfo):
    def initialize_from_bucket(self) -> None:
        """Does nothing: TFDS's bucket has none of these, and asking leaves a temporary folder behind."""


def encode_example(
    image: Image.Image, mask: Image.Image | None, label: str | None, name: str, group: str
) -> tuple[str, dict[str, Any]]:
    """One example as a builder's generators yield it.

    Args:
      image: mode RGB.
      mask: mode L, of the same size; None where it is unknown.
      label: name of the class; None where it is unknown.
      name: the image's unique name, which also is the example's key.
      group: the group's name.

    Returns:
      The key, and the features with the images as PNG, beside `facts` for the dataset's summary.
    """
    features = {
        "image": encode_png(image),
        "mask": encode_png(mask or Image.new("L", image.size)),
        "has_mask": mask is not None,
        "label": -1 if label is None else label,
        "name": name,
        "group": group,
        # Here, where the pixels are at hand: to decode all images again for the summary took a third of the time.
        _FACTS: measure(np.asarray(image), None if mask is None else np.asarray(mask)),
    }
    return name, features


def read_examples(
    images: Iterable[LabelledImage], skipped: list[str] | None = None, *, known_bad: Sequence[str] = ()
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Reads images from their files, several at a time, as a builder's generators yield them.

    Args:
      images: where they are and what they show.
      skipped: where given, images that can't be used are left out, and it gets a sentence about each.
      known_bad: sentences about other files that can't be used, to be named with these; none where `skipped` is given.

    Yields:
      The key and the features of each, see `encode_example`, in the order of the images.

    Raises:
      BadFilesError: files can't be read, or masks differ from their images in size, and `skipped` is not given; or
        `known_bad` names some. All images have been tried.
      UserError: none of the images can be used.
    """
    usable, bad = False, [*known_bad]
    for labelled, example in in_threads(_example, images):
        if isinstance(example, UserError):
            bad.append(str(example))
        else:
            usable = True
            # Those of a dataset that is refused are not wanted.
            if skipped is not None or not bad:
                yield example
        if isinstance(skipped, SkippedFiles) and labelled.mask_path is not None and labelled.label is not None:
            counts = skipped.masks_lost if isinstance(example, UserError) else skipped.masks_kept
            counts[labelled.label] += 1
    skip_or_raise(bad, skipped)
    if skipped and not usable:
        raise UserError(f"No image of a split can be used, the last one because {skipped[-1]}")


def _add_all(writer: SplitWriter, generator: Iterator[tuple[Any, dict[str, Any]]], split: str) -> None:
    """Write all examples of a generator, and close it, which ends its threads."""
    with contextlib.ExitStack() as stack:
        if hasattr(generator, "close"):
            stack.enter_context(contextlib.closing(generator))
        # Also of what a user's own builder reads in its own way.
        stack.enter_context(library_warnings_ignored())
        description = f"Generating {split} examples..."
        for key, example in tfds.core.utils.tqdm(generator, desc=description, unit=" examples", leave=False):
            features = dict(example)
            writer.add(key, features, features.pop(_FACTS, None))


def _example(labelled: LabelledImage) -> tuple[str, dict[str, Any]] | UserError:
    """An image's example, or why it can't be used."""
    try:
        image, mask = _read(labelled)
    except UserError as error:
        return error
    return encode_example(image, mask, labelled.label, labelled.name, labelled.group)


def _read(labelled: LabelledImage) -> tuple[Image.Image, Image.Image | None]:
    if labelled.mask_path is not None:
        return read_pair(labelled.image_path, labelled.mask_path, labelled.mask_reader, labelled.image_reader)
    image = labelled.image_reader(labelled.image_path)
    return image, Image.new("L", image.size) if labelled.has_mask else None


def check_splits(splits: Mapping[str, Sequence[LabelledImage]], where: Path) -> None:
    """Refuses a dataset that is too small to be split.

    Args:
      splits: images of each split.
      where: the dataset's folder.

    Raises:
      UserError: a split has no images.
    """
    for split, images in splits.items():
        if not images:
            raise UserError(f"{where} has too few groups of images to give {split!r} one: add images.")
