"""Failures that the user can act on, and their wording."""

import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


class UserError(Exception):
    """A failure that the user can fix: bad data, a bad value, a missing file.

    The message is one plain sentence that names the file or the field and says what to do. Entry points print it
    on standard error, without a traceback, and exit with `exit_code`.
    """

    exit_code = 1


class UsageError(UserError):
    """The command itself is wrong: an unknown field, a value of the wrong type or out of range."""

    exit_code = 2


class InterruptionError(UserError):
    """A signal has stopped it, with nothing lost."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def tell(program: str, sentence: str) -> None:
    """Say on standard error why a program ends.

    Where nobody reads it any more, as Ctrl-C ends a `tee` behind the program too, its exit code says it alone.
    """
    with suppress(OSError, ValueError):
        print(f"{program}: {sentence}", file=sys.stderr, flush=True)


def some_names(names: Sequence[str], most: int) -> str:
    """At most so many of the names, for a sentence, and the number of the others: "a, b and 3 more"."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def workdir_option(workdir: Path) -> str:
    """`--workdir` of a command that a sentence shows: as a shell takes it, also where a name has spaces in it."""
    return f"--workdir {shlex.quote(str(workdir))}"


def is_full_memory(error: Exception) -> bool:
    """Whether XLA says that a device has too little memory left."""
    return "RESOURCE_EXHAUSTED" in str(error)


def told_of_full_memory(error: Exception) -> str:
    """The beginning of a sentence on an error of full memory, which goes on with what else can be done."""
    return f"the device has too little memory ({first_words(error)}): end what else is at work on it"


def first_words(error: Exception) -> str:
    """The beginning of another library's message, on one line, to be quoted in a `UserError`."""
    return " ".join(str(error).split())[:200]
