"""Datasets that are read from a copy of the files as published."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from dms_jax.data.datasets.base import LabelledImage, SurfaceDefectBuilder, check_splits, read_examples
from dms_jax.data.datasets.files import find_root
from dms_jax.errors import UserError


class PublishedDatasetBuilder(SurfaceDefectBuilder, skip_registration=True):
    """Base of the datasets that someone has published: found or downloaded, split, and read.

    Attributes:
      FOLDERS: paths of the folders that the published files lie in.
      TELLING_PATHS: patterns of paths beside these folders or in them, of which one tells that it is this dataset.
      ARCHIVE_URL: address of a zip archive of them; empty where none is known.
      NOTES: for each configuration, what those who use it should know, one sentence each.
      MANUAL_DOWNLOAD_INSTRUCTIONS: where to get them and how to name the copy; ends the error message.
    """

    FOLDERS: ClassVar[tuple[str, ...]]
    TELLING_PATHS: ClassVar[tuple[str, ...]] = ()
    ARCHIVE_URL: ClassVar[str] = ""
    NOTES: ClassVar[Mapping[str, tuple[str, ...]]]
    MANUAL_DOWNLOAD_INSTRUCTIONS: ClassVar[str]

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of this configuration."""
        return self.NOTES[self.builder_config_name]

    @classmethod
    def is_likely_in(cls, folder: Path) -> bool:
        """Whether a folder, or the only such one in it, looks like this dataset as published."""
        root = find_root(folder, cls.FOLDERS)
        return root is not None and any(any(root.glob(pattern)) for pattern in cls.TELLING_PATHS)

    @abstractmethod
    def _split_images(self, root: Path) -> Mapping[str, Sequence[LabelledImage]]:
        """The images of `train`, `validation` and `test`, from the folder that holds `FOLDERS`."""

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        root = self._find_root(dl_manager)
        splits = self._split_images(root)
        check_splits(splits, root)
        return {split: self._generate_examples(members) for split, members in splits.items()}

    def _generate_examples(self, images: Iterable[LabelledImage]) -> Iterator[tuple[str, dict[str, Any]]]:
        return read_examples(images, self._skipped)

    def _find_root(self, dl_manager: tfds.download.DownloadManager) -> Path:
        fix = self.MANUAL_DOWNLOAD_INSTRUCTIONS
        given = self._given_folder(dl_manager)
        if given is not None:
            root = find_root(given, self.FOLDERS)
            if root is not None:
                return root
            if given != self._downloads / "manual":
                raise UserError(f"{given} holds none of the folders {', '.join(self.FOLDERS)}: {fix}.")
        if not self.ARCHIVE_URL:
            raise UserError(f"{self.name} cannot be downloaded: {fix}.")
        root = find_root(self._fetch_archive(dl_manager, self.ARCHIVE_URL, fix), self.FOLDERS)
        if root is None:
            raise UserError(f"{self.ARCHIVE_URL} holds none of the folders {', '.join(self.FOLDERS)} any more: {fix}.")
        return root
