"""A prepared dataset of a few examples written by hand: any size, mask, label and name, without a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


def make_example(
    name: str, label: int = 1, *, image: np.ndarray | int | None = None, mask: Any = None, size=(6, 5), **more: Any
) -> dict[str, Any]:
    """An example as a source gives it.

    Args:
      name: the name; decides the pixels too where `image` is not given.
      label: index of the class; -1 for none.
      image: uint8 [H, W, 3], or one grey value.
      mask: uint8 [H, W], or None for one defective pixel, in the class 0 for none.
      size: (H, W), where `image` is not an array.
      **more: further fields.
    """
    if image is None:
        image = np.random.default_rng(list(name.encode())).integers(0, 256, (*size, 3), np.uint8)
    elif np.ndim(image) == 0:
        image = np.full((*size, 3), image, np.uint8)
    if mask is None:
        mask = np.zeros(image.shape[:2], np.uint8)
        mask[0, 0] = 255 if label else 0
    return {"image": image, "mask": mask[..., None], "label": np.int32(label), "name": name, "group": name, **more}


class HandMadeSource(list):
    def labels(self) -> np.ndarray:
        return np.array([example["label"] for example in self], np.int32)


@dataclass(frozen=True)
class HandMadeDataset:
    """What is asked of a `PreparedDataset`; the class 0 is free of defects unless said otherwise."""

    train: Sequence[Mapping[str, Any]] = ()
    validation: Sequence[Mapping[str, Any]] = ()
    test: Sequence[Mapping[str, Any]] = ()
    class_names: tuple[str, ...] = ("good", "crack")
    free_class: int | None = 0
    name: str = "hand"
    config: str = "made"
    directory: Path = Path("somewhere")

    @property
    def sizes(self) -> dict[str, int]:
        return {split: len(getattr(self, split)) for split in ("train", "validation", "test")}

    def source(self, split: str) -> HandMadeSource:
        return HandMadeSource(getattr(self, split))
