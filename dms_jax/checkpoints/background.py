"""What Orbax says of its own accord when its background threads cannot write."""

import gc
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any

from absl import logging as absl_logging

_ORBAX = "orbax"
_TENSORSTORE = "OCDBT database"


@contextmanager
def told_once() -> Iterator[None]:
    """Leave it to the caller to say that something could not be written.

    `Checkpoints` raises what failed in the background. Orbax logs the same in each of its threads, with the traceback;
    asyncio logs it of each task that nobody asked any more; and TensorStore, whose writes end after the event loop that
    waited for them, says so for each array. On a full disk the one sentence that helps would stand among hundreds of
    lines.
    """
    loggers = (absl_logging.get_absl_logger(), logging.getLogger("asyncio"))
    previous = sys.unraisablehook

    def is_news(record: logging.LogRecord) -> bool:
        return not (record.exc_info and record.levelno >= logging.ERROR and _is_of_orbax(record))

    def hook(unraisable: Any) -> None:
        error = unraisable.exc_value
        if not (isinstance(error, RuntimeError) and str(error) == "Event loop is closed"):
            previous(unraisable)

    for logger in loggers:
        logger.addFilter(is_news)
    sys.unraisablehook = hook
    try:
        yield
    finally:
        # What failed lies about in tasks, and would be logged when these are collected.
        gc.collect()
        sys.unraisablehook = previous
        for logger in loggers:
            logger.removeFilter(is_news)


def _is_of_orbax(record: logging.LogRecord) -> bool:
    """Whether Orbax logs it, or asyncio for a task of Orbax's, or for what such a task asked TensorStore to do."""
    if _ORBAX in record.pathname:
        return True
    if record.name != "asyncio" or not record.exc_info:
        return False
    _, error, trace = record.exc_info
    # TensorStore's own futures have no frames of Python.
    return _TENSORSTORE in str(error) or any(_ORBAX in frame.f_code.co_filename for frame, _ in walk_tb(trace))
