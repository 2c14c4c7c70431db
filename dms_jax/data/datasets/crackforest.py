"""CrackForest, cracks in roads: 118 colour images with a mask."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from dms_jax.data.datasets.base import LabelledImage
from dms_jax.data.datasets.files import files_by_stem, find_folder, pair_files
from dms_jax.data.datasets.published import PublishedDatasetBuilder
from dms_jax.data.datasets.splitting import split_by_hash
from dms_jax.errors import UserError

# The published images 201 to 208 and 301 to 329 have no mask.
FIRST_WITHOUT_MASK = 201

# What the numbers in `groundTruth.Segmentation` mean, from 1. Only the second is the crack, as everyone reads it.
_REGIONS = ("surface", "crack", "surface closed in by cracks", "faint cracks, in five images")
_CRACK = 2
_FIX = (
    "clone or download https://github.com/cuilimeng/CrackForest-dataset "
    "and name the folder that holds image and groundTruth by --config.data.manual_dir=DIR "
    "(of dms-jax prepare: --manual-dir DIR)"
)


class CrackForest(PublishedDatasetBuilder, skip_registration=True):
    """CrackForest (Shi et al., 2016): 118 colour images of cracks in roads, 480 x 320.

    Of the 155 published images, 37 have no mask (201 to 208 and 301 to 329) and are left out; the SDMS/BDMS paper
    counts 151. Every image has a crack. The mask is region 2 of the published segmentation; regions 3 (surface
    closed in by cracks) and 4 (a few faint cracks in five images) count as sound. No split is published: 40 %
    are for testing, and a tenth of the rest for validation, by a fixed hash of the name. The dataset is for
    non-commercial research only.
    """

    name = "crackforest"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = (tfds.core.BuilderConfig(name="hashed", description="Split by a fixed hash of the name."),)
    FOLDERS = ("image", "groundTruth")
    TELLING_PATHS = ("groundTruth/[0-9]*.mat",)
    ARCHIVE_URL = "https://github.com/cuilimeng/CrackForest-dataset/archive/refs/heads/master.zip"
    NOTES: ClassVar = {
        "hashed": (
            "The 37 published images without a mask (201 to 208 and 301 to 329) are left out; the SDMS/BDMS paper "
            "counts 151 images.",
        ),
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = _FIX
    CLASS_NAMES = ("crack",)
    FREE_CLASS = None

    def _split_images(self, root: Path) -> dict[str, list[LabelledImage]]:
        return split_by_hash(find_images(root, self._skipped), test_share=0.4)


def find_images(root: Path, skipped: list[str] | None = None) -> list[LabelledImage]:
    """Lists the images with a mask in a copy of the dataset, in the order of names, without opening one.

    Args:
      root: the folder that holds image and groundTruth.
      skipped: where given, files that can't be used are left out, and it gets a sentence about each.

    Returns:
      The images; each is a group of its own.

    Raises:
      UserError: a folder is missing or empty; or a mask has no image, or an image before number 201 no mask, and
        `skipped` is not given.
    """
    images = files_by_stem(find_folder(root, "image"), ".jpg", "images", _FIX)
    masks = files_by_stem(find_folder(root, "groundTruth"), ".mat", "masks", _FIX)
    left_out = [stem for stem in images.keys() - masks.keys() if stem.isdecimal() and int(stem) >= FIRST_WITHOUT_MASK]
    for stem in left_out:
        del images[stem]
    return [
        LabelledImage(
            name=f"image/{stem}.jpg",
            label="crack",
            group=f"image/{stem}.jpg",
            image_path=image_path,
            mask_path=mask_path,
            mask_reader=read_segmentation,
        )
        for stem, (image_path, mask_path) in pair_files(images, masks, skipped).items()
    ]


def read_segmentation(path: Path) -> Image.Image:
    """Reads the mask of a MATLAB file's `groundTruth.Segmentation`, mode L: 255 is crack.

    Args:
      path: the file.

    Raises:
      UserError: the file is missing, damaged, or holds no such segmentation.
    """
    # Imported here: a fifth of a second that the start of every run would wait for.
    import scipy.io

    try:
        contents = scipy.io.loadmat(path, appendmat=False, variable_names=["groundTruth"], simplify_cells=True)
    except Exception as error:  # scipy raises all kinds of errors where it can't parse a file.
        raise UserError(f"{path} cannot be read as a MATLAB file: replace it.") from error
    truth = contents.get("groundTruth")
    regions = truth.get("Segmentation") if isinstance(truth, dict) else None
    if not isinstance(regions, np.ndarray) or regions.ndim != 2 or not np.issubdtype(regions.dtype, np.number):
        raise UserError(f"{path} holds no image groundTruth.Segmentation: replace it.")
    unknown = regions[~np.isin(regions, range(1, len(_REGIONS) + 1))]
    if unknown.size:
        raise UserError(
            f"{path} has a pixel of value {unknown[0]} in groundTruth.Segmentation, where 1 to {len(_REGIONS)} are "
            "known: replace it."
        )
    return Image.fromarray(np.where(regions == _CRACK, 255, 0).astype(np.uint8))
