"""Images and their annotated regions, as any tool has annotated them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from dms_jax.data.class_names import is_free_name
from dms_jax.data.datasets.folder.annotations.drawing import LINE_WIDTH
from dms_jax.data.datasets.folder.annotations.files import Files
from dms_jax.data.datasets.folder.listing import ListedImage, Listing
from dms_jax.data.datasets.folder.tree import is_text, printable
from dms_jax.data.image_files import load_image
from dms_jax.data.library_warnings import library_warnings_ignored
from dms_jax.errors import UserError

_EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Region:
    """An annotated region; can be pickled.

    Attributes:
      label: name of its class.
      draw: gives the region, as bool or uint8 (0..255) [H, W], for an image's height and width; raises ValueError if it
        can't, whose message says what is wrong.
      kind: `area`; or `box`, `line` or `point`, which say less than a mask about where the defect is.
    """

    label: str
    draw: Callable[[int, int], np.ndarray]
    kind: str = "area"


@dataclass(frozen=True)
class Entry:
    """An image that an annotation file is about.

    Attributes:
      image: the image's file.
      source: the annotation's file.
      regions: what is annotated in it; none where it has no defect.
      size: its width and height as the annotation has them; None where they are not given.
      tag: name of the class of the whole image; None where it is not given.
      split: as of `ListedImage`.
    """

    image: Path
    source: Path
    regions: tuple[Region, ...]
    size: tuple[int, int] | None = None
    tag: str | None = None
    split: str | None = None


@dataclass
class Findings:
    """What a format's reader has found.

    Attributes:
      entries: the images.
      problems: as of `Listing`.
      notes: as of `Listing`.
      files: files that the result depends on, besides annotations and images.
      unannotated: images that are left out and that a note is about.
      advice: what to do with images that no annotation is about; ends the note on them.
    """

    entries: list[Entry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    unannotated: list[Path] = field(default_factory=list)
    advice: str = ""


def as_listing(tool: str, sources: Sequence[Path], files: Files, found: Findings) -> Listing:
    """The images of annotation files as the dataset takes them.

    The class of an image is that of its regions, where there are several the one with the largest area. Without a
    region it is the image's tag, and without one the defect-free class: the one of the user's that has such a name,
    else "good". Regions of the defect-free class are not drawn. An image with a point has an unknown mask.

    Args:
      tool: the format's name, for the note.
      sources: the annotation files.
      files: what lies in the user's folder.
      found: what was read from the annotation files.

    Returns:
      What the dataset takes.
    """
    problems = list(found.problems)
    entries = list(_without_doubles(_with_text_names(found.entries, problems), files, problems))
    entries = _without_other_cases(entries, sources[0], problems)
    labels = {label for entry in entries for label in _labels(entry)}
    free_class = min((label for label in labels if is_free_name(label)), default="good")
    images, several = [], []
    for entry in sorted(entries, key=lambda entry: files.name(entry.image)):
        regions = tuple(region for region in entry.regions if not is_free_name(region.label))
        known = bool(regions) and all(region.kind != "point" for region in regions)
        label = entry.tag or free_class
        if regions:
            try:
                label = _largest(entry, regions)
            except UserError as error:
                problems.append(str(error))
                continue
            if len({region.label for region in regions}) > 1:
                several.append(files.name(entry.image))
        name = files.name(entry.image)
        source = entry.source if known else None
        read = partial(read_regions, image_path=entry.image, size=entry.size, regions=regions if known else ())
        images.append(ListedImage(name, entry.image, source, label, entry.split, read))
    shown = ", ".join(sorted(label for label in labels if not is_free_name(label))) or "none"
    where = sources[0] if len(sources) == 1 else f"{len(sources)} files in {files.root}"
    return Listing(
        images=tuple(images),
        problems=tuple(problems),
        ignored=(),
        files=tuple(dict.fromkeys((*sources, *found.files, *(entry.image for entry in found.entries)))),
        # Of a class with tags alone the masks are unknown; it must not be taken for the defect-free one.
        masked=frozenset(label for label in labels if not is_free_name(label)),
        splits=frozenset(entry.split for entry in found.entries if entry.split),
        notes=(
            f"Annotations of {tool} from {where}: {len(images)} images, "
            f"{sum(image.mask_path is not None for image in images)} with a mask, classes: {shown}.",
            *_notes(images, entries, free_class, several),
            *_unlisted(files, found),
            *found.notes,
        ),
    )


def _notes(
    images: Sequence[ListedImage], entries: Sequence[Entry], free_class: str, several: Sequence[str]
) -> Iterator[str]:
    """What the user should know of how the regions were understood, one sentence each."""
    empty = sum(image.mask_path is None and image.label == free_class for image in images)
    if empty:
        yield f"{empty} images have no region and are of class {free_class}, free of defects."
    if several:
        yield (
            f"{len(several)} images have regions of several classes and count for that of the largest area "
            f"(the first: {several[0]})."
        )
    kinds = Counter(region.kind for entry in entries for region in entry.regions if not is_free_name(region.label))
    if kinds["box"]:
        yield f"{kinds['box']} boxes are filled: of a defect that only has a box, the mask marks more than the defect."
    if kinds["line"]:
        yield f"{kinds['line']} lines are drawn {LINE_WIDTH} pixels wide, as they have no width of their own."
    if kinds["point"]:
        yield f"{kinds['point']} points have no area: the masks of their images count as unknown."
    undrawn = sum(is_free_name(region.label) for entry in entries for region in entry.regions)
    if undrawn:
        yield f"{undrawn} regions of class {free_class} are not drawn: it is free of defects by its name."


def _unlisted(files: Files, found: Findings) -> Iterator[str]:
    """A note on the images that are left out because no annotation is about them."""
    listed = {*(entry.image for entry in found.entries), *found.files, *found.unannotated}
    unlisted = [path for path in files.images if path not in listed]
    if unlisted:
        first = printable(Path(files.name(unlisted[0])))
        yield f"{len(unlisted)} images that no annotation is about are left out (the first: {first}){found.advice}."


def read_regions(path: Path, image_path: Path, size: tuple[int, int] | None, regions: Sequence[Region]) -> Image.Image:
    """Draws the regions of an image as its mask.

    Args:
      path: the annotation's file, for messages.
      image_path: the image's file.
      size: its width and height as the annotation has them, if it does.
      regions: what is annotated in it.

    Returns:
      An image of mode L, as large as the image is when it is turned upright: 255 is defective.

    Raises:
      UserError: the image has another size, a region can't be drawn, or no pixel is in one.
    """
    upright, stored = image_sizes(image_path)
    if size is not None and size != upright:
        given, actual = _by(size), _by(upright)
        if size == stored:
            # Not drawn: some tools draw upright and write the size as stored, others draw what they write.
            raise UserError(
                f"{path} gives {image_path} the size {given} that it has before its EXIF data turn it ({actual}), so "
                "that it is unknown which way up it was annotated: save the image upright, without EXIF orientation, "
                "and annotate that."
            )
        raise UserError(
            f"{path} gives {image_path} the size {given}, but it has {actual} pixels: annotate the image as it is, or "
            "restore the one that was annotated."
        )
    mask = np.zeros(upright[::-1], np.uint8)
    for region in regions:
        try:
            drawn = region.draw(upright[1], upright[0])
        except ValueError as error:
            raise UserError(f"{path} has a region of {image_path} that {error}: export it again.") from error
        np.maximum(mask, drawn.astype(np.uint8) * 255 if drawn.dtype == bool else drawn, out=mask)
    if not mask.any():
        raise UserError(
            f"{path} has regions of {image_path} that hold no pixel of it: annotate it again, or remove them if it has "
            "no defect."
        )
    return Image.fromarray(mask)


def image_sizes(path: Path) -> tuple[tuple[int, int], tuple[int, int]]:
    """An image's width and height when it is turned upright, and as it is stored.

    Raises:
      UserError: it can't be read.
    """
    try:
        with library_warnings_ignored(), Image.open(path) as image:
            # Pillow gives a TIFF the size that it has upright.
            stored = (image.tag_v2[256], image.tag_v2[257]) if isinstance(image, TiffImageFile) else image.size
            turned = image.getexif().get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
    except Exception:  # of any kind on damaged files
        upright = load_image(path).size  # raises the sentence that says why
        return upright, upright
    return (stored[::-1] if turned else stored), stored


def _labels(entry: Entry) -> Iterator[str]:
    yield from (region.label for region in entry.regions)
    if entry.tag is not None and all(is_free_name(region.label) for region in entry.regions):
        yield entry.tag


def _with_text_names(entries: Iterable[Entry], problems: list[str]) -> Iterator[Entry]:
    for entry in entries:
        if is_text(entry.image) and is_text(entry.source):
            yield entry
        else:
            problems.append(f"{printable(entry.image)} has a name that is not valid UTF-8: rename it.")


def _without_doubles(entries: Iterable[Entry], files: Files, problems: list[str]) -> Iterator[Entry]:
    by_image: dict[Path, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_image[entry.image].append(entry)
    for image, same in by_image.items():
        if len(same) == 1:
            yield same[0]
        else:
            sources = " and ".join(dict.fromkeys(files.name(entry.source) for entry in same))
            problems.append(f"{image} is annotated {len(same)} times, in {sources}: remove all but one.")


def _without_other_cases(entries: list[Entry], source: Path, problems: list[str]) -> list[Entry]:
    """Leaves out the images of a class whose name differs from that of a more frequent one only in case."""
    counts = Counter(label for entry in entries for label in set(_labels(entry)))
    spellings: dict[str, list[str]] = defaultdict(list)
    for label, _ in counts.most_common():
        spellings[label.casefold()].append(label)
    left_out = set()
    for several in spellings.values():
        if len(several) > 1:
            listed = " and ".join(f"{label} ({counts[label]} images)" for label in several)
            problems.append(f"{source} names classes that differ only in upper and lower case, {listed}: rename one.")
            left_out.update(several[1:])
    return [entry for entry in entries if left_out.isdisjoint(_labels(entry))]


def _largest(entry: Entry, regions: Sequence[Region]) -> str:
    """The class that has the largest area in an image, the first where several have."""
    classes = list(dict.fromkeys(region.label for region in regions))
    if len(classes) == 1:
        return classes[0]
    width, height = entry.size or image_sizes(entry.image)[0]
    areas = dict.fromkeys(classes, 0)
    for region in regions:
        if region.kind != "point":
            try:
                areas[region.label] += int(np.count_nonzero(region.draw(height, width)))
            except ValueError as error:
                raise UserError(
                    f"{entry.source} has a region of {entry.image} that {error}: export it again."
                ) from error
    return max(classes, key=areas.__getitem__)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
