"""The console script `dms-jax`: what is done around training, a sub-command each."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
import os
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn, TextIO

from PIL import Image

from dms_jax.commands import (
    benchmark,
    compare,
    evaluate,
    export,
    export_weights,
    import_weights,
    predict,
    prepare,
    report,
    train,
)
from dms_jax.errors import UserError, is_full_memory, tell, told_of_full_memory
from dms_jax.runtime.faults import show_where_it_crashes
from dms_jax.runtime.signals import Interruptions
from dms_jax.tables import printable
from dms_jax.version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command.

    Args:
      argv: the arguments, without the program's name; by default this process's.

    Returns:
      The exit code: 0 done; 1 a failure that the user can fix; 2 wrong usage; 128 and its number where a signal ended
      it, such as 130 for Ctrl-C. Each but the first is explained on standard error, in a sentence for each thing that
      is wrong.
    """
    show_where_it_crashes()
    parser = argparse.ArgumentParser(
        prog="dms-jax", description="Surface inspection with SDMS and BDMS: all that is done around training."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    parser.add_argument("--version", action="version", version=f"dms-jax {__version__}")
    for command in (
        *(prepare, train, evaluate, compare, report),
        *(predict, export, benchmark),
        *(import_weights, export_weights),
    ):
        command.add_to(commands)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # The name of a file or class may have characters that the terminal cannot show.
        sys.stdout.reconfigure(errors="backslashreplace")
    # Line-scan cameras make images that are as large; Pillow still refuses those of twice the size.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["train"]:
        return train.launch(argv=["dms-jax train", *argv[1:]], program="dms-jax train")
    try:
        if argv and argv[0] not in commands.choices:
            for meant in difflib.get_close_matches(argv[0], list(commands.choices), n=1):
                parser.error(f"there is no command {argv[0]}: did you mean {meant}?")
        arguments, unknown = parser.parse_known_args(argv)
        if unknown:
            commands.choices.get(argv[0], parser).error(f"unrecognized arguments: {' '.join(unknown)}")
    except SystemExit as stop:  # argparse has said why, or printed the help
        return int(stop.code or 0)
    interruptions = Interruptions("dms-jax", "what is done is kept")
    try:
        with contextlib.redirect_stdout(_Shown(sys.stdout)), interruptions:
            arguments.run(arguments)
        print(end="", flush=True)
    except UserError as error:
        for sentence in printable(str(error)).splitlines():
            tell("dms-jax", sentence)
        return error.exit_code
    except BrokenPipeError:
        _discard_output()
        tell("dms-jax", "what reads the output stopped before its end: let it read all, or use a file.")
        return 1
    except OSError as error:
        _discard_output()
        tell("dms-jax", f"{printable(str(error))}: make room, or name another file or folder.")
        return 1
    except KeyboardInterrupt:
        tell("dms-jax", "interrupted.")
        return interruptions.exit_code
    except Exception as error:
        if not is_full_memory(error):
            raise
        tell("dms-jax", f"{printable(told_of_full_memory(error))}, or compute on the CPU with JAX_PLATFORMS=cpu.")
        return 1
    return 0


class _Shown(io.TextIOBase):
    """Standard output, but that names of files and classes cannot give orders to the terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text, with control characters written out."""
        self._stream.write(printable(text))
        return len(text)

    def flush(self) -> None:
        """As the stream does, unless that is closed: Python flushes what is kept longer when it closes it."""
        if not self._stream.closed:
            self._stream.flush()

    def fileno(self) -> int:
        """That of the stream."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return self._stream.isatty()


class _Parser(argparse.ArgumentParser):
    """Names the option that was probably meant, where one is misspelt."""

    _given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does it."""
        self._given = args or ()
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """As argparse refuses what it does not know, or lacks.

        Raises:
          SystemExit: always, with 2.
        """
        options = re.findall(r"--[a-z][a-z-]+", self.format_help())
        written = [text.partition("=")[0] for text in self._given if text[:2] == "--"]
        # What begins as one option alone does is that option.
        unknown = [text for text in written if not any(option.startswith(text) for option in options)]
        close = {text: difflib.get_close_matches(text, options, n=1) for text in unknown}
        meant = "".join(f"; for {text}, did you mean {found[0]}?" for text, found in close.items() if found)
        super().error(message + meant)


def _discard_output() -> None:
    """Give up standard output if it cannot be written to: at its end the interpreter would try again, and complain."""
    try:
        print(end="", flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
