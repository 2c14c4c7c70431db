"""What Orbax says of its own accord when its background threads cannot write."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from absl import logging as absl_logging


@contextmanager
def told_once() -> Iterator[None]:
    """Leave it to the caller to say that something could not be written.

    `Checkpoints` raises what failed in the background. Orbax logs the same in each of its threads, with the traceback,
    and TensorStore, whose writes end after the event loop that waited for them, one more for each array: on a full disk
    the one sentence that helps would stand among hundreds of lines.
    """
    logger = absl_logging.get_absl_logger()
    previous = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        error = unraisable.exc_value
        if not (isinstance(error, RuntimeError) and str(error) == "Event loop is closed"):
            previous(unraisable)

    logger.addFilter(_is_news)
    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = previous
        logger.removeFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether nobody else says it: not what Orbax logs of an exception that it then raises."""
    return not (record.exc_info and record.levelno >= logging.ERROR and "orbax" in record.pathname)
