"""The classes of images from a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dms_jax.data.class_names import check_names, in_free_folder, is_free_name
from dms_jax.errors import UserError
from dms_jax.evaluation.maps.files import match_names, refuse, without_suffix
from dms_jax.tables import read_csv


@dataclass(frozen=True)
class Labels:
    """What is known of images' classes.

    Attributes:
      path: the file that it comes from.
      class_names: the defect-free class first, the others by name.
      free_class: number of the defect-free class; None where there is none.
      classes: for each image's name, without suffix, its class and the class that a method predicted, as numbers; None
        where unknown.
    """

    path: Path
    class_names: tuple[str, ...]
    free_class: int | None
    classes: Mapping[str, tuple[int | None, int | None]]

    def free_of(self, names: Iterable[str]) -> list[str]:
        """The images of the defect-free class: by their labels or, where they have none, their folders' names."""
        names = list(names)
        # By names that may differ in spaces, as in `match`.
        partner = match_names(names, self.classes)
        labels = {name: self.classes[known][0] for name, known in partner.items()}
        return [
            name
            for name in names
            if (in_free_folder(name) if labels.get(name) is None else labels[name] == self.free_class)
        ]

    def match(self, names: Iterable[str]) -> dict[str, tuple[int | None, int | None]]:
        """The classes of images, by names that may differ in spaces.

        Raises:
          UserError: an image is not in the file; one sentence each.
        """
        names = list(names)
        partner = match_names(names, self.classes)
        refuse([f"{name} is not in {self.path}: add a line for it." for name in names if name not in partner])
        return {name: self.classes[partner[name]] for name in names}


def read_labels(path: Path, free_class: str | None = None) -> Labels:
    """Read a CSV file with a header: `name` (or `image`, or `map`), `label` and, if a method predicts it, `predicted`.

    Columns are separated by commas, semicolons or tabs. A name is a path relative to the folder of masks, with or
    without suffix; a label is the name of a class, or empty where it is unknown. Other columns are ignored, as are
    lines without a name.

    Args:
      path: the file.
      free_class: name of the defect-free class; None for the one that is so by its name (see
        `dms_jax.data.class_names`), if there is one.

    Raises:
      UserError: the file cannot be read, lacks a column, names an image twice, holds no label, or several that may be
        the defect-free one, or two that differ in case alone.
    """
    try:
        columns, lines = read_csv(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error}): name a CSV file with the columns name and label.") from error
    key = next((column for column in ("name", "image", "map") if column in columns), None)
    if key is None or "label" not in columns:
        raise UserError(
            f"{path} has the columns {', '.join(columns) or 'none'}: it needs name and label, in its first line."
        )
    texts: dict[str, tuple[str, str]] = {}
    for line in lines:
        if not (line[key] or "").strip():
            continue
        name = without_suffix(line[key].strip())
        if name in texts:
            raise UserError(f"{path} names {name!r} twice: remove one of the lines.")
        texts[name] = ((line["label"] or "").strip(), (line.get("predicted") or "").strip())
    known = {text for pair in texts.values() for text in pair if text}
    if not any(label for label, _ in texts.values()):
        raise UserError(f"{path} holds no label: fill in the column label.")
    try:
        # One of them may have been predicted, and would never be right.
        check_names(known)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if free_class is None:
        named = sorted(name for name in known if is_free_name(name))
        if len(named) > 1:
            raise UserError(
                f"{path}: {' and '.join(named)} are both free of defects by their names: name one with --free-class, "
                "or write them alike."
            )
        free_class = named[0] if named else None
    class_names = tuple(sorted(known, key=lambda name: (name != free_class, name)))
    numbers = {name: number for number, name in enumerate(class_names)}
    return Labels(
        path=path,
        class_names=class_names,
        free_class=None if free_class is None else numbers.get(free_class),
        classes={name: (numbers.get(label), numbers.get(guess)) for name, (label, guess) in texts.items()},
    )
