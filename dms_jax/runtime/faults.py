"""Where a process was when it crashed."""

import contextlib
import faulthandler
import io


def show_where_it_crashes() -> None:
    """Let Python print the traceback of each of its threads, if a fault outside of Python ends the process.

    Without it a segmentation fault, in a driver or a library, leaves no word of where it was; threads that are not
    Python's own, as XLA's, are not among them. For entry points: where standard error is none of the system's files,
    and where somebody has asked for it already, nothing is changed.
    """
    if not faulthandler.is_enabled():
        with contextlib.suppress(io.UnsupportedOperation, AttributeError, RuntimeError, ValueError):
            faulthandler.enable()
