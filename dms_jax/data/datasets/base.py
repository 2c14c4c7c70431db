"""What all datasets of surface defects have in common."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from dms_jax.data.datasets.archives import fetch, unpack
from dms_jax.data.pictures import encode_png, read_pair
from dms_jax.errors import UserError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class LabelledPicture:
    """A picture in a file, its mask, and what is known about them.

    Attributes:
        name: path relative to the dataset's root, unique in the dataset.
        label: name of the class.
        group: name of the group; pictures of one group show the same thing and belong into one split.
        image_path: the picture's file.
        mask_path: the mask's file.
    """

    name: str
    label: str
    group: str
    image_path: Path
    mask_path: Path


class SurfaceDefectBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Base of all datasets: pictures with a mask of the defect and one label.

    An example is a dict of `image` (uint8 [H, W, 3]), `mask` (uint8 [H, W, 1], 0 is sound and 255 defective,
    grey edges as in the file), `label` (index into `CLASS_NAMES`), `name` (text, the path relative to the
    dataset's root, unique) and `group` (text; pictures of one group show the same thing and are never
    parted). The splits are `train`, `validation` and `test`.

    Attributes:
        CLASS_NAMES: names of the classes, in the order of their indices.
        FREE_CLASS: the class without defects; None where every picture has a defect.
    """

    CLASS_NAMES: ClassVar[tuple[str, ...]]
    FREE_CLASS: ClassVar[str | None]

    def download_and_prepare(self, **kwargs: Any) -> None:
        """Prepares the dataset as TFDS does; unpacked archives are removed afterwards."""
        with tempfile.TemporaryDirectory(prefix="dms-jax-") as folder:
            self._unpacked = Path(folder)
            super().download_and_prepare(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return _LocalInfo(
            builder=self,
            description=type(self).__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), dtype=np.uint8, encoding_format="png"),
                    "mask": tfds.features.Image(shape=(None, None, 1), dtype=np.uint8, encoding_format="png"),
                    "label": tfds.features.ClassLabel(names=self.CLASS_NAMES),
                    "name": tfds.features.Text(),
                    "group": tfds.features.Text(),
                }
            ),
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

    def _fetch_archive(self, dl_manager: tfds.download.DownloadManager, url: str, mend: str) -> Path:
        """Downloads and unpacks an archive, into a folder that lasts as long as the preparation.

        Args:
            dl_manager: does the download, and keeps the archive for the next time.
            url: address of a zip archive.
            mend: what to do where there is no network, the end of an error's sentence.

        Returns:
            The folder with the archive's contents.

        Raises:
            UserError: the download failed, or the archive is damaged or unsafe.
        """
        unpack(fetch(dl_manager, url, kept=self._downloads / self.name, mend=mend), self._unpacked)
        return self._unpacked


class _LocalInfo(tfds.core.DatasetInfo):
    def initialize_from_bucket(self) -> None:
        """Does nothing: TFDS's bucket has none of these, and asking leaves a temporary folder behind."""


def encode_example(
    image: Image.Image, mask: Image.Image, label: str, name: str, group: str
) -> tuple[str, dict[str, Any]]:
    """One example as TFDS takes it.

    Args:
        image: mode RGB.
        mask: mode L, of the same size.
        label: name of the class.
        name: the picture's unique name, which also is the example's key.
        group: the group's name.

    Returns:
        The key, and the features with the pictures as PNG.
    """
    features = {
        "image": encode_png(image),
        "mask": encode_png(mask),
        "label": label,
        "name": name,
        "group": group,
    }
    return name, features


def read_examples(pictures: Iterable[LabelledPicture]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Reads pictures from their files, as TFDS takes them.

    Args:
        pictures: where they are and what they show.

    Yields:
        The key and the features of each, see `encode_example`.

    Raises:
        UserError: a file can't be read, or a mask has not the size of its picture.
    """
    for picture in pictures:
        image, mask = read_pair(picture.image_path, picture.mask_path)
        yield encode_example(image, mask, picture.label, picture.name, picture.group)


def check_splits(splits: Mapping[str, Sequence[LabelledPicture]], where: Path) -> None:
    """Refuses a dataset that is too small to be split.

    Args:
        splits: pictures of each split.
        where: the dataset's folder.

    Raises:
        UserError: a split has no pictures.
    """
    for split, pictures in splits.items():
        if not pictures:
            raise UserError(f"{where} has too few groups of pictures to give {split!r} one: add pictures.")
