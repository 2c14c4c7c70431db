"""Plain-text tables and names for the terminal, and what tables for spreadsheets are made of."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

Cell = str | int | float | None

# The carriage return too, with which a line is written over, and what turns the direction of text round.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# What a spreadsheet would take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def printable(text: str) -> str:
    """Text that a terminal shows and does not obey: control characters but for line ends and tabs are written out.

    Names of files and classes, and what files say, may hold any character.
    """
    return text if text.isprintable() else _CONTROLS.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def harmless(value: Any) -> Any:
    """A cell for a CSV file; a text that a spreadsheet would run as a formula begins with an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def separator(text: str) -> str:
    """What separates the columns of a CSV file: a comma, semicolon or tab, as spreadsheets write them.

    Args:
      text: the file's, of which the first line counts.
    """
    return max(",;\t", key=text.partition("\n")[0].count)


def read_csv(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """The columns of a CSV file by its first line, and its other lines by them; see `separator`.

    Names of columns are in lower case, without the blanks around them: a spreadsheet's are `Name` or ` label`.

    Raises:
      OSError, UnicodeDecodeError, csv.Error: the file cannot be read, is not UTF-8, is not CSV, or has two columns of
        one name.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        text = file.read()
    # Else a quotation mark that is not closed makes one cell of all that follows.
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator(text), strict=True)
    columns = [name.strip().lower() for name in reader.fieldnames or ()]
    # Those without a name are what a spreadsheet leaves of empty ones.
    for name in filter(None, columns):
        if columns.count(name) > 1:
            raise csv.Error(f"two columns are called {name}")
    reader.fieldnames = columns
    return columns, list(reader)


def format_table(headers: Sequence[str], rows: Iterable[Sequence[Cell]], precision: int = 4) -> str:
    """Lay rows out in columns, two spaces apart, under their headers and a rule.

    A column that holds a number, or nothing but None, is aligned to the right, any other to the left.
    Floats get `precision` decimals, integers none; None, a metric that does not exist, reads n/a.

    Example:
      >>> print(format_table(["maps", "MAE", "images"], [["SDMS", 0.0097, 226], ["none", None, 0]]))
      maps     MAE  images
      ----  ------  ------
      SDMS  0.0097     226
      none     n/a       0

    Raises:
      ValueError: a row has more or fewer cells than there are headers.
    """
    rows = [tuple(row) for row in rows]
    for row in rows:
        if len(row) != len(headers):
            raise ValueError(f"a row of {len(row)} cells under {len(headers)} headers: {row}")
    columns = [_format_column(header, [row[index] for row in rows], precision) for index, header in enumerate(headers)]
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def _format_column(header: str, cells: list[Cell], precision: int) -> list[str]:
    texts = [printable(header), *(_format_cell(cell, precision) for cell in cells)]
    width = max(map(len, texts))
    texts.insert(1, "-" * width)
    to_right = bool(cells) and (any(map(_is_number, cells)) or all(cell is None for cell in cells))
    return [text.rjust(width) if to_right else text.ljust(width) for text in texts]


def _format_cell(cell: Cell, precision: int) -> str:
    if cell is None:
        return "n/a"
    if _is_number(cell) and not isinstance(cell, Integral):
        return f"{float(cell):.{precision}f}"
    return printable(str(cell))


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, Real) and not isinstance(cell, bool)
