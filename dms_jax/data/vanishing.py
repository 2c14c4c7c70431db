"""Defects that are too small or too thin for the size at which the network sees an image."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from dms_jax.data.examples import ExampleSource
from dms_jax.data.framing import Framing, crops_of, cut
from dms_jax.data.image_files import DEFECT_THRESHOLD
from dms_jax.errors import some_names

# A defect of fewer pixels than this is hardly learnt, and hardly measured.
FAINT = 4
# So many masks are looked at: decoding and resizing one takes milliseconds.
MOST_MASKS = 1000
# So many images are named in a sentence; the others are counted.
_NAMED = 3


@dataclass(frozen=True)
class VanishedDefects:
    """What the network's size leaves of the defects.

    Attributes:
      looked_at: how many defective images: all, or `MOST_MASKS` of each source, evenly spread.
      gone: names of those whose mask has no pixel above 127 left.
      faint: names of those whose mask has some left, but fewer than `FAINT`, and had more.
    """

    looked_at: int
    gone: tuple[str, ...]
    faint: tuple[str, ...]


def vanished_defects(sources: Iterable[ExampleSource], framing: Framing) -> VanishedDefects:
    """Count the defective images whose defect is lost where they become crops.

    Args:
      sources: the images; masks alone are decoded.
      framing: how they become crops. Of several crops the one that shows most of the defect counts.
    """
    looked_at, left = 0, []
    with ThreadPoolExecutor() as pool:
        for source in sources:
            indices = np.flatnonzero(source.defective() & source.has_masks())
            if len(indices) > MOST_MASKS:
                indices = indices[np.linspace(0, len(indices) - 1, MOST_MASKS).astype(int)]
            looked_at += len(indices)
            names = source.names()
            pixels = pool.map(lambda index, own=source: _pixels_left(own.mask(index), framing), indices.tolist())
            left += [(names[index], count) for index, count in zip(indices.tolist(), pixels, strict=True)]
    return VanishedDefects(
        looked_at=looked_at,
        gone=tuple(name for name, count in left if count == 0),
        faint=tuple(name for name, count in left if count is not None and 0 < count < FAINT),
    )


def vanishing_sentence(found: VanishedDefects, framing: Framing) -> str | None:
    """What is to be said of them, with the fix; None where no defect is lost."""
    if not (found.gone or found.faint):
        return None
    parts = [
        f"{what} {len(names)} of {found.looked_at} defective images ({some_names(names, _NAMED)})"
        for what, names in (
            ("nothing is left of the defect in", found.gone),
            (f"fewer than {FAINT} defective pixels are left in", found.faint),
        )
        if names
    ]
    fix = (
        f"set a config.data.tile_size nearer to {framing.size}"
        if framing.mode == "tiles"
        else "set config.data.resize=tiles, or a larger config.data.image_size"
    )
    return (
        f"Where images become {framing.size} x {framing.size} squares ({framing.mode}), {', and '.join(parts)}: {fix}."
    )


def _pixels_left(mask: np.ndarray, framing: Framing) -> int | None:
    """How many defective pixels the crop has that shows most of them; None where none was lost."""
    crops = crops_of(mask.shape[:2], framing)
    if all(crop.content[2:] == (crop.height, crop.width) for crop in crops):
        return None
    most = 0
    for crop in crops:
        part = mask[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
        if (part > DEFECT_THRESHOLD).any():
            most = max(most, int(np.count_nonzero(cut(mask, crop, framing) > DEFECT_THRESHOLD)))
    return most if most < np.count_nonzero(mask > DEFECT_THRESHOLD) else None
