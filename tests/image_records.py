"""Images in memory that stand for a prepared dataset: of any size, with any mask, and quick to read."""

from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from dms_jax.data.examples import ExampleSource


@dataclass(frozen=True)
class ImageRecords:
    """What `ExampleSource` asks of a builder, for a split of any name.

    Attributes:
      images: uint8 [H, W, 3] each.
      masks: uint8 [H, W] each.
      labels: one for each; the names are n0, n1 and so on.
      has_masks: whether each mask is known; empty: all are.
      groups: the group of each; empty: all are of one.
      data_dir: the folder that errors name.
    """

    images: list[np.ndarray]
    masks: list[np.ndarray]
    labels: list[int]
    has_masks: list[bool] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    data_dir: str = "nowhere"

    def as_data_source(self, split: str, decoders: dict[str, Any]) -> list[dict[str, Any]]:
        assert decoders.keys() == {"image", "mask"}
        known = self.has_masks or [True] * len(self.masks)
        return [
            {
                "image": _png(image),
                "mask": _png(mask),
                "has_mask": has_mask,
                "label": label,
                "name": f"n{i}".encode(),
                "group": (self.groups[i] if self.groups else "g").encode(),
            }
            for i, (image, mask, has_mask, label) in enumerate(
                zip(self.images, self.masks, known, self.labels, strict=True)
            )
        ]


def noting_sources(decoded: list[Any]) -> type[ExampleSource]:
    """Sources that note the index of each example, and of each mask alone, that is decoded of them.

    `ExampleSource` itself may not be patched for that: threads of another test, whose iterator is closed, may still be
    reading with it.
    """

    class Noting(ExampleSource):
        def __getitem__(self, index: Any) -> dict[str, Any]:
            decoded.append(index)
            return super().__getitem__(index)

        def mask(self, index: Any) -> np.ndarray:
            decoded.append(index)
            return super().mask(index)

    return Noting


def _png(array: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()
