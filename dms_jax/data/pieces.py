"""Random access to the squares that a source's pictures become (see `dms_jax.data.framing`)."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Self, SupportsIndex

import numpy as np

from dms_jax.data.framing import Framing, Piece, cut, pieces_of
from dms_jax.data.memory import Memory
from dms_jax.data.source import DEFECT_THRESHOLD, ExampleSource

_UNKNOWN = -1


class PieceSource:
    """The squares of all examples of a source, cut and resized when they are asked for; can be pickled.

    `pieces[i]` is a dict of `image` (uint8 [S, S, 3]), `mask` (uint8 [S, S, 1]), `has_mask` (bool scalar), `label`
    (int32 scalar, -1 where unknown) and `content` (int32 [4]: top, left, height and width of the picture in the square;
    the rest is padding). Arrays that come from memory cannot be written to.

    A tile has the label of its picture if the tile shows a defect. Without one it is free of defects, where the dataset
    has such a class, and otherwise without a label; so it is where the mask is unknown, but for free pictures.

    Attributes:
        free_class: index of the class without defects; None where there is none.
    """

    def __init__(self, source: ExampleSource, framing: Framing, memory: Memory | None = None):
        """Cuts no picture yet; for `tiles`, the size of each is looked up.

        Args:
            source: the pictures.
            framing: what squares they become.
            memory: where squares are kept rather than cut again, also those of other sources; None: nowhere.
        """
        self.free_class = source.free_class
        self._source = source
        self._framing = framing
        self._memory = memory
        # Where pictures become one square each, the piece waits for the picture's size.
        self._places: list[tuple[int, Piece | None]] = [(index, None) for index in range(len(source))]
        if framing.mode == "tiles":
            self._places = [
                (index, piece) for index, size in enumerate(source.sizes()) for piece in pieces_of(size, framing)
            ]

    def subset(self, indices: Sequence[int] | np.ndarray) -> Self:
        """Some of the squares, in the given order.

        Raises:
            IndexError: an index is not from 0 to below the length.
        """
        part = copy.copy(self)
        part._places = [self._places[index] for index in indices]
        return part

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
        place = self._places[index.__index__()]
        if self._memory is None:
            return self._cut(*place)
        # Subsets have the same source, and other sources may share the memory.
        key = (id(self._source), place)
        example = self._memory.get(key)
        if example is None:
            example = self._cut(*place)
            self._memory.keep(key, example)
        return example

    def _cut(self, number: int, piece: Piece | None) -> dict[str, Any]:
        example = self._source[number]
        mask = example["mask"]
        piece = piece or pieces_of(mask.shape[:2], self._framing)[0]
        return {
            "image": cut(example["image"], piece, self._framing),
            "mask": cut(mask, piece, self._framing),
            "has_mask": example["has_mask"],
            "label": np.int32(self._label(int(example["label"]), bool(example["has_mask"]), _part(mask, piece))),
            "content": np.array(piece.content, np.int32),
        }

    def mask(self, index: SupportsIndex) -> np.ndarray:
        """The part of the mask in one square, at its own size, uint8 [h, w, 1], without decoding the picture."""
        number, piece = self._places[index.__index__()]
        mask = self._source.mask(number)
        return mask if piece is None else _part(mask, piece)

    def masks(self) -> Iterator[np.ndarray]:
        """What `mask` gives for all squares; a mask is decoded once for all of its tiles that follow each other."""
        decoded, mask = -1, np.empty(0)
        for number, piece in self._places:
            if number != decoded:
                decoded, mask = number, self._source.mask(number)
            yield mask if piece is None else _part(mask, piece)

    def defective(self) -> np.ndarray:
        """Which squares have a defective pixel (mask > 127), bool [n], without decoding a picture."""
        if self._framing.mode != "tiles":
            return self._source.defective()[[number for number, _ in self._places]]
        return np.array([(part > DEFECT_THRESHOLD).any() for part in self.masks()], bool)

    def labels(self) -> np.ndarray:
        """The labels of all squares, int32 [n], -1 where unknown, without decoding a picture."""
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
        """Whether the mask of each square is known, bool [n], without decoding a picture."""
        known = self._source.has_masks()
        return known[[number for number, _ in self._places]]

    def _label(self, label: int, has_mask: bool, part: np.ndarray) -> int:
        if self._framing.mode != "tiles" or label == self.free_class:
            return label
        if not has_mask:
            return _UNKNOWN
        if (part > DEFECT_THRESHOLD).any():
            return label
        return _UNKNOWN if self.free_class is None else self.free_class


def _part(mask: np.ndarray, piece: Piece) -> np.ndarray:
    return mask[piece.top : piece.top + piece.height, piece.left : piece.left + piece.width]
