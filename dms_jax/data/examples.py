"""Random access to the examples of a prepared split."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, Self, SupportsIndex

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from dms_jax.data.damage import damaged
from dms_jax.data.image_files import DEFECT_THRESHOLD
from dms_jax.data.png import decode_png, encode_png, png_size

# What TFDS and the reader of records raise where a file is missing, cut short or garbled.
_DAMAGE = (RuntimeError, ValueError, IndexError, OSError)


class ExampleSource:
    """The examples of one split, read and decoded at each access; can be pickled.

    `source[i]` is a dict of `image` (uint8 [H, W, 3]), `mask` (uint8 [H, W, 1], 0..255, grey edges kept),
    `has_mask` (bool scalar; where it is false, the mask is unknown and `mask` is all 0), `label` (int32 scalar, -1
    where it is unknown), `name` (str) and `group` (str). The order is fixed: the examples were shuffled when the
    dataset was prepared.

    Attributes:
      free_class: index of the defect-free class; None where there is none.
      ignores: whether pixels whose mask is `dms_jax.data.image_files.IGNORED` count neither in the loss nor in the
        metrics.
    """

    def __init__(
        self, builder: tfds.core.DatasetBuilder, split: str, free_class: int | None = None, ignores: bool = False
    ):
        """Opens a split.

        Args:
          builder: a prepared dataset.
          split: one of its splits.
          free_class: index of the defect-free class; None where there is none.
          ignores: see above.

        Raises:
          UserError: the split's files are damaged; also later, at the first example that cannot be read.
        """
        self.free_class = free_class
        self.ignores = ignores
        self._directory = str(builder.data_dir)
        self._indices: np.ndarray | None = None
        # Places among the records of those whose mask is not to be known.
        self._hidden: frozenset[int] = frozenset()
        # Of all examples, once asked for: reading a thousand records takes a quarter of a second.
        self._columns: dict[str, np.ndarray] = {}
        # Decoded here rather than by TFDS, which decodes with OpenCV or else logs a warning, and so that
        # masks and labels can be had without decoding the images.
        skip = tfds.decode.SkipDecoding()
        try:
            self._records = builder.as_data_source(split, decoders={"image": skip, "mask": skip})
        except _DAMAGE as error:
            raise damaged(self._directory) from error

    def subset(self, indices: Sequence[int] | np.ndarray) -> Self:
        """A source of some of the examples, in the given order; an index may come more than once.

        Raises:
          IndexError: an index is out of range.
          TypeError: the indices are a boolean mask.
        """
        if np.asarray(indices).dtype == bool:
            raise TypeError("indices are expected, not a mask of booleans: see np.flatnonzero")
        chosen = np.array(indices, np.int64)
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < len(self):
            raise IndexError(f"indices {chosen.min()} to {chosen.max()} are out of range for {len(self)} examples")
        part = copy.copy(self)
        part._indices = chosen if self._indices is None else self._indices[chosen]
        part._columns = {name: column[chosen] for name, column in self._columns.items()}
        return part

    def hide_masks(self, indices: Sequence[int] | np.ndarray) -> Self:
        """The same examples, as if the masks of those at the given indices were unknown.

        Raises:
          IndexError: an index is out of range.
          TypeError: the indices are a boolean mask.
        """
        chosen = self.subset(indices)._indices
        assert chosen is not None  # `subset` sets it
        hidden = copy.copy(self)
        hidden._hidden = self._hidden.union(chosen.tolist())
        hidden._columns = {}
        return hidden

    def __len__(self) -> int:
        return len(self._records) if self._indices is None else len(self._indices)

    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
        record = self._record(index)
        return {
            "image": decode_png(record["image"], channels=3),
            "mask": decode_png(record["mask"], channels=1),
            "has_mask": np.bool_(record["has_mask"]),
            "label": np.int32(record["label"]),
            "name": record["name"].decode(),
            "group": record["group"].decode(),
        }

    def mask(self, index: SupportsIndex) -> np.ndarray:
        """The mask of one example, uint8 [H, W, 1], without decoding its image."""
        return decode_png(self._record(index)["mask"], channels=1)

    def labels(self) -> np.ndarray:
        """The labels of all examples, int32 [n], -1 where unknown, without decoding an image."""
        return self._column("label").astype(np.int32)

    def names(self) -> list[str]:
        """The names of all examples, without decoding an image."""
        return [name.decode() for name in self._column("name")]

    def groups(self) -> list[str]:
        """The groups of all examples, without decoding an image: its own name where nothing is known of any."""
        return [group.decode() for group in self._column("group")]

    def sizes(self) -> list[tuple[int, int]]:
        """(H, W) of all examples, without decoding an image."""
        return [png_size(self._record(i)["mask"]) for i in range(len(self))]

    def has_masks(self) -> np.ndarray:
        """Whether the mask of each example is known, bool [n], without decoding an image."""
        return self._column("has_mask").astype(bool)

    def defective_shares(self) -> np.ndarray:
        """The share of each example's pixels that are defective (mask > 127), float64 [n]; 0 where no mask is known.

        As everywhere, a mask that is unknown is all 0.
        """
        return self._column("defective_share").astype(np.float64)

    def defective(self) -> np.ndarray:
        """Which examples have a defective pixel, bool [n]; false where that is unknown."""
        return self.defective_shares() > 0

    def _column(self, name: Literal["label", "has_mask", "name", "group", "defective_share"]) -> np.ndarray:
        if name not in self._columns:
            # All at once, since a record is read as a whole; but masks are decoded only if their shares are asked for.
            columns: dict[str, list[Any]] = {"label": [], "has_mask": [], "name": [], "group": []}
            if name == "defective_share":
                columns[name] = []
            for i in range(len(self)):
                record = self._record(i)
                for key, values in columns.items():
                    values.append(_defective_share(record["mask"]) if key == "defective_share" else record[key])
            # Names as they are: NumPy's own kind of text cannot end in a zero.
            kinds: dict[str, Any] = {"name": object, "group": object}
            self._columns = {key: np.array(values, kinds.get(key)) for key, values in columns.items()}
        return self._columns[name]

    def _record(self, index: SupportsIndex) -> dict[str, Any]:
        position = index.__index__()
        if not -len(self) <= position < len(self):
            raise IndexError(f"index {position} is out of range for {len(self)} examples")
        position %= len(self)
        try:
            place = position if self._indices is None else int(self._indices[position])
            record = self._records[place]
        except _DAMAGE as error:
            raise damaged(self._directory) from error
        if record["image"] is None:  # read beyond the end of a file that is cut short
            raise damaged(self._directory)
        if place in self._hidden and record["has_mask"]:
            height, width = png_size(record["mask"])
            return {**record, "has_mask": False, "mask": encode_png(Image.new("L", (width, height)))}
        return record


def _defective_share(mask: bytes) -> float:
    return float(np.mean(decode_png(mask, channels=1) > DEFECT_THRESHOLD))


def defective_share(source: ExampleSource) -> float:
    """The share of defective pixels (mask > 127) in an image, averaged over the images of a source, 0..1.

    The images weigh the same, whatever their sizes: the network sees each of them at one size. Those whose mask
    is unknown are left out; where no mask is known, the share is 0.5, which says nothing either way.
    """
    shares = source.defective_shares()[source.has_masks()]
    return float(np.mean(shares)) if len(shares) else 0.5


def one_of_each_class(labels: np.ndarray, count: int) -> np.ndarray:
    """Indices of `count` examples, or of all if there are fewer: the first of each class, then the second of each."""
    rank = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        rank[own] = np.arange(len(own))
    return np.lexsort((labels, rank))[:count]
