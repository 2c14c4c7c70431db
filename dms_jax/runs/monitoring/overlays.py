"""Crops of validation as TensorBoard shows them: the image with the truth outlined, and the map beside it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from dms_jax.data.image_files import DEFECT_THRESHOLD

# Surfaces do not have this colour.
_OUTLINE = (255, 0, 255)


def choose_rows(batch: Mapping[str, NDArray], count: int) -> list[int]:
    """Which rows of a batch to show, in order: those with a defect first, and of each class one before a second.

    Args:
      batch: of crops, see `dms_jax.data.pipeline.crop_batches`.
      count: how many at most.
    """
    defective = np.any(batch["mask"] > DEFECT_THRESHOLD, axis=(1, 2, 3))
    seen: dict[int, int] = {}
    ranks = []
    for row in np.flatnonzero(batch["valid"]).tolist():
        label = int(batch["label"][row])
        seen[label] = seen.get(label, 0) + 1
        ranks.append((not defective[row], seen[label], row))
    return sorted(row for _, _, row in sorted(ranks)[:count])


def draw_overlay(image: NDArray[np.uint8], mask: NDArray[np.uint8], saliency_map: NDArray[np.uint8]) -> NDArray:
    """An image with the outline of its mask, and its map on the right.

    Args:
      image: uint8 [S, S, 3].
      mask: uint8 [S, S]; > 127 is defective.
      saliency_map: uint8 [S, S], 0..255.

    Returns:
      uint8 [S, 2 S, 3].
    """
    region = Image.fromarray(np.where(mask > DEFECT_THRESHOLD, np.uint8(255), np.uint8(0)))
    outline = ImageChops.subtract(region.filter(ImageFilter.MaxFilter(3)), region)
    drawn = Image.fromarray(image)
    drawn.paste(_OUTLINE, mask=outline)
    return np.concatenate([np.asarray(drawn), np.repeat(saliency_map[..., None], 3, axis=2)], axis=1)
