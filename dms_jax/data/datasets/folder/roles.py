"""What the names of folders and files say: a split, masks, images, or a class."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "tst": "test",
}
_MASKS = frozenset(
    {
        "mask",
        "masks",
        "msk",
        "msks",
        "bitmask",
        "bitmasks",
        "gt",
        "gts",
        "groundtruth",
        "groundtruths",
        "label",
        "labels",
        "annotation",
        "annotations",
    }
    | {"lbl", "lbls", "ann", "anns", "anno", "annos", "annot", "annots", "seg", "segs", "segmentation", "segmentations"}
)
_IMAGES = frozenset(
    ["image", "images", "img", "imgs", "im", "ims", "picture", "pictures", "photo", "photos", "jpegimages"]
)
# Say nothing by themselves: image_dir, SegmentationClass, train_set.
_NEUTRAL = frozenset(["dir", "set", "data", "folder", "files", "class", "object", "binary", "png", "jpg", "bmp", "tif"])
# The longest first: "masks" is not "mask" and a rest.
_WORDS = "|".join(sorted({*SPLIT_NAMES, *_MASKS, *_IMAGES, *_NEUTRAL}, key=len, reverse=True))
_ROLE_NAME = re.compile(f"(?:{_WORDS})+")
_WORD = re.compile(_WORDS)
# train2017
_YEAR = re.compile(r"(?<=[a-z])(?:19|20)\d\d$")
_SEPARATOR = r"[ ._-]"

_MASK_WORDS = r"(?:masks?|gts?|ground[ ._-]?truth|labels?|seg|segmentation|anno|annotation|defect[ ._-]?mask)"
_MASK_SUFFIX = re.compile(rf"(?P<name>.+?){_SEPARATOR}{_MASK_WORDS}(?P<number>{_SEPARATOR}?\d+)?", re.IGNORECASE)
_MASK_PREFIX = re.compile(rf"{_MASK_WORDS}{_SEPARATOR}(?P<name>.+)", re.IGNORECASE)
_NUMBERED = re.compile(rf"(?P<name>.+?){_SEPARATOR}\d+")


@dataclass(frozen=True)
class Role:
    """What a folder's name says of what is in it.

    Attributes:
      split: `train`, `validation` or `test`; None where the name names none.
      holds: "masks" or "images", or "" where the name says neither.
      is_ground_truth: it holds masks, and is called as MVTec AD calls those of its test images.
    """

    split: str | None = None
    holds: str = ""
    is_ground_truth: bool = False

    @property
    def is_other(self) -> bool:
        """Whether the name is none of these, and so that of a class, or of a part of one."""
        return not (self.split or self.holds)


# In a name that says more than this, too: scratch_masks, GT_bad, masks2.
_SURE = re.compile(r"(?<![a-z])(?:masks?|msks?|bitmasks?|gts?|groundtruths?|ground[ ._-]truth)(?![a-z])", re.IGNORECASE)


def may_hold_masks(folder: str) -> bool:
    """Whether a folder whose role is not understood seems to hold masks by a word of its name."""
    return role_of(folder).is_other and bool(_SURE.search(folder))


@cache
def role_of(folder: str) -> Role:
    """The role of a folder of this name: `train`, `val2017`, `img_dir`, `TrainMasks`, `ground truth` and the like."""
    letters = re.sub(rf"{_SEPARATOR}+", "", _YEAR.sub("", folder.lower()))
    if not _ROLE_NAME.fullmatch(letters):
        return Role()
    words = _WORD.findall(letters)
    splits = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
    if len(splits) > 1:
        return Role()
    holds = "masks" if _MASKS & set(words) else "images" if _IMAGES & set(words) else ""
    return Role(next(iter(splits), None), holds, words == ["groundtruth"])


def masked_names(stem: str) -> Iterator[tuple[str, bool]]:
    """Names that an image may have whose mask is called `stem`, likeliest first, without the name itself.

    `1_mask`, `1-gt`, `mask_1` and `1_mask_2` are masks of `1`, and so are `1_2_mask` and `1_2`: of each, whether it is
    one of several masks of its image by its number.
    """
    names = []
    if match := _MASK_SUFFIX.fullmatch(stem):
        names.append((match["name"], match["number"] is not None))
    elif match := _MASK_PREFIX.fullmatch(stem):
        names.append((match["name"], False))
    yield from names
    for name, _ in (*names, (stem, False)):
        if match := _NUMBERED.fullmatch(name):
            yield match["name"], True


def says_mask(stem: str) -> bool:
    """Whether a file of this name says by it that it is a mask, as `1_mask` does."""
    return bool(_MASK_SUFFIX.fullmatch(stem) or _MASK_PREFIX.fullmatch(stem))
