"""Values of annotation files, checked."""

import json
import math
from pathlib import Path
from typing import Any

from dms_jax.data.datasets.folder.tree import class_name
from dms_jax.data.image_files import MOST_PIXELS
from dms_jax.errors import UserError, first_words

# No image is so large; beyond it, sums of coordinates lose pixels.
_LARGEST = 10**6


def read_json(path: Path) -> Any:
    """The contents of a JSON file.

    Raises:
      UserError: it can't be read.
      ValueError: it is no JSON.
    """
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): change its permissions.") from error
    except RecursionError as error:
        raise ValueError(first_words(error)) from error


def label_of(text: object) -> str:
    """The class that an annotation names.

    Raises:
      ValueError: it names none; the message says so.
    """
    label = class_name(str(text)) if isinstance(text, str | int | float) else None
    if label is None:
        raise ValueError("has no class")
    return label


def size_of(width: object, height: object) -> tuple[int, int] | None:
    """An image's size; None where it is not given.

    Raises:
      ValueError: it is no size; the message says so.
    """
    if width in (None, "") or height in (None, ""):
        return None
    try:
        size = (int(width), int(height))
    except (TypeError, ValueError, OverflowError):
        size = (0, 0)
    if min(size) < 1 or max(size) > _LARGEST or size[0] * size[1] > MOST_PIXELS:
        raise ValueError(f"has the size {width!r} x {height!r}")
    return size


def points_of(points: object, least: int) -> tuple[tuple[float, float], ...]:
    """The points of a region.

    Args:
      points: pairs of numbers.
      least: so many there must be.

    Raises:
      ValueError: these are no such points; the message says so.
    """
    try:
        pairs = tuple((float(x), float(y)) for x, y in points)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError("has points that are not pairs of numbers") from error
    if not all(abs(value) <= _LARGEST for pair in pairs for value in pair):
        raise ValueError("has points that lie nowhere near an image")
    if len(pairs) < least:
        raise ValueError(f"has {len(pairs)} points, where at least {least} are needed")
    return pairs


def a(noun: str) -> str:
    """A noun with its article."""
    return f"{'an' if noun[:1] in 'aeio' else 'a'} {noun}"


def number_of(value: object) -> float:
    """A number of an annotation.

    Raises:
      ValueError: it is none; the message says so.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not abs(number) <= _LARGEST:
        raise ValueError(f"has {value!r} where a number is needed")
    return number
