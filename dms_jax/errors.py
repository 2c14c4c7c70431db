"""Failures that the user can act on, and their wording."""

from collections.abc import Sequence


class UserError(Exception):
    """A failure that the user can fix: bad data, a bad value, a missing file.

    The message is one plain sentence that names the file or the field and says what to do. Entry points print it
    on standard error, without a traceback, and exit with `exit_code`.
    """

    exit_code = 1


class UsageError(UserError):
    """The command itself is wrong: an unknown field, a value of the wrong type or out of range."""

    exit_code = 2


def some_names(names: Sequence[str], most: int) -> str:
    """At most so many of the names, for a sentence, and the number of the others: "a, b and 3 more"."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def first_words(error: Exception) -> str:
    """The beginning of another library's message, on one line, to be quoted in a `UserError`."""
    return " ".join(str(error).split())[:200]
