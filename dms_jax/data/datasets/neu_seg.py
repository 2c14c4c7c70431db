"""NEU-Seg, hot-rolled steel strip: 4470 pictures of three classes of defects, each with a mask."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from dms_jax.data.datasets.base import LabelledPicture
from dms_jax.data.datasets.files import check_pairs, files_by_stem, find_folder
from dms_jax.data.datasets.published import PublishedDatasetBuilder
from dms_jax.data.datasets.splitting import split_by_hash, with_validation
from dms_jax.data.pictures import read_class_numbers, read_picture
from dms_jax.data.turned_copies import first_copies, thumbnail
from dms_jax.errors import UserError

# In the order of their numbers in the annotations, from 1.
_CLASSES = ("inclusion", "patches", "scratches")
_MEND = (
    "get NEU-Seg as published with PGA-Net (Dong et al., IEEE Transactions on Industrial Informatics, 2020) "
    "and name the folder that holds images and annotations by --config.data.manual_dir=DIR"
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
    MANUAL_DOWNLOAD_INSTRUCTIONS = _MEND
    CLASS_NAMES = _CLASSES
    FREE_CLASS = None

    def _split_pictures(self, root: Path) -> dict[str, list[LabelledPicture]]:
        return split_pictures(find_pictures(root), self.builder_config_name)


def find_pictures(root: Path) -> list[LabelledPicture]:
    """Lists a copy of the dataset, in the order of names, and reads it all for its labels and groups.

    Args:
        root: the folder that holds images and annotations.

    Returns:
        All pictures; the group's name is that of its first picture.

    Raises:
        UserError: a folder is missing or empty, a picture has no annotation or an annotation no picture, or a
            file is damaged.
    """
    files = {}
    for part in ("test", "training"):
        pictures = files_by_stem(find_folder(root, f"images/{part}"), ".jpg", "pictures", _MEND)
        annotations = files_by_stem(find_folder(root, f"annotations/{part}"), ".png", "annotations", _MEND)
        check_pairs(pictures, annotations)
        files.update({f"images/{part}/{stem}.jpg": (path, annotations[stem]) for stem, path in pictures.items()})
    labels = [label_of(annotation) for _, annotation in files.values()]
    first = first_copies(np.stack([thumbnail(read_picture(path)) for path, _ in files.values()]))
    names = list(files)
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
