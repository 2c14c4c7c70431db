"""KolektorSDD2, surfaces of production items: 3335 images, 356 of them with a defect, each with a mask."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from dms_jax.data.datasets.base import LabelledImage, skip_or_raise
from dms_jax.data.datasets.files import files_by_stem, find_folder
from dms_jax.data.datasets.published import PublishedDatasetBuilder
from dms_jax.data.datasets.splitting import with_validation
from dms_jax.data.image_files import DEFECT_THRESHOLD
from dms_jax.data.mask_files import read_mask
from dms_jax.errors import UserError

_MASK = "_GT"
# The published training images hold one image and its mask twice: "10301 (copy).png" and "10301_GT (copy).png".
_COPY = " (copy)"
_FIX = (
    "get KolektorSDD2 from https://www.vicos.si/resources/kolektorsdd2/ and name the folder that holds train and test "
    "by --config.data.manual_dir=DIR (of dms-jax prepare: --manual-dir DIR)"
)


class KolektorSdd2(PublishedDatasetBuilder, skip_registration=True):
    """KolektorSDD2 (Bozic, Tabernik and Skocaj, 2021): colour images of about 230 x 630 pixels, some with a defect.

    Published are 246 images with a defect and 2085 without for training, 110 and 894 for testing: `train/10000.png`
    with the mask `train/10000_GT.png`, which is all black where there is no defect. The kinds of defects are not told
    apart: the classes are `free` and `defect`. A tenth of the training images of each class is for validation, by a
    fixed hash of the name. The dataset is for non-commercial use (CC BY-NC-SA 4.0).
    """

    name = "kolektor_sdd2"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = (tfds.core.BuilderConfig(name="published", description="Tests on the published test images."),)
    FOLDERS = ("train", "test")
    TELLING_PATHS = (f"train/1{4 * '[0-9]'}_GT.png", f"test/2{4 * '[0-9]'}_GT.png")
    NOTES: ClassVar = {
        "published": (
            "The dataset names no kinds of defects: the class is defect where the mask is not black, else free.",
        ),
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = _FIX
    CLASS_NAMES = ("free", "defect")
    FREE_CLASS = "free"

    def _split_images(self, root: Path) -> dict[str, Sequence[LabelledImage]]:
        train, test = (find_images(root, split, self._skipped) for split in ("train", "test"))
        return with_validation(train, test)


def find_images(root: Path, split: str, skipped: list[str] | None = None) -> list[LabelledImage]:
    """Lists the images of a split in a copy of the dataset, in the order of names, and reads their masks.

    Args:
      root: the folder that holds train and test.
      split: `train` or `test`.
      skipped: where given, files that can't be used are left out, and it gets a sentence about each.

    Returns:
      The images; each is a group of its own.

    Raises:
      UserError: the folder is missing or empty; or an image has no mask or a mask no image, or a mask is damaged, and
        `skipped` is not given.
    """
    folder = find_folder(root, split)
    files = {stem: path for stem, path in files_by_stem(folder, ".png", "images", _FIX).items() if _COPY not in stem}
    found = []
    for stem, path in files.items():
        if stem.endswith(_MASK):
            if stem.removesuffix(_MASK) not in files:
                skip_or_raise(f"{path} is a mask of no image: restore its image or remove it.", skipped)
            continue
        mask_path = files.get(stem + _MASK)
        if mask_path is None:
            skip_or_raise(f"{path} has no mask {stem}{_MASK}.png beside it: restore it or remove the image.", skipped)
            continue
        try:
            defective = np.asarray(read_mask(mask_path)).max() > DEFECT_THRESHOLD
        except UserError as error:
            skip_or_raise(str(error), skipped)
            continue
        name = f"{split}/{stem}.png"
        found.append(LabelledImage(name, "defect" if defective else "free", name, path, mask_path))
    return found
