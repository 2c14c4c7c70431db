"""Random access to the crops that a source's images become (see `dms_jax.data.framing`)."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Self, SupportsIndex

import numpy as np

from dms_jax.data.cache import ExampleCache
from dms_jax.data.examples import ExampleSource
from dms_jax.data.framing import Crop, Framing, crops_of, cut, touched
from dms_jax.data.image_files import DEFECT_THRESHOLD, IGNORED

_UNKNOWN = -1


class CropSource:
    """The crops of all examples of a source, cut and resized on access; can be pickled.

    `crops[i]` is a dict of `image` (uint8 [S, S, 3]), `mask` (uint8 [S, S, 1]), `has_mask` (bool scalar), `label`
    (int32 scalar, -1 where unknown) and `content` (int32 [4]: top, left, height and width of the image in the crop;
    the rest is padding). Arrays that come from the cache are read-only.

    A tile has the label of its image if the tile shows a defect. Otherwise it is of the defect-free class, or without a
    label where the dataset has no such class. Where the mask is unknown, or ignored all over the tile, a tile has no
    label either, unless its image is of the defect-free class.

    Attributes:
      free_class: index of the defect-free class; None where there is none.
      ignores: see `ExampleSource`. A crop's pixel is ignored if any pixel that it is made of is.
    """

    def __init__(self, source: ExampleSource, framing: Framing, cache: ExampleCache | None = None):
        """Cuts no image yet; for `tiles`, the size of each is looked up.

        Args:
          source: the images.
          framing: how they become crops.
          cache: keeps crops, rather than have them cut again; several sources may share it. None: nothing is kept.
        """
        self.free_class = source.free_class
        self.ignores = source.ignores
        self._source = source
        self._framing = framing
        self._cache = cache
        # Where each image becomes one crop, the crop is computed on access, when the image's size is known.
        self._places: list[tuple[int, Crop | None]] = [(index, None) for index in range(len(source))]
        if framing.mode == "tiles":
            self._places = [
                (index, crop) for index, size in enumerate(source.sizes()) for crop in crops_of(size, framing)
            ]

    def subset(self, indices: Sequence[int] | np.ndarray) -> Self:
        """Some of the crops, in the given order.

        Raises:
          IndexError: an index is out of range.
        """
        part = copy.copy(self)
        part._places = [self._places[index] for index in indices]
        return part

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
        place = self._places[index.__index__()]
        if self._cache is None:
            return self._cut(*place)
        # Subsets have the same source, and other sources may share the cache.
        key = (id(self._source), place)
        example = self._cache.get(key)
        if example is None:
            example = self._cut(*place)
            self._cache.keep(key, example)
        return example

    def _cut(self, number: int, crop: Crop | None) -> dict[str, Any]:
        example = self._source[number]
        mask = example["mask"]
        crop = crop or crops_of(mask.shape[:2], self._framing)[0]
        return {
            "image": cut(example["image"], crop, self._framing),
            "mask": self._cut_mask(mask, crop),
            "has_mask": example["has_mask"],
            "label": np.int32(self._label(int(example["label"]), bool(example["has_mask"]), _part(mask, crop))),
            "content": np.array(crop.content, np.int32),
        }

    def _cut_mask(self, mask: np.ndarray, crop: Crop) -> np.ndarray:
        if not self.ignores:
            return cut(mask, crop, self._framing)
        gone = mask == IGNORED
        resized = cut(np.where(gone, np.uint8(0), mask), crop, self._framing)
        # A shade that stands for something else here becomes its neighbour, black.
        resized = np.where(resized == IGNORED, np.uint8(0), resized)
        return np.where(touched(gone, crop, self._framing), np.uint8(IGNORED), resized)

    def mask(self, index: SupportsIndex) -> np.ndarray:
        """The part of the mask that lies in one crop, not resized, uint8 [h, w, 1], without decoding the image."""
        number, crop = self._places[index.__index__()]
        mask = self._source.mask(number)
        return mask if crop is None else _part(mask, crop)

    def masks(self) -> Iterator[np.ndarray]:
        """What `mask` gives, for all crops; a mask is decoded once for all consecutive tiles of it."""
        decoded, mask = -1, np.empty(0)
        for number, crop in self._places:
            if number != decoded:
                decoded, mask = number, self._source.mask(number)
            yield mask if crop is None else _part(mask, crop)

    def defective(self) -> np.ndarray:
        """Which crops have a defective pixel (mask > 127), bool [n], without decoding an image."""
        if self._framing.mode != "tiles":
            return self._source.defective()[[number for number, _ in self._places]]
        return np.array([(part > DEFECT_THRESHOLD).any() for part in self.masks()], bool)

    def labels(self) -> np.ndarray:
        """The labels of all crops, int32 [n], -1 where unknown, without decoding an image."""
        labels, known = self._source.labels(), self._source.has_masks()
        if self._framing.mode != "tiles":
            return labels[[number for number, _ in self._places]]
        return np.array(
            [
                self._label(int(labels[number]), bool(known[number]), part)
                for (number, _), part in zip(self._places, self.masks(), strict=True)
            ],
            np.int32,
        )

    def has_masks(self) -> np.ndarray:
        """Whether the mask of each crop is known, bool [n], without decoding an image."""
        known = self._source.has_masks()
        return known[[number for number, _ in self._places]]

    def names(self) -> list[str]:
        """What each crop is called: as its image, and for tiles with its corner, without decoding an image."""
        names = self._source.names()
        return [
            names[number] if crop is None else f"{names[number]} (left {crop.left}, top {crop.top})"
            for number, crop in self._places
        ]

    def _label(self, label: int, has_mask: bool, part: np.ndarray) -> int:
        if self._framing.mode != "tiles" or label == self.free_class:
            return label
        if not has_mask or (self.ignores and (part == IGNORED).all()):
            return _UNKNOWN
        if (part > DEFECT_THRESHOLD).any():
            return label
        return _UNKNOWN if self.free_class is None else self.free_class


class CropNames:
    """The names of a source's crops in their place: what `dms_jax.data.pipeline.training_order` needs, and no image."""

    def __init__(self, crops: CropSource) -> None:
        self._crops = crops
        self._names = crops.names()
        self.free_class = crops.free_class

    def subset(self, indices: Sequence[int] | np.ndarray) -> "CropNames":
        """Those of some of the crops, in the given order."""
        return CropNames(self._crops.subset(indices))

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: SupportsIndex) -> str:
        return self._names[index.__index__()]

    def defective(self) -> np.ndarray:
        """See `CropSource`."""
        return self._crops.defective()

    def labels(self) -> np.ndarray:
        """See `CropSource`."""
        return self._crops.labels()

    def has_masks(self) -> np.ndarray:
        """See `CropSource`."""
        return self._crops.has_masks()


def _part(mask: np.ndarray, crop: Crop) -> np.ndarray:
    return mask[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
