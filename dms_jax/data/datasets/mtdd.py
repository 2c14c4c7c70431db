"""MTDD, the magnetic tile defect dataset: 1344 grey pictures of six classes, each with a mask."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import ClassVar

import tensorflow_datasets as tfds

from dms_jax.data.datasets.base import LabelledPicture
from dms_jax.data.datasets.files import files_by_stem, pair_files
from dms_jax.data.datasets.published import PublishedDatasetBuilder
from dms_jax.data.datasets.splitting import split_by_hash, with_validation
from dms_jax.data.groups import chain_frames
from dms_jax.errors import UserError

# Pictures of one tile were taken within this many frames of each other: 222 groups, 175 of them of exactly
# six.
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
_MEND = (
    "clone or download https://github.com/abin24/Magnetic-tile-defect-datasets. "
    "and name the folder that holds MT_Free by --config.data.manual_dir=DIR (of dms-jax prepare: --manual-dir DIR)"
)


class Mtdd(PublishedDatasetBuilder, skip_registration=True):
    """Magnetic tile defects (Huang, Qiu and Yuan, 2020): 1344 grey pictures of 1225 sizes, six classes.

    File names are `exp<exposure>_num<frame>`: the same tile was taken under up to six exposures in
    neighbouring frames. Pictures of one class whose frames are at most 200 apart are a group. Configuration
    `paper` tests on the 226 pictures behind the published figures, although 224 of them have their own tile,
    under other exposures, in training; `tiles` keeps every group in one split, and tests on a fifth of the
    groups of each class. In both, a tenth of the remaining groups of each class are for validation. The masks
    have grey edges, and four pictures of `uneven` an empty mask.
    """

    name = "mtdd"
    VERSION = tfds.core.Version("1.1.0")
    BUILDER_CONFIGS = (
        tfds.core.BuilderConfig(
            name="paper", description="The published test pictures; their tiles leak into training."
        ),
        tfds.core.BuilderConfig(name="tiles", description="No tile is in two splits."),
    )
    FOLDERS = tuple(_FOLDERS)
    ARCHIVE_URL = "https://github.com/abin24/Magnetic-tile-defect-datasets./archive/refs/heads/master.zip"
    NOTES: ClassVar = {
        "paper": (
            "224 of the 226 published test pictures have their own tile, under another exposure, in train or "
            "validation, which flatters the figures: split=tiles keeps the pictures of a tile together.",
        ),
        "tiles": (),
    }
    MANUAL_DOWNLOAD_INSTRUCTIONS = _MEND
    CLASS_NAMES = tuple(_FOLDERS.values())
    FREE_CLASS = "free"

    def _split_pictures(self, root: Path) -> dict[str, list[LabelledPicture]]:
        pictures = find_pictures(root, self._skipped)
        if self.builder_config_name == "paper":
            missing = paper_test_names() - {picture.name for picture in pictures}
            if missing:
                raise UserError(
                    f"{root / min(missing)} is missing, one of {len(missing)} missing pictures of the "
                    f"paper's test set: {_MEND}."
                )
        return split_pictures(pictures, self.builder_config_name)


def paper_test_names() -> frozenset[str]:
    """The names of the 226 pictures that the published figures are measured on."""
    text = resources.files("dms_jax.data.datasets").joinpath("splits/mtdd_paper_test.txt").read_text("utf-8")
    return frozenset(text.split())


def group_names(names: Iterable[str]) -> dict[str, str]:
    """Groups pictures of one tile: same class, frame numbers at most `FRAME_GAP` apart, chained.

    Args:
        names: pictures' names, like `MT_Blowhole/Imgs/exp6_num_108812.jpg`.

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


def find_pictures(root: Path, skipped: list[str] | None = None) -> list[LabelledPicture]:
    """Lists a copy of the dataset, in the order of names, without opening a picture.

    Args:
        root: the folder that holds MT_Free, MT_Blowhole, ...
        skipped: where given, files that can't be used are left out, and it gets a sentence about each.

    Returns:
        All pictures.

    Raises:
        UserError: a class folder is unknown, missing or empty; or a picture has no mask or a mask no picture, and
            `skipped` is not given.
    """
    found = {folder.parent.name for folder in root.glob("MT_*/Imgs")}
    for folder in sorted(found - _FOLDERS.keys()):
        raise UserError(f"{root / folder} is no class of this dataset, which are {', '.join(_FOLDERS)}: move it away.")
    files = {}
    for folder in _FOLDERS:
        images = root / folder / "Imgs"
        pictures = files_by_stem(images, ".jpg", "pictures", _MEND)
        masks = files_by_stem(images, ".png", "masks", _MEND)
        pairs = pair_files(pictures, masks, skipped)
        files.update({f"{folder}/Imgs/{stem}.jpg": pair for stem, pair in pairs.items()})
    groups = group_names(files)
    return [
        LabelledPicture(
            name=name,
            label=_FOLDERS[name.partition("/")[0]],
            group=groups[name],
            image_path=image_path,
            mask_path=mask_path,
        )
        for name, (image_path, mask_path) in sorted(files.items())
    ]


def split_pictures(pictures: Sequence[LabelledPicture], config: str) -> dict[str, list[LabelledPicture]]:
    """Splits the dataset.

    Args:
        pictures: all pictures.
        config: `paper` or `tiles`, see `Mtdd`.

    Returns:
        The pictures of `train`, `validation` and `test`, in the order given.
    """
    if config == "tiles":
        return split_by_hash(pictures, test_share=0.2)
    names = paper_test_names()
    return with_validation(
        rest=[picture for picture in pictures if picture.name not in names],
        test=[picture for picture in pictures if picture.name in names],
    )
