"""Folders of saliency maps and masks: which belong together, and what may be read as a map.

Nothing is left out, resized or stretched unasked: what cannot be scored as it stands is named, in one sentence each.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from pathlib import Path, PurePosixPath

import numpy as np

from dms_jax.data.class_names import in_free_folder
from dms_jax.data.image_files import DEFECT_THRESHOLD, IMAGE_SUFFIXES, load_image
from dms_jax.data.mask_files import as_mask
from dms_jax.data.mask_guesses import photograph_share
from dms_jax.data.mask_values import MaskValues
from dms_jax.errors import UserError, some_names

# How many sentences of one kind are shown before the rest is counted.
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class MapPair:
    """A saliency map and its mask, of the same name; paths as text, which takes a fraction of a `Path`'s memory."""

    name: str
    map_path: str
    mask_path: str | None


@dataclass(frozen=True)
class Matching:
    """The pairs of two folders, in the order of names.

    Attributes:
      pairs: every mask with its map, and every map of a defect-free image, which needs no mask.
      notes: sentences on what was matched although the names differ, on maps without a mask, and on files that are no
        images.
    """

    pairs: tuple[MapPair, ...]
    notes: tuple[str, ...]


def in_free_folders(names: Iterable[str]) -> list[str]:
    """The images that lie in a folder named like one of defect-free images."""
    return list(filter(in_free_folder, names))


def match_maps(
    maps: Path, masks: Path, free_of: Callable[[Iterable[str]], Iterable[str]] = in_free_folders
) -> Matching:
    """Match the images of two folders, and of the folders in them, by their names without extension.

    Names that differ in nothing but spaces, or in how Unicode writes an accent, are one, where that is unambiguous.

    Args:
      maps: the folder of maps.
      masks: the folder of masks.
      free_of: which images, of maps' names (their paths in `maps`, without suffix), are defect-free, so that they need
        no mask; by default that is told by their folders.

    Raises:
      UserError: a folder is missing or has no image, one folder is the other or lies in it, two files of one folder
        have one name, a mask has no map, or the map of an image that may be defective no mask; one sentence each. One
        for all where no mask has a map.
    """
    _refuse_nested(maps, masks)
    notes: list[str] = []
    found_maps, found_masks = list_images(maps, notes), list_images(masks, notes)
    partner = match_names(found_masks, found_maps)
    if not partner:
        wanted, mask = next(iter(found_masks.items()))
        raise other_layout(maps, found_maps, wanted, of=mask, fix="give the maps the folders and names of their masks")
    problems = [
        f"{found_masks[name]} has no map in {maps}: add {name}.png there, or remove the mask."
        for name in found_masks
        if name not in partner
    ]
    unmasked = found_maps.keys() - partner.values()
    free = sorted(free_of(unmasked))
    extra = unmasked.difference(free)
    problems += [
        f"{found_maps[name]} has no mask in {masks}: add {name}.png there, or remove the map." for name in sorted(extra)
    ]
    refuse(problems)
    map_of = {name: found_maps[partner[name]] for name in found_masks}
    notes += shortened(
        [
            f"{map_of[name]} is taken for the map of {mask}, although the names differ."
            for name, mask in found_masks.items()
            if partner[name] != name or _differ_in_case(map_of[name], mask)
        ]
    )
    if free:
        one = len(free) == 1
        notes.append(
            f"{len(free)} {'map has' if one else 'maps have'} no mask in {masks}, and "
            f"{'counts as of a defect-free image' if one else 'count as of defect-free images'}: "
            f"{some_names(free, _SHOWN)}."
        )
    pairs = [MapPair(name, map_of[name], mask) for name, mask in found_masks.items()]
    pairs += [MapPair(name, found_maps[name], None) for name in free]
    return Matching(tuple(sorted(pairs, key=attrgetter("name"))), tuple(notes))


def match_names(wanted: Iterable[str], offered: Iterable[str]) -> dict[str, str]:
    """For each wanted name the same one of those offered, or the only one that differs just in spaces and accents."""
    wanted, offered = list(wanted), set(offered)
    partner = {name: name for name in wanted if name in offered}
    left = [name for name in wanted if name not in partner]
    loose: dict[str, list[str]] = defaultdict(list)
    for name in offered - partner.keys():
        loose[_loosely(name)].append(name)
    counts: dict[str, int] = defaultdict(int)
    for name in left:
        counts[_loosely(name)] += 1
    for name in left:
        candidates = loose[_loosely(name)]
        if len(candidates) == 1 and counts[_loosely(name)] == 1:
            partner[name] = candidates[0]
    return partner


def other_layout(maps: Path, found: Mapping[str, str], wanted: str, *, of: str, fix: str) -> UserError:
    """The error for maps of which none has a name that was looked for: their folders, names or suffixes are others.

    Args:
      maps: the folder.
      found: what it holds, see `list_images`.
      wanted: a name that was looked for.
      of: the mask or the image that has that name.
      fix: what to do.
    """
    stem = wanted.rpartition("/")[2]
    # One that looks as if it were meant, if there is one.
    name = min(found, key=lambda name: (name.rpartition("/")[2] != stem, stem not in name, name))
    return UserError(
        f"{maps} has another layout: of {of} a map {wanted}.png is expected there, not {found[name]}: {fix}."
    )


def without_suffix(name: str) -> str:
    """An image's name, a path with forward slashes, without the suffix of an image file."""
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in IMAGE_SUFFIXES else str(path)


def read_map(path: str | Path) -> tuple[np.ndarray, str | None]:
    """Read a saliency map as it is stored.

    Returns:
      uint8 [H, W], 0..255, and a sentence where it was not plain grey; else None.

    Raises:
      UserError: the file is no image, or its pixels are not 8-bit greys: 16 bits, floating point, colours or
        transparency, which could be read in more than one way.
    """
    image = load_image(path)
    if image.mode == "L":
        return np.asarray(image), None
    if image.mode.startswith(("I", "F")):
        raise UserError(f"{path} has pixels of more than 8 bits: save the map with 8 bits, 255 for certain.")
    transparent = image.mode == "P" and "transparency" in image.info
    if transparent or image.mode not in ("1", "P", "RGB"):
        kind = "P with transparency" if transparent else image.mode
        raise UserError(f"{path} has pixels of kind {kind!r}: save the map as 8-bit grey, 255 for certain.")
    colours = np.asarray(image.convert("RGB"))
    if not (colours == colours[..., :1]).all():
        raise UserError(f"{path} is in colour: save the map as 8-bit grey, 255 for certain.")
    return np.ascontiguousarray(colours[..., 0]), f"{path} is read as 8-bit grey, although it was saved otherwise."


def read_truth(path: str | Path, values: MaskValues | None = None) -> tuple[np.ndarray, str | None]:
    """Read a mask as it is stored.

    Args:
      path: the file.
      values: which of the file's values are defective, and which are ignored (`dms_jax.data.image_files.IGNORED`).

    Returns:
      uint8 [H, W], 0..255, and a sentence where it was not plain grey (see `dms_jax.data.mask_files.read_mask` for how
      it was read), looks like a photograph, or is a JPEG that is dark but not black, the noise of its compression
      perhaps; else None.

    Raises:
      UserError: the file is no image, `values` do not fit it, or no pixel would count: 0 and 1 instead of 0 and 255,
        for instance.
    """
    image = load_image(path)
    mask = np.asarray(as_mask(image, path, values))
    if values is not None:
        return mask, None
    if 0 < mask.max() <= DEFECT_THRESHOLD:
        return mask, f"{path} has no pixel above {mask.max()}, and counts as an image without a defect."
    if share := photograph_share(mask):
        return mask, (
            f"{path} looks like a photograph, not a mask: {share:.0%} of its pixels are neither black nor white."
        )
    if image.mode == "L":
        return mask, None
    return mask, f"{path} is read as an 8-bit grey mask, although it was saved with pixels of kind {image.mode!r}."


def shortened(sentences: Sequence[str]) -> list[str]:
    """The first sentences, and one that counts the rest."""
    more = len(sentences) - _SHOWN
    return [*sentences[:_SHOWN], *([f"There are {more} more like the last."] if more > 0 else [])]


def refuse(problems: Sequence[str]) -> None:
    """Raise what is wrong, if anything is, a line each.

    Raises:
      UserError: there is a problem.
    """
    if problems:
        raise UserError("\n".join(shortened(problems)))


def _refuse_nested(maps: Path, masks: Path) -> None:
    if maps.resolve() == masks.resolve():
        raise UserError(f"{maps} is the folder of maps and of masks: name two folders.")
    for inner, outer in ((maps, masks), (masks, maps)):
        if inner.is_dir() and inner.resolve().is_relative_to(outer.resolve()):
            raise UserError(f"{inner} lies in {outer}, all of which is read: move one out of the other.")


def list_images(folder: Path, notes: list[str]) -> dict[str, str]:
    """The images in a folder and those in it, by path without suffix, in order; adds to `notes` what is left out.

    Raises:
      UserError: it is no folder, holds no image, may not be read, or two of its files have one name.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: name one that holds images.")
    images: dict[str, str] = {}
    others: list[str] = []
    problems: list[str] = []
    paths: list[str] = []
    # Not `Path.rglob`, which passes over folders that may not be read.
    for at, inner, files in os.walk(folder, onerror=_refuse_folder):
        # Hidden ones are the system's: .DS_Store, ._x.png, .ipynb_checkpoints.
        inner[:] = [name for name in inner if not name.startswith(".")]
        paths += [os.path.join(at, name) for name in chain(inner, files) if not name.startswith(".")]
    for path in map(Path, sorted(paths)):
        if path.is_symlink() and not path.is_file():
            others.append(f"{path} is a link to a folder or to nothing, and left out.")
        if not path.is_file():
            continue
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            others.append(f"{path} is no image, and left out.")
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in images:
            problems.append(f"{images[name]} and {path} have one name: remove one of them.")
        images[name] = str(path)
    refuse(problems)
    if not images:
        raise UserError(f"{folder} holds no images: name a folder that does.")
    notes += shortened(others)
    return images


def _refuse_folder(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be read ({error.strerror}): change its permissions.") from error


def _loosely(name: str) -> str:
    # macOS writes an accent as a character of its own.
    return "".join(unicodedata.normalize("NFC", name).split())


def _differ_in_case(path: str, other_path: str) -> bool:
    suffix, other = Path(path).suffix, Path(other_path).suffix
    return suffix != other and suffix.lower() == other.lower()
