"""Annotations of labelling tools, as masks: labelme, COCO, CVAT for images, Label Studio."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from dms_jax.data.datasets.folder.annotations.coco import is_coco, list_coco
from dms_jax.data.datasets.folder.annotations.cvat import is_cvat, list_cvat
from dms_jax.data.datasets.folder.annotations.files import Files
from dms_jax.data.datasets.folder.annotations.label_studio import is_label_studio, is_png_export, list_label_studio
from dms_jax.data.datasets.folder.annotations.labelme import is_labelme, list_labelme
from dms_jax.data.datasets.folder.annotations.values import read_json
from dms_jax.data.datasets.folder.listing import Listing
from dms_jax.errors import UserError, first_words

# In a file that can't be parsed, these say that it was one of annotations.
_MARKS = re.compile(rb'"(shapes|imagePath|annotations|segmentation|categories|annotation_id)"\s*:|<annotations\b')


@dataclass(frozen=True)
class _Format:
    """A tool's format.

    Attributes:
      name: for messages.
      suffix: how its files end.
      fits: whether the contents of such a file, parsed, are of this format.
      list_images: lists the images of several such files.
    """

    name: str
    suffix: str
    fits: Callable[[Any], bool]
    list_images: Callable[[Mapping[Path, Any], Files], Listing]


_FORMATS = (
    _Format("labelme", ".json", is_labelme, list_labelme),
    _Format("COCO", ".json", is_coco, list_coco),
    _Format("Label Studio", ".json", is_label_studio, list_label_studio),
    _Format("CVAT", ".xml", is_cvat, list_cvat),
)


def list_annotations(source: Path) -> Listing | None:
    """Lists the images that annotation files are about, without opening an image.

    Args:
      source: a folder, whose annotation files are found by their contents, or one such file. Images are looked for
        beside the files and everywhere in the folder.

    Returns:
      What they hold; None for a folder without annotation files, and for a file of another kind.

    Raises:
      UserError: a file is damaged or of no known format; a folder has annotations of several formats, or masks too; a
        folder can't be read.
    """
    if source.is_file() and source.suffix.lower() in (".json", ".xml"):
        files, given = Files(source.parent), [source]
    elif source.is_dir():
        files = Files(source)
        given = [path for path in files.all if path.suffix.lower() in (".json", ".xml")]
    else:
        return None
    found: dict[str, dict[Path, Any]] = {}
    for path in given:
        content = _parse(path)
        forms = [form for form in _FORMATS if form.suffix == path.suffix.lower()]
        known = next((form for form in forms if content is not None and form.fits(content)), None)
        if known is not None:
            if known.name == "labelme":
                # The image itself, a few megabytes of each file.
                content.pop("imageData", None)
            found.setdefault(known.name, {})[path] = content
        elif path == source:
            raise UserError(
                f"{path} is not of a known format: export it as {', '.join(form.name for form in _FORMATS)}."
            )
    if not found:
        _refuse_lone_masks(files)
        return None
    if len(found) > 1:
        listed = " and ".join(f"{name} ({next(iter(paths))})" for name, paths in found.items())
        raise UserError(f"{source} has annotations of {listed}: name the file that counts, or move the others away.")
    ((name, contents),) = found.items()
    if source.is_dir():
        _refuse_masks(source, files, next(iter(contents)))
    return next(form for form in _FORMATS if form.name == name).list_images(contents, files)


def _parse(path: Path) -> Any:
    """The contents of a JSON or XML file; None of one that is neither, nor seems to have been annotations."""
    try:
        if path.suffix.lower() == ".json":
            return read_json(path)
        return ElementTree.parse(path).getroot()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): change its permissions.") from error
    except (ValueError, ElementTree.ParseError) as error:
        if _MARKS.search(path.read_bytes()):
            kind = path.suffix[1:].upper()
            raise UserError(f"{path} is no valid {kind} ({first_words(error)}): export it again.") from error
    return None


def _refuse_masks(root: Path, files: Files, annotation: Path) -> None:
    for path in files.images:
        folder = path.relative_to(root).parts[0]
        if folder.lower() in ("masks", "ground_truth"):
            raise UserError(
                f"{root} has annotations ({annotation}) and masks ({root / folder}), of which one can count: move the "
                "other away."
            )


def _refuse_lone_masks(files: Files) -> None:
    """Refuses Label Studio's PNG files alone: they don't say which image they are of."""
    path = next((path for path in files.images if is_png_export(path)), None)
    if path is not None:
        raise UserError(
            f"{path} is a brush label of Label Studio, which does not say of which image: export the tasks as JSON "
            "too, and put that file beside."
        )
