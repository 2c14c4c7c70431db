"""NEU-Seg, hot-rolled steel strip: 4470 pictures of three classes of defects, each with a mask."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from dms_jax.data.datasets.base import LabelledPicture, skip_or_raise
from dms_jax.data.datasets.files import files_by_stem, find_folder, pair_files
from dms_jax.data.datasets.published import PublishedDatasetBuilder
from dms_jax.data.datasets.splitting import split_by_hash, with_validation
from dms_jax.data.pictures import read_class_numbers, read_picture
from dms_jax.data.turned_copies import first_copies, thumbnail
from dms_jax.errors import UserError

# In the order of their numbers in the annotations, from 1.
_CLASSES = ("inclusion", "patches", "scratches")
_NOT_NEU = (
    "NEU-Seg is not the NEU of the SDMS/BDMS paper, which has six classes of 300 pictures whose masks are not public: "
    "figures measured on one say nothing about the other."
)
_MEND = (
    "get NEU-Seg as published with PGA-Net (Dong et al., IEEE Transactions on Industrial Informatics, 2020) "
    "and name the folder that holds images and annotations by --config.data.manual_dir=DIR "
    "(of dms-jax prepare: --manual-dir DIR)"
)


class NeuSeg(PublishedDatasetBuilder, skip_registration=True):
    """NEU-Seg (Dong et al., PGA-Net, 2020): 4470 grey pictures of steel strip, 200 x 200, three classes.

    It is *not* the NEU of the SDMS/BDMS paper, which has six classes of 300 pictures whose masks are not public:
    figures measured on one say nothing about the other.

    Every picture has a defect, 927 have two or three kinds: the label is the class with the most pixels (the
    first of them where two have as many, which no published picture does), the mask is all of them together.

    The published pictures are 1132, of which 1102 occur in all four quarter turns, eight of them twice. A picture
    and its copies are a group, found by their contents. Configuration `published` tests on the 840 pictures
    published for that, although 810 of them have a copy among the other 3630; `grouped` keeps every group in
    one split, and tests on a fifth of the groups of each class. In both, a tenth of the remaining groups of each
    class are for validation. Not even `grouped` is free of leaks: at least 708 pictures are pasted together from
    parts of others, and 229 of its 895 test pictures have a corner in common with one of another split.
    """

    name = "neu_seg"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = (
        tfds.core.BuilderConfig(
            name="published", description="The published test pictures; turned copies of them are in training."
        ),
        tfds.core.BuilderConfig(name="grouped", description="No picture is in two splits, not even turned."),
    )
    FOLDERS = ("images/training", "annotations/training")
    NOTES: ClassVar = {
        "published": (
            _NOT_NEU,
            "810 of the 840 published test pictures have a copy, most of them turned, in train or validation, which "
            "flatters the figures: split=grouped keeps a picture and its copies together.",
        ),
        "grouped": (
            _NOT_NEU,
            "229 of the 895 test pictures have a corner in common with a picture of another split: at least 708 were "
            "pasted together from parts of others.",
        ),
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = _MEND
    CLASS_NAMES = _CLASSES
    FREE_CLASS = None

    def _split_pictures(self, root: Path) -> dict[str, list[LabelledPicture]]:
        return split_pictures(find_pictures(root, self._skipped), self.builder_config_name)


def find_pictures(root: Path, skipped: list[str] | None = None) -> list[LabelledPicture]:
    """Lists a copy of the dataset, in the order of names, and reads it all for its labels and groups.

    Args:
        root: the folder that holds images and annotations.
        skipped: where given, files that can't be used are left out, and it gets a sentence about each.

    Returns:
        All pictures; the group's name is that of its first picture.

    Raises:
        UserError: a folder is missing or empty; or a picture has no annotation or an annotation no picture, or a
            file is damaged, and `skipped` is not given.
    """
    files = {}
    for part in ("test", "training"):
        pictures = files_by_stem(find_folder(root, f"images/{part}"), ".jpg", "pictures", _MEND)
        annotations = files_by_stem(find_folder(root, f"annotations/{part}"), ".png", "annotations", _MEND)
        pairs = pair_files(pictures, annotations, skipped)
        files.update({f"images/{part}/{stem}.jpg": pair for stem, pair in pairs.items()})
    names, labels, thumbnails = [], [], []
    for name, (path, annotation) in files.items():
        try:
            label, small = label_of(annotation), thumbnail(read_picture(path))
        except UserError as error:
            skip_or_raise(str(error), skipped)
            continue
        names.append(name)
        labels.append(label)
        thumbnails.append(small)
    first = first_copies(np.stack(thumbnails)) if thumbnails else ()
    return [
        LabelledPicture(name, label, names[i], *files[name], mask_reader=read_annotation)
        for name, label, i in zip(names, labels, first, strict=True)
    ]


def split_pictures(pictures: Sequence[LabelledPicture], config: str) -> dict[str, list[LabelledPicture]]:
    """Splits the dataset.

    Args:
        pictures: all pictures.
        config: `published` or `grouped`, see `NeuSeg`.

    Returns:
        The pictures of `train`, `validation` and `test`, in the order given.
    """
    if config == "grouped":
        return split_by_hash(pictures, test_share=0.2)
    return with_validation(
        rest=[picture for picture in pictures if not picture.name.startswith("images/test/")],
        test=[picture for picture in pictures if picture.name.startswith("images/test/")],
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
            f"{annotation} has no defective pixel, so that its class is unknown: restore it or remove it and its "
            "picture."
        )
    return _CLASSES[int(counts.argmax())]


def read_annotation(path: Path) -> Image.Image:
    """The mask of an annotation, mode L: 255 wherever there is a defect of any class.

    Raises:
        UserError: the annotation is damaged.
    """
    numbers = read_class_numbers(path, largest=len(_CLASSES))
    return Image.fromarray(np.where(numbers > 0, 255, 0).astype(np.uint8))
