"""NEU-DET, hot-rolled steel strip: 1800 images of six classes of defects, each with boxes."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from dms_jax.data.datasets.base import LabelledImage, skip_or_raise
from dms_jax.data.datasets.files import find_folder
from dms_jax.data.datasets.published import PublishedDatasetBuilder
from dms_jax.data.datasets.splitting import split_by_hash, with_validation
from dms_jax.errors import UserError, first_words

_CLASSES = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")
# As published, and as others have split it.
_FOLDERS = {"": ("IMAGES", "ANNOTATIONS"), "train": ("images", "annotations"), "validation": ("images", "annotations")}
_BOXES = (
    "The masks are the annotated boxes, filled: they mark more than the defects, and what is measured of the maps says "
    "how well boxes are found. There are no other public masks of these images; NEU-Seg (dataset=neu_seg) has three of "
    "the classes with masks."
)
_FIX = (
    "get NEU-DET as published with He et al., An end-to-end steel surface defect detection approach (IEEE Transactions "
    "on Instrumentation and Measurement, 2020), and name the folder that holds IMAGES and ANNOTATIONS, or train and "
    "validation, by --config.data.manual_dir=DIR (of dms-jax prepare: --manual-dir DIR)"
)


class NeuDet(PublishedDatasetBuilder, skip_registration=True):
    """NEU-DET (Song and Yan, 2013; boxes by He et al., 2020): 1800 grey images of steel strip, 200 x 200, six classes.

    There are 300 images of each class, which their names begin with. All have defects; these are annotated by boxes
    alone. *The masks are the boxes, filled.* A folder holds `IMAGES/crazing_1.jpg` and `ANNOTATIONS/crazing_1.xml`
    (Pascal VOC), or `train/images/crazing/crazing_1.jpg`, `train/annotations/crazing_1.xml` and the same of
    `validation`. Boxes are taken as Pascal VOC counts: from 1, and to the last pixel that belongs to it.

    Configuration `hashed` tests on a fifth of the images of each class, by a fixed hash of the name, which is the same
    of both folders; `folders` tests on those in `validation`. In both, a tenth of the rest is for validation.
    """

    name = "neu_det"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = (
        tfds.core.BuilderConfig(name="hashed", description="Split by a fixed hash of the name."),
        tfds.core.BuilderConfig(name="folders", description="Tests on the images in the folder validation."),
    )
    FOLDERS = ("IMAGES", "ANNOTATIONS", "train/images", "validation/images")
    TELLING_PATHS = ("IMAGES/crazing_*", "ANNOTATIONS/crazing_*.xml", "*/images/crazing/crazing_*")
    NOTES: ClassVar = {
        "hashed": (_BOXES,),
        "folders": (_BOXES, "The images in the folder validation are for testing; a tenth of train is for validation."),
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = _FIX
    CLASS_NAMES = _CLASSES
    FREE_CLASS = None

    def _split_images(self, root: Path) -> dict[str, Sequence[LabelledImage]]:
        images = find_images(root, self._skipped)
        if self.builder_config_name == "hashed":
            return split_by_hash(images, test_share=0.2)
        validation = find_folder(root, "validation")
        test = [image for image in images if validation in image.image_path.parents]
        if not test:
            raise UserError(f"{root} has no images in a folder validation to test on: use split=hashed.")
        tested = {image.name for image in test}
        return with_validation([image for image in images if image.name not in tested], test)


def find_images(root: Path, skipped: list[str] | None = None) -> list[LabelledImage]:
    """Lists a copy of the dataset, in the order of names, without opening an image.

    An annotation may lie in another split's folder than its image, as crazing_240.xml of a common copy does.

    Args:
      root: the folder that holds IMAGES and ANNOTATIONS, or train and validation.
      skipped: where given, files that can't be used are left out, and it gets a sentence about each.

    Returns:
      The images; each is a group of its own, and its name does not depend on the folder.

    Raises:
      UserError: there are no images; or an image has no annotation or an annotation no image, two have the same name,
        or an image is of no known class, and `skipped` is not given.
    """
    images = dict(_by_stem(root, 0, (".jpg", ".jpeg", ".bmp", ".png"), skipped))
    annotations = dict(_by_stem(root, 1, (".xml",), skipped))
    if not images:
        raise UserError(f"{root} holds no images: {_FIX}.")
    for stem in sorted(annotations.keys() - images.keys()):
        skip_or_raise(f"{annotations[stem]} has no image {stem}.jpg: restore it or remove the annotation.", skipped)
    found = []
    for stem, path in sorted(images.items()):
        label = next((label for label in _CLASSES if stem.startswith(f"{label}_")), None)
        if stem not in annotations:
            skip_or_raise(f"{path} has no annotation {stem}.xml: restore it or remove the image.", skipped)
        elif label is None:
            known = ", ".join(_CLASSES)
            skip_or_raise(f"{path} is named after no class ({known}): restore its name or remove it.", skipped)
        else:
            found.append(LabelledImage(stem, label, stem, path, annotations[stem], mask_reader=read_boxes))
    return found


def _by_stem(root: Path, which: int, suffixes: Sequence[str], skipped: list[str] | None) -> Iterator[tuple[str, Path]]:
    """The images (0) or the annotations (1) of all folders, by their names without ending."""
    found: dict[str, Path] = {}
    for folder, names in _FOLDERS.items():
        files = find_folder(root, "/".join(filter(None, (folder, names[which]))))
        for path in sorted(files.rglob("*")):
            if path.suffix.lower() not in suffixes or path.name.startswith("."):
                continue
            # IMAGES and images may be one folder, where a file system does not tell cases apart.
            other = found.setdefault(path.stem, path)
            if other is not path and not other.samefile(path):
                skip_or_raise(f"{path} has the name of {other}: remove one of them.", skipped)
    yield from found.items()


def read_boxes(path: Path) -> Image.Image:
    """The mask of a Pascal VOC annotation, mode L: 255 in its boxes.

    Args:
      path: the XML file.

    Raises:
      UserError: it is damaged, has no box, or a box that lies outside of the image.
    """
    try:
        root = ElementTree.parse(path).getroot()
        number = partial(_number, path)
        mask = np.zeros((number(root, "size/height"), number(root, "size/width")), np.uint8)
        boxes = [[number(box, side) for side in ("xmin", "ymin", "xmax", "ymax")] for box in root.iter("bndbox")]
    except (OSError, ElementTree.ParseError) as error:
        raise UserError(f"{path} cannot be read as XML ({first_words(error)}): replace it.") from error
    if not boxes:
        raise UserError(f"{path} has no box: restore it or remove it and its image.")
    for left, top, right, bottom in boxes:
        if not (0 <= left <= right <= mask.shape[1] and 0 <= top <= bottom <= mask.shape[0]):
            raise UserError(
                f"{path} has the box {left}, {top}, {right}, {bottom}, which lies outside of the image of "
                f"{mask.shape[1]} x {mask.shape[0]} pixels: correct it."
            )
        # From 1, and to the last pixel; a box that begins at 0 is cut off.
        mask[max(top - 1, 0) : bottom, max(left - 1, 0) : right] = 255
    return Image.fromarray(mask)


def _number(path: Path, element: ElementTree.Element, name: str) -> int:
    text = element.findtext(name)
    try:
        number = round(float(text or ""))
    except (ValueError, OverflowError):
        number = -1
    if not 0 <= number <= 10**5:
        raise UserError(f"{path} has {text!r} for {name}, where a number of pixels is needed: replace it.")
    return number
