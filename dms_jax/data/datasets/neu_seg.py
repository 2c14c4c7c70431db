"""NEU-Seg, hot-rolled steel strip: 4470 images of three classes of defects, each with a mask."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from dms_jax.data.datasets.base import LabelledImage, skip_or_raise
from dms_jax.data.datasets.files import files_by_stem, find_folder, pair_files
from dms_jax.data.datasets.near_duplicates import first_copies, thumbnail
from dms_jax.data.datasets.published import PublishedDatasetBuilder
from dms_jax.data.datasets.splitting import split_by_hash, with_validation
from dms_jax.data.image_files import read_image
from dms_jax.data.mask_files import read_class_numbers
from dms_jax.errors import UserError

# In the order of their numbers in the annotations, from 1.
_CLASSES = ("inclusion", "patches", "scratches")
_NOT_NEU = (
    "NEU-Seg is not the NEU of the SDMS/BDMS paper, which has six classes of 300 images whose masks are not public: "
    "results on one say nothing about the other."
)
_FIX = (
    "get NEU-Seg as published with PGA-Net (Dong et al., IEEE Transactions on Industrial Informatics, 2020) "
    "and name the folder that holds images and annotations by --config.data.manual_dir=DIR "
    "(of dms-jax prepare: --manual-dir DIR)"
)


class NeuSeg(PublishedDatasetBuilder, skip_registration=True):
    """NEU-Seg (Dong et al., PGA-Net, 2020): 4470 grey images of steel strip, 200 x 200, three classes.

    It is *not* the NEU of the SDMS/BDMS paper, which has six classes of 300 images whose masks are not public:
    results on one say nothing about the other.

    Every image has a defect, 927 have two or three kinds: the label is the class with the most pixels (the
    first of them where two have as many, which no published image does), the mask is all of them together.

    The published images are 1132, of which 1102 occur in all four quarter turns, eight of them twice. An image
    and its copies are a group, found by their contents. Configuration `published` tests on the 840 images
    published for that, although 810 of them have a copy among the other 3630; `grouped` keeps every group in
    one split, and tests on a fifth of the groups of each class. In both, a tenth of the remaining groups of each
    class are for validation. Not even `grouped` is free of leaks: at least 708 images are pasted together from
    parts of others, and 229 of its 895 test images have a corner in common with one of another split.
    """

    name = "neu_seg"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = (
        tfds.core.BuilderConfig(
            name="published", description="The published test images; turned copies of them are in training."
        ),
        tfds.core.BuilderConfig(name="grouped", description="No image is in two splits, not even turned."),
    )
    FOLDERS = ("images/training", "annotations/training")
    TELLING_PATHS = (f"annotations/training/{6 * '[0-9]'}.png",)
    NOTES: ClassVar = {
        "published": (
            _NOT_NEU,
            "810 of the 840 published test images have a copy, most of them turned, in train or validation, which "
            "inflates the metrics: split=grouped keeps an image and its copies together.",
        ),
        "grouped": (
            _NOT_NEU,
            "229 of the 895 test images have a corner in common with an image of another split: at least 708 were "
            "pasted together from parts of others.",
        ),
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = _FIX
    CLASS_NAMES = _CLASSES
    FREE_CLASS = None

    def _split_images(self, root: Path) -> dict[str, list[LabelledImage]]:
        return split_images(find_images(root, self._skipped), self.builder_config_name)


def find_images(root: Path, skipped: list[str] | None = None) -> list[LabelledImage]:
    """Lists a copy of the dataset, in the order of names, and reads it all for its labels and groups.

    Args:
      root: the folder that holds images and annotations.
      skipped: where given, files that can't be used are left out, and it gets a sentence about each.

    Returns:
      All images; the group's name is that of its first image.

    Raises:
      UserError: a folder is missing or empty; or an image has no annotation or an annotation no image, or a file is
        damaged, and `skipped` is not given.
    """
    files = {}
    for part in ("test", "training"):
        images = files_by_stem(find_folder(root, f"images/{part}"), ".jpg", "images", _FIX)
        annotations = files_by_stem(find_folder(root, f"annotations/{part}"), ".png", "annotations", _FIX)
        pairs = pair_files(images, annotations, skipped)
        files.update({f"images/{part}/{stem}.jpg": pair for stem, pair in pairs.items()})
    names, labels, thumbnails, bad = [], [], [], []
    for name, (path, annotation) in files.items():
        try:
            label, small = label_of(annotation), thumbnail(read_image(path))
        except UserError as error:
            bad.append(str(error))
            continue
        names.append(name)
        labels.append(label)
        thumbnails.append(small)
    skip_or_raise(bad, skipped)
    first = first_copies(np.stack(thumbnails)) if thumbnails else ()
    return [
        LabelledImage(name, label, names[i], *files[name], mask_reader=read_annotation)
        for name, label, i in zip(names, labels, first, strict=True)
    ]


def split_images(images: Sequence[LabelledImage], config: str) -> dict[str, list[LabelledImage]]:
    """Splits the dataset.

    Args:
      images: all images.
      config: `published` or `grouped`, see `NeuSeg`.

    Returns:
      The images of `train`, `validation` and `test`, in the order given.
    """
    if config == "grouped":
        return split_by_hash(images, test_share=0.2)
    return with_validation(
        rest=[image for image in images if not image.name.startswith("images/test/")],
        test=[image for image in images if image.name.startswith("images/test/")],
    )


def label_of(annotation: Path) -> str:
    """The class with the most pixels in an annotation, the first of them where two have as many.

    Raises:
      UserError: the annotation is damaged, or has no defective pixel.
    """
    numbers = read_class_numbers(annotation, largest=len(_CLASSES))
    counts = np.bincount(numbers.ravel(), minlength=len(_CLASSES) + 1)[1:]
    if not counts.any():
        raise UserError(
            f"{annotation} has no defective pixel, so that its class is unknown: restore it or remove it and its image."
        )
    return _CLASSES[int(counts.argmax())]


def read_annotation(path: Path) -> Image.Image:
    """The mask of an annotation, mode L: 255 wherever there is a defect of any class.

    Raises:
      UserError: the annotation is damaged.
    """
    numbers = read_class_numbers(path, largest=len(_CLASSES))
    return Image.fromarray(np.where(numbers > 0, 255, 0).astype(np.uint8))
