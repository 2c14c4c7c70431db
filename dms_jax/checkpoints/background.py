"""What Orbax says of its own accord when it cannot write or read, and what it leaves behind."""

import asyncio
import gc
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import clear_frames, walk_tb
from types import CoroutineType
from typing import Any

from absl import logging as absl_logging

_ORBAX = "orbax"
_TENSORSTORE = "OCDBT database"
_MOMENT = 0.05
_MOST_SECONDS = 10.0
_MOST_SECONDS_OF_TENSORSTORE = 1.0


@contextmanager
def told_once() -> Iterator[None]:
    """Leave it to the caller to say that something could not be written.

    `Checkpoints` raises what failed in the background. Orbax logs the same in each of its threads, with the traceback;
    asyncio logs it of each task that nobody asked any more; and TensorStore, whose writes end after the event loop that
    waited for them, says so for each array. On a full disk the one sentence that helps would stand among hundreds of
    lines.
    """
    with _silence():
        try:
            yield
        finally:
            _wait_for_orbax()


@contextmanager
def leaving_no_tasks() -> Iterator[None]:
    """Read with Orbax: what fails within is raised, and nothing of it is left to be printed later.

    The first array that cannot be read is raised at once. The tasks that read the others are left where they wait, in
    an event loop that is closed, until the garbage collector finds them, maybe minutes later; each then has a traceback
    printed that nobody can place.
    """
    try:
        yield
    except Exception as error:
        with _silence():
            # The traceback's variables keep the tasks alive.
            failure: BaseException | None = error
            while failure is not None:
                clear_frames(failure.__traceback__)
                failure = failure.__cause__ or failure.__context__
            # TensorStore does too, until it has read what they wait for.
            until = time.monotonic() + _MOST_SECONDS_OF_TENSORSTORE
            gc.collect()
            while _are_suspended() and time.monotonic() < until:
                time.sleep(_MOMENT)
                gc.collect()
        raise


@contextmanager
def _silence() -> Iterator[None]:
    """Neither logs nor prints what Orbax's threads, tasks and coroutines fail with."""
    loggers = (absl_logging.get_absl_logger(), logging.getLogger("asyncio"))
    previous = sys.unraisablehook

    def is_news(record: logging.LogRecord) -> bool:
        return not (record.exc_info and record.levelno >= logging.ERROR and _is_of_orbax(record))

    def hook(unraisable: Any) -> None:
        error = unraisable.exc_value
        is_closed = isinstance(error, RuntimeError) and str(error) == "Event loop is closed"
        if not is_closed and not _is_orbax(unraisable.object):
            previous(unraisable)

    for logger in loggers:
        logger.addFilter(is_news)
    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = previous
        for logger in loggers:
            logger.removeFilter(is_news)


def _wait_for_orbax() -> None:
    """Wait until Orbax's threads have ended, and ask its tasks what has failed; asyncio logs of those nobody asked.

    What fails first is raised at once, while other threads still write, and fail, and log it. A task that waits for
    TensorStore, which has outlived its event loop, keeps the failed ones beside it alive.
    """
    until = time.monotonic() + _MOST_SECONDS
    for thread in threading.enumerate():
        if type(thread).__module__.partition(".")[0] == _ORBAX:
            # Not its own `join`, which raises what has failed.
            threading.Thread.join(thread, max(until - time.monotonic(), 0))
    # TensorStore has a moment more: of some tasks it never says that they are done.
    until = time.monotonic() + _MOST_SECONDS_OF_TENSORSTORE
    while not _ask_tasks() and time.monotonic() < until:
        time.sleep(_MOMENT)


def _ask_tasks() -> bool:
    """Ask Orbax's tasks, so that they are not logged when they are collected; returns whether all have ended."""
    if not _futures():
        # Nothing that asyncio could log of, as at the end of most runs, which a collection would make longer.
        return True
    gc.collect()
    tasks = [each for each in _futures() if isinstance(each, asyncio.Task) and _is_orbax(each.get_coro())]
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()
    return all(task.done() for task in tasks)


def _futures() -> list[asyncio.Future[Any]]:
    """The futures of asyncio, its tasks among them, that there are, garbage or not."""
    kinds = (asyncio.Future, asyncio.Task)
    # By their type alone: some libraries' objects are imported when they are asked for their class.
    return [each for each in gc.get_objects() if type(each) in kinds]


def _are_suspended() -> bool:
    """Whether there are coroutines of Orbax that have neither returned nor raised."""
    return any(type(each) is CoroutineType and each.cr_frame and _is_orbax(each) for each in gc.get_objects())


def _is_orbax(coroutine: object) -> bool:
    """Whether it is a coroutine of Orbax's."""
    code = getattr(coroutine, "cr_code", None)
    return code is not None and _ORBAX in code.co_filename


def _is_of_orbax(record: logging.LogRecord) -> bool:
    """Whether Orbax logs it, or asyncio for a task of Orbax's, or for what such a task asked TensorStore to do."""
    if _ORBAX in record.pathname:
        return True
    if record.name != "asyncio" or not record.exc_info:
        return False
    _, error, trace = record.exc_info
    # TensorStore's own futures have no frames of Python.
    return _TENSORSTORE in str(error) or any(_ORBAX in frame.f_code.co_filename for frame, _ in walk_tb(trace))
