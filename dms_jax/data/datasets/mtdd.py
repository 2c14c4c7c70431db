"""MTDD, the magnetic tile defect dataset: 1344 grey images of six classes, each with a mask."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds
from PIL import Image

from dms_jax.data.datasets.base import LabelledImage
from dms_jax.data.datasets.files import files_by_stem, pair_files
from dms_jax.data.datasets.groups import chain_frames
from dms_jax.data.datasets.published import PublishedDatasetBuilder
from dms_jax.data.datasets.same_surface import join_groups
from dms_jax.data.datasets.splitting import split_by_hash, with_validation
from dms_jax.data.datasets.threads import in_threads
from dms_jax.data.image_files import read_image
from dms_jax.errors import UserError

# Images of one tile were mostly taken within this many frames of each other: 222 groups, 175 of them of exactly
# six. Some were taken again later, or have exposures in two classes: of these, `join_groups` makes 199.
FRAME_GAP = 200

_FOLDERS = {
    "MT_Free": "free",
    "MT_Blowhole": "blowhole",
    "MT_Break": "break",
    "MT_Crack": "crack",
    "MT_Fray": "fray",
    "MT_Uneven": "uneven",
}
_FILE_NAME = re.compile(r"exp\d+_num_(\d+)\.jpg")
_FIX = (
    "clone or download https://github.com/abin24/Magnetic-tile-defect-datasets. "
    "and name the folder that holds MT_Free by --config.data.manual_dir=DIR (of dms-jax prepare: --manual-dir DIR)"
)


class Mtdd(PublishedDatasetBuilder, skip_registration=True):
    """Magnetic tile defects (Huang, Qiu and Yuan, 2020): 1344 grey images of 1225 sizes, six classes.

    File names are `exp<exposure>_num<frame>`: the same tile was taken under up to six exposures in
    neighbouring frames. Images of one class whose frames are at most 200 apart are a group, and so are those of
    groups that show the same tile, whatever their classes and frames: 42 of the 222 groups are of 19 tiles that were
    taken again later, tilted or upside down, or have exposures in several classes. They are found by their contents
    (see `join_groups`), which takes some seconds. Configuration `paper` tests on the 226 images behind the published
    results, although each of them has its own tile, under other exposures, in training; `tiles` keeps every group in
    one split, and tests on a fifth of the groups of each class. In both, a tenth of the remaining groups of each class
    are for validation. The masks have grey edges, and four images of `uneven` an empty mask.
    """

    name = "mtdd"
    VERSION = tfds.core.Version("2.0.0")
    BUILDER_CONFIGS = (
        tfds.core.BuilderConfig(name="paper", description="The published test images; their tiles leak into training."),
        tfds.core.BuilderConfig(name="tiles", description="No tile is in two splits."),
    )
    FOLDERS = tuple(_FOLDERS)
    TELLING_PATHS = tuple(f"{folder}/Imgs/exp*_num_*.jpg" for folder in _FOLDERS)
    ARCHIVE_URL = "https://github.com/abin24/Magnetic-tile-defect-datasets./archive/refs/heads/master.zip"
    NOTES: ClassVar = {
        "paper": (
            "All 226 published test images have their own tile, under another exposure, in train or validation, which "
            "inflates the metrics: split=tiles keeps the images of a tile together.",
        ),
        "tiles": (),
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = _FIX
    CLASS_NAMES = tuple(_FOLDERS.values())
    FREE_CLASS = "free"

    def _split_images(self, root: Path) -> dict[str, list[LabelledImage]]:
        images = find_images(root, self._skipped)
        if self.builder_config_name == "paper":
            missing = paper_test_names() - {image.name for image in images}
            if missing:
                raise UserError(
                    f"{root / min(missing)} is missing, one of {len(missing)} missing images of the "
                    f"paper's test set: {_FIX}."
                )
        return split_images(images, self.builder_config_name)


def paper_test_names() -> frozenset[str]:
    """The names of the 226 images behind the published results."""
    text = resources.files("dms_jax.data.datasets").joinpath("splits/mtdd_paper_test.txt").read_text("utf-8")
    return frozenset(text.split())


def group_names(names: Iterable[str]) -> dict[str, str]:
    """Groups images of one tile: same class, frame numbers at most `FRAME_GAP` apart, chained.

    Args:
      names: images' names, like `MT_Blowhole/Imgs/exp6_num_108812.jpg`.

    Returns:
      For every name the name of its group, the class folder and the first frame: `MT_Blowhole/108719`.

    Raises:
      UserError: a file name does not hold an exposure and a frame number.
    """
    frames: dict[str, dict[str, int]] = defaultdict(dict)
    for name in names:
        match = _FILE_NAME.fullmatch(name.rpartition("/")[2])
        if match is None:
            raise UserError(f"{name} is not named like exp1_num_2345.jpg: remove it or restore its name.")
        frames[name.partition("/")[0]][name] = int(match[1])
    groups = {}
    for folder, frame_of in frames.items():
        first_of = chain_frames(frame_of.values(), FRAME_GAP)
        groups.update({name: f"{folder}/{first_of[frame]}" for name, frame in frame_of.items()})
    return groups


def find_images(root: Path, skipped: list[str] | None = None) -> list[LabelledImage]:
    """Lists a copy of the dataset, in the order of names, and reads its images for their groups.

    Args:
      root: the folder that holds MT_Free, MT_Blowhole, ...
      skipped: where given, files that can't be used are left out, and it gets a sentence about each.

    Returns:
      All images; the group's name is the first, in alphabetical order, of those that `group_names` gives to its images.
      An image that can't be read is here all the same, and refused or left out when it is read as an example.

    Raises:
      UserError: a class folder is unknown, missing or empty; or an image has no mask or a mask no image, and `skipped`
        is not given.
    """
    found = {folder.parent.name for folder in root.glob("MT_*/Imgs")}
    for folder in sorted(found - _FOLDERS.keys()):
        raise UserError(f"{root / folder} is no class of this dataset, which are {', '.join(_FOLDERS)}: move it away.")
    files = {}
    for folder in _FOLDERS:
        image_folder = root / folder / "Imgs"
        images = files_by_stem(image_folder, ".jpg", "images", _FIX)
        masks = files_by_stem(image_folder, ".png", "masks", _FIX)
        pairs = pair_files(images, masks, skipped)
        files.update({f"{folder}/Imgs/{stem}.jpg": pair for stem, pair in pairs.items()})
    names = sorted(files)
    near = group_names(names)
    greys = [grey for _, grey in in_threads(_grey, (files[name][0] for name in names))]
    groups = dict(zip(names, join_groups(greys, [near[name] for name in names]), strict=True))
    return [
        LabelledImage(
            name=name,
            label=_FOLDERS[name.partition("/")[0]],
            group=groups[name],
            image_path=image_path,
            mask_path=mask_path,
        )
        for name, (image_path, mask_path) in sorted(files.items())
    ]


def _grey(path: Path) -> Image.Image | None:
    """An image in grey; None where it can't be read."""
    try:
        return read_image(path).convert("L")
    except UserError:
        return None


def split_images(images: Sequence[LabelledImage], config: str) -> dict[str, list[LabelledImage]]:
    """Splits the dataset.

    Args:
      images: all images.
      config: `paper` or `tiles`, see `Mtdd`.

    Returns:
      The images of `train`, `validation` and `test`, in the order given.
    """
    if config == "tiles":
        return split_by_hash(images, test_share=0.2)
    names = paper_test_names()
    return with_validation(
        rest=[image for image in images if image.name not in names],
        test=[image for image in images if image.name in names],
    )
