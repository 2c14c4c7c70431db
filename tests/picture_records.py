"""Pictures in memory that stand for a prepared dataset: of any size, with any mask, and quick to read."""

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class PictureRecords:
    """What `ExampleSource` asks of a builder, for one split "train".

    Attributes:
        images: uint8 [H, W, 3] each.
        masks: uint8 [H, W] each.
        labels: one for each; the names are n0, n1 and so on.
    """

    images: list[np.ndarray]
    masks: list[np.ndarray]
    labels: list[int]

    def as_data_source(self, split: str, decoders: dict[str, Any]) -> list[dict[str, Any]]:
        assert split == "train"
        assert decoders.keys() == {"image", "mask"}
        return [
            {"image": _png(image), "mask": _png(mask), "label": label, "name": f"n{i}".encode(), "group": b"g"}
            for i, (image, mask, label) in enumerate(zip(self.images, self.masks, self.labels, strict=True))
        ]


def _png(array: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()
