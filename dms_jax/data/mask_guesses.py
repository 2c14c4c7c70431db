"""Which pixels of a mask are defective by what the mask looks like, where nobody has declared it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dms_jax.data.image_files import DEFECT_THRESHOLD
from dms_jax.data.mask_values import HOW_TO_DECLARE, binary_mask
from dms_jax.errors import UserError

# More grey levels than this are soft edges, and not numbers of classes.
_FEW_LEVELS = 40
# Few black pixels of a JPEG are brighter than the one; the marks of a mask without a doubt are brighter than the other.
_NOISE, _HALF = 48, 160
# No more levels than this are those of classes, and not of edges that were smoothed.
_CLASSES = 6
# So many dark pixels far from bright ones may be the tips of soft edges.
_STRAY = 3
# More colours than this are no classes.
_MANY_COLOURS = 1000
# A grey that is neither black nor white, of a photograph.
_GREYS = slice(9, 247)
_HINT = f"say which values are defective {HOW_TO_DECLARE}"


def refuse_photograph(pixels: NDArray[np.uint8], path: str | Path) -> None:
    """Check that something that is to be a mask is none of the images.

    Args:
      pixels: uint8 [H, W] or [H, W, 3].
      path: of the file, for the error message.

    Raises:
      UserError: most pixels are neither black nor white, but of many greys, or of thousands of colours.
    """
    if share := photograph_share(pixels):
        raise UserError(
            f"{path} is no mask, as {share:.0%} of its pixels are neither black nor white: put the mask there, with "
            "255 for defective pixels and 0 for sound ones."
        )


def photograph_share(pixels: NDArray[np.uint8]) -> float:
    """The share of pixels, uint8 [H, W] or [H, W, 3], that are neither black nor white; 0 of what is no photograph."""
    return _share_of_greys(pixels.ravel()) if pixels.ndim == 2 else _share_of_greys(pixels.max(-1).ravel(), pixels)


def _share_of_greys(levels: NDArray[np.uint8], colours: NDArray[np.uint8] | None = None) -> float:
    """The share of pixels that are neither black nor white in a photograph, 0..1; 0 of what is none.

    Args:
      levels: uint8 [N], the brightest channel of each pixel.
      colours: uint8 [..., 3], the N colours; None for grey ones.
    """
    counts = np.bincount(levels, minlength=256)
    share = float(counts[_GREYS].sum() / max(levels.size, 1))
    if share <= 0.5 or np.count_nonzero(counts) <= _FEW_LEVELS:
        return 0.0
    if colours is not None and (colours != colours[..., :1]).any():
        numbers = colours.reshape(-1, 3).astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)
        if len(np.unique(numbers)) <= min(_MANY_COLOURS, len(numbers) // 2):
            return 0.0
    return share


def guess_grey(levels: NDArray[np.uint8], path: str | Path, *, is_lossy: bool) -> NDArray[np.uint8]:
    """A grey mask as it is, if there is no doubt that what is brighter than 127 is defective.

    Args:
      levels: uint8 [H, W].
      path: of the file, for the error message.
      is_lossy: it was a JPEG, whose greys are noisy.

    Raises:
      UserError: nothing is brighter than 127, though something is brighter than 0; or darker greys fill areas, as
        numbers or greys of classes do.
    """
    counts = np.bincount(levels.ravel(), minlength=256)
    present = np.flatnonzero(counts)
    brightest = int(present[-1])
    if 0 < brightest <= DEFECT_THRESHOLD:
        # Black that was saved as JPEG may be noisy, in a few pixels or in all alike.
        share = counts[1:].sum() / levels.size
        if not (is_lossy and (share < 0.005 or len(present) == 1)):
            raise UserError(
                f"{path} has no pixel above {brightest}, so that no defect would be seen in it: save the mask with 255 "
                f"for defective pixels and 0 for sound ones, or {_HINT}."
            )
        return levels
    dark = _dark_when_lossy(levels) if is_lossy else _dark(levels)
    if dark is not None:
        shown = ", ".join(map(str, present[:8])) + (" and more" if len(present) > 8 else "")
        lowest = present[1] if present[0] == 0 else dark
        raise UserError(
            f"{path} has areas of the value {dark}, which is not above {DEFECT_THRESHOLD} and would count as sound, "
            f"beside others (its values are {shown}): {_HINT}, such as {lowest}-255."
        )
    return levels


def guess_colours(colours: NDArray[np.uint8], path: str | Path, *, is_lossy: bool) -> NDArray[np.uint8]:
    """A mask in colour as a grey one: the brightest channel; where a dark colour fills areas, all but black is white.

    Args:
      colours: uint8 [H, W, 3].
      path: of the file, for the error message.
      is_lossy: it was a JPEG.

    Raises:
      UserError: no pixel is black.
    """
    levels = colours.max(-1)
    if is_lossy:
        return levels if _dark_when_lossy(levels) is None else binary_mask(levels > _NOISE)
    refuse_without_black(colours, path)
    return levels if _dark(levels) is None else binary_mask(levels > 0)


def refuse_without_black(colours: NDArray[np.uint8], path: str | Path) -> None:
    """Check that a mask in colour has something that is sound.

    Args:
      colours: uint8 [H, W, 3].
      path: of the file, for the error message.

    Raises:
      UserError: no pixel is black.
    """
    if colours.any(-1).all():
        background = _hexadecimal(_most_frequent(colours))
        raise UserError(
            f"{path} has no black pixel, and most are {background}: {_HINT}, as colours, or save it with black for "
            "sound pixels."
        )


def mask_of_alpha(colours: NDArray[np.uint8], alpha: NDArray[np.uint8], path: str | Path) -> NDArray[np.uint8] | None:
    """The mask of an image with transparency if its alpha channel is one; None where its colours are.

    Of a photograph, what can be seen is the mask, if it is the smaller part.

    Raises:
      UserError: both might be.
    """
    if (alpha == alpha.flat[0]).all():
        return None
    if (colours == colours[0, 0]).all():
        return alpha
    seen = colours[alpha > 0]
    if len(seen) <= alpha.size / 2 and _share_of_greys(seen.max(-1), seen):
        return alpha
    if not colours[alpha == 0].any():
        # What is transparent is black besides.
        return None
    if (seen == seen[0]).all():
        # Marks of one colour on something transparent.
        return alpha
    raise UserError(
        f"{path} has one mask in its colours and another in its alpha channel: save it without transparency, with "
        "white for defective pixels and black for sound ones."
    )


def _dark(levels: NDArray[np.uint8]) -> int | None:
    """The lowest level of 1 to 127 that fills areas, but for a background that is not quite black; None without one."""
    counts = np.bincount(levels.ravel(), minlength=256)
    marked = levels.size - int(counts[0])
    present = np.flatnonzero(counts)
    dark = [int(level) for level in present if 0 < level <= DEFECT_THRESHOLD]
    if dark and counts[0] == 0:
        dark = dark[1:]
    enough = max(9, (0.02 if len(present) <= _FEW_LEVELS else 0.3) * marked)
    # Soft edges lie along something bright; lines and spots of a dark class do not.
    far = ~_grown(levels > DEFECT_THRESHOLD, 2) if len(present) <= _CLASSES else None
    for level in dark:
        of_level = levels == level
        fills = counts[level] >= enough and _inner(of_level, 1).sum() >= enough / 2
        if fills or (far is not None and (of_level & far).sum() > _STRAY):
            return level
    return None


def _dark_when_lossy(levels: NDArray[np.uint8]) -> int | None:
    """A level of areas of which a part of the noisy pixels, or all, would be below the threshold; None without such."""
    grey = (levels > 16) & (levels <= DEFECT_THRESHOLD)
    if _inner(grey, 2).sum() > 0.1 * (levels > 16).sum():
        return int(np.median(levels[grey]))
    marked = levels[levels > _NOISE]
    middle = int(np.median(marked)) if marked.size else 0
    return middle if 0 < middle <= _HALF else None


def _grown(area: NDArray[np.bool_], times: int) -> NDArray[np.bool_]:
    """An area with the pixels above, below, left and right of it, so many times over."""
    return ~_inner(~area, times)


def _inner(area: NDArray[np.bool_], times: int) -> NDArray[np.bool_]:
    """The pixels of an area whose neighbours above, below, left and right are in it, so many times over."""
    for _ in range(times):
        inner = area.copy()
        inner[1:] &= area[:-1]
        inner[:-1] &= area[1:]
        inner[:, 1:] &= area[:, :-1]
        inner[:, :-1] &= area[:, 1:]
        area = inner
    return area


def _most_frequent(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    kinds, counts = np.unique(colours.reshape(-1, 3), axis=0, return_counts=True)
    return kinds[counts.argmax()]


def _hexadecimal(colour: NDArray[np.uint8]) -> str:
    return "#" + bytes(colour.tolist()).hex()
