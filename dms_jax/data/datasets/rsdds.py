"""RSDDs, the rail surface discrete defect datasets: 195 images of rails of two types, each with a mask."""

from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

from dms_jax.data.datasets.base import LabelledImage
from dms_jax.data.datasets.files import files_by_stem, find_folder, pair_files
from dms_jax.data.datasets.published import PublishedDatasetBuilder
from dms_jax.data.datasets.splitting import split_by_hash

_FOLDERS = {"Type-I RSDDs dataset": "type-I", "Type-II RSDDs dataset": "type-II"}
_FIX = (
    "get RSDDs as published with Gan et al., A hierarchical extractor-based visual rail surface inspection system "
    "(IEEE Sensors Journal, 2017), and name the folder that holds Type-I RSDDs dataset and Type-II RSDDs dataset by "
    "--config.data.manual_dir=DIR (of dms-jax prepare: --manual-dir DIR)"
)


class Rsdds(PublishedDatasetBuilder, skip_registration=True):
    """Rail surface discrete defects (Gan et al., 2017): 67 images of express and 128 of common rails.

    The images are tall and narrow: 160 x 1000 pixels of type I (express rails), 55 x 1250 of type II (common and
    heavy-haul rails). The class is the type of the rail, as the dataset names no kinds of defects; every image
    has a defect. The masks are JPEG files and so not quite black and white; they are kept as they are. No split is
    published: a fifth of each type is for testing, and a tenth of the rest for validation, by a fixed hash of
    the name.
    """

    name = "rsdds"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = (tfds.core.BuilderConfig(name="hashed", description="Split by a fixed hash of the name."),)
    FOLDERS = tuple(_FOLDERS)
    TELLING_PATHS = tuple(f"{folder}/Rail surface images" for folder in _FOLDERS)
    NOTES: ClassVar = {"hashed": ("The class is the type of the rail: the dataset names no kinds of defects.",)}
    MANUAL_DOWNLOAD_INSTRUCTIONS = _FIX
    CLASS_NAMES = tuple(_FOLDERS.values())
    FREE_CLASS = None

    def _split_images(self, root: Path) -> dict[str, list[LabelledImage]]:
        return split_by_hash(find_images(root, self._skipped), test_share=0.2)


def find_images(root: Path, skipped: list[str] | None = None) -> list[LabelledImage]:
    """Lists a copy of the dataset, in the order of names, without opening an image.

    Args:
      root: the folder that holds the folders of the two types.
      skipped: where given, files that can't be used are left out, and it gets a sentence about each.

    Returns:
      All images, with their names as published; each is a group of its own.

    Raises:
      UserError: a folder is missing or empty; or an image has no mask or a mask no image, and `skipped` is not given.
    """
    found = []
    for folder, label in _FOLDERS.items():
        images = files_by_stem(find_folder(root, f"{folder}/Rail surface images"), ".jpg", "images", _FIX)
        masks = files_by_stem(find_folder(root, f"{folder}/GroundTruth"), ".jpg", "masks", _FIX)
        for stem, (image_path, mask_path) in pair_files(images, masks, skipped).items():
            name = f"{folder}/Rail surface images/{stem}.jpg"
            found.append(LabelledImage(name, label, group=name, image_path=image_path, mask_path=mask_path))
    return found
