"""Failures that the user can act on, and their wording."""

import re
from collections.abc import Sequence

# The carriage return too, with which a line is written over, and what turns the direction of text round.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class UserError(Exception):
    """A failure that the user can fix: bad data, a bad value, a missing file.

    The message is one plain sentence that names the file or the field and says what to do. Entry points print it
    on standard error, without a traceback, and exit with `exit_code`.
    """

    exit_code = 1


class UsageError(UserError):
    """The command itself is wrong: an unknown field, a value of the wrong type or out of range."""

    exit_code = 2


def printable(text: str) -> str:
    """Text that a terminal shows and does not obey: control characters but for line ends and tabs are written out.

    Names of files and classes, and what files say, may hold any character.
    """
    return text if text.isprintable() else _CONTROLS.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def some_names(names: Sequence[str], most: int) -> str:
    """At most so many of the names, for a sentence, and the number of the others: "a, b and 3 more"."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def first_words(error: Exception) -> str:
    """The beginning of another library's message, on one line, to be quoted in a `UserError`."""
    return " ".join(str(error).split())[:200]
