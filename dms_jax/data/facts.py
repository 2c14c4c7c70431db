"""The few numbers of an image and its mask that a dataset's summary is made of."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dms_jax.data.image_files import DEFECT_THRESHOLD

# Of masks that hold the numbers of classes.
_FEW_LEVELS = 8
# A larger share of images that look like masks is no mistake with a few of them.
_NEARLY_ALL = 0.75
# TFDS's label of an image without a class.
UNLABELLED = -1


@dataclass(frozen=True, slots=True)
class PixelFacts:
    """What is kept of an image's pixels.

    Attributes:
      size: (H, W).
      defective: the share of defective pixels (mask > 127), 0..1; None where the mask is unknown.
      mask_is_white: whether the mask is known, and 255 everywhere.
      brightest: the largest value of any channel, 0..255.
      looks_like_mask: whether the image is nothing but black and one or a few other shades.
      digest: the same for images of the same pixels, and for no others.
    """

    size: tuple[int, int]
    defective: float | None
    mask_is_white: bool
    brightest: int
    looks_like_mask: bool
    digest: bytes


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is kept of an image: its unique name, its class's index (-1 where it has none), and its pixels' facts."""

    name: str
    label: int
    pixels: PixelFacts


def mask_like(facts: Sequence[ImageFacts]) -> tuple[list[str], bool]:
    """Names of the images that look like masks, and whether nearly all do, as in a folder of masks."""
    names = [fact.name for fact in facts if fact.pixels.looks_like_mask]
    return names, len(names) > _NEARLY_ALL * len(facts)


def measure(image: np.ndarray, mask: np.ndarray | None) -> PixelFacts:
    """Looks at an image and its mask.

    Args:
      image: uint8 [H, W, 3].
      mask: uint8 [H, W] or [H, W, 1]; None where it is unknown.

    Returns:
      Its facts.
    """
    size = image.shape[:2]
    digest = hashlib.sha256(f"{size} ".encode())
    digest.update(np.ascontiguousarray(image))
    return PixelFacts(
        size=size,
        defective=None if mask is None else float(np.mean(mask > DEFECT_THRESHOLD)),
        mask_is_white=mask is not None and bool(mask.min() == 255),
        brightest=int(image.max()),
        looks_like_mask=_looks_like_mask(image),
        digest=digest.digest(),
    )


def _looks_like_mask(image: np.ndarray) -> bool:
    # Ten times as fast as `max` over an axis of three.
    brightest = np.maximum(np.maximum(image[..., 0], image[..., 1]), image[..., 2])
    counts = np.bincount(brightest.ravel(), minlength=256) / brightest.size
    if counts[0] < 0.2:
        return False
    levels = np.count_nonzero(counts)
    # Or saved with loss, or with smooth edges.
    is_black_and_white = counts[:9].sum() + counts[247:].sum() > 0.97 and counts[247:].sum() > 0
    return bool(1 < levels <= _FEW_LEVELS or is_black_and_white)
