"""What is said when the background cannot write, or an array cannot be read."""

import asyncio
import gc
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from absl import logging as absl_logging

from dms_jax.checkpoints import background
from dms_jax.checkpoints.background import leaving_no_tasks, told_once
from dms_jax.runtime.garbage import gc_frozen


@pytest.fixture(autouse=True)
def _without_what_other_tests_left() -> Iterator[None]:
    """Each collection would look through the millions of objects that other tests' networks have left."""
    with gc_frozen():
        yield


def record_of(pathname: str, level: int, with_exception: bool) -> logging.LogRecord:
    error = OSError(28, "No space left on device")
    info = (OSError, error, None) if with_exception else None
    return logging.LogRecord("absl", level, pathname, 1, "failed", None, info)


def test_what_orbax_raises_it_need_not_log_as_well(caplog: pytest.LogCaptureFixture) -> None:
    logger = absl_logging.get_absl_logger()
    raised = record_of("/x/orbax/checkpoint/future.py", logging.ERROR, True)
    others = [
        record_of("/x/orbax/checkpoint/future.py", logging.ERROR, False),
        record_of("/x/orbax/checkpoint/future.py", logging.WARNING, True),
        record_of("/x/grain/options.py", logging.ERROR, True),
    ]
    with told_once():
        assert [bool(logger.filter(record)) for record in (raised, *others)] == [False, True, True, True]
    assert logger.filter(raised)


def test_what_tensorstore_was_asked_to_do_is_not_logged_when_nobody_asked_for_it() -> None:
    logger = logging.getLogger("asyncio")

    def lost(message: str) -> logging.LogRecord:
        error = ValueError(message)
        return logging.LogRecord("asyncio", logging.ERROR, "base_events.py", 1, "lost", None, (ValueError, error, None))

    with told_once():
        records = [lost('Error reading "a/.zarray" in OCDBT database at local file "/x"'), lost("other")]
        assert [bool(logger.filter(record)) for record in records] == [False, True]


def test_other_failures_of_threads_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(sys, "unraisablehook", shown.append)
    ours = sys.unraisablehook
    errors = (RuntimeError("Event loop is closed"), OSError("other"))
    failures = [SimpleNamespace(exc_value=error, object=None) for error in errors]
    with told_once():
        for failure in failures:
            sys.unraisablehook(failure)
    assert shown == failures[1:]
    assert sys.unraisablehook is ours


def test_a_task_of_orbax_that_nobody_asked_is_not_logged_later(caplog: pytest.LogCaptureFixture) -> None:
    orbax, other = {}, {}
    for filename, names in (("/x/orbax/future.py", orbax), ("/x/other.py", other)):
        exec(compile("async def fails():\n    raise ValueError('full')", filename, "exec"), names)

    def left_behind(names: dict[str, Any]) -> None:
        async def ask_nobody() -> None:
            task = asyncio.ensure_future(names["fails"]())
            await asyncio.sleep(0)
            # In a cycle: until the next collection.
            task.cycle = [task]  # type: ignore[attr-defined]

        asyncio.run(ask_nobody())

    with told_once():
        for names in (orbax, other):
            left_behind(names)
        gc.collect()
    assert [record.exc_info[2].tb_frame.f_code.co_filename for record in caplog.records] == ["/x/other.py"]


def test_threads_of_orbax_that_fail_later_are_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    may_fail, logger = threading.Event(), absl_logging.get_absl_logger()

    class Writing(threading.Thread):
        def run(self) -> None:
            may_fail.wait(5)
            logger.handle(record_of("/x/orbax/checkpoint/future.py", logging.ERROR, True))

        def join(self, timeout: float | None = None) -> None:
            raise OSError(28, "as Orbax's own threads do")

    Writing.__module__ = "orbax.checkpoint"
    writing = Writing()
    with told_once():
        writing.start()
        threading.Timer(0.1, may_fail.set).start()
    assert not writing.is_alive()
    assert not caplog.records


def test_a_failed_task_that_another_one_keeps_alive_is_not_logged_later(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where TensorStore still writes when the event loop is closed."""
    monkeypatch.setattr(background, "_MOST_SECONDS_OF_TENSORSTORE", 0.1)
    kept = []
    for filename in ("/x/orbax/future.py", "/x/other.py"):
        names: dict[str, Any] = {}
        exec(compile("async def fails():\n    raise ValueError('full')", filename, "exec"), names)
        exec(compile("async def waits(what):\n    await what", filename, "exec"), names)
        loop = asyncio.new_event_loop()
        failed, waiting = loop.create_task(names["fails"]()), loop.create_task(names["waits"](loop.create_future()))
        loop.run_until_complete(asyncio.wait([failed], timeout=5))
        loop.close()
        # Of a gather whose loop has ended, and which asks none of them: it would be logged as destroyed.
        waiting._log_destroy_pending = False  # type: ignore[attr-defined]
        kept.append((waiting, failed))
        del failed, waiting
    with told_once():
        pass
    kept.clear()
    gc.collect()
    assert [record.exc_info[2].tb_frame.f_code.co_filename for record in caplog.records if record.exc_info] == [
        "/x/other.py"
    ]


def test_a_failed_task_that_is_garbage_already_is_not_logged_later(caplog: pytest.LogCaptureFixture) -> None:
    names: dict[str, Any] = {}
    exec(compile("async def fails():\n    raise ValueError('full')", "/x/orbax/future.py", "exec"), names)

    async def ask_nobody() -> None:
        task = asyncio.ensure_future(names["fails"]())
        await asyncio.sleep(0)
        task.cycle = [task]  # type: ignore[attr-defined]

    gc.disable()
    try:
        with told_once():
            asyncio.run(ask_nobody())
    finally:
        gc.enable()
    gc.collect()
    assert not caplog.records


def test_where_asyncio_has_done_nothing_no_garbage_is_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    collections: list[int] = []
    done = asyncio.new_event_loop()
    future = done.create_future()
    done.close()
    with monkeypatch.context() as patch:
        patch.setattr(gc, "collect", lambda: collections.append(1))
        patch.setattr(gc, "get_objects", lambda: [object(), collections])
        with told_once():
            pass
        assert not collections
        patch.setattr(gc, "get_objects", lambda: [future])
        with told_once():
            pass
        assert collections


# As Orbax reads arrays side by side: whatever ends one is raised as another exception.
READING = """
async def read(first):
    try:
        if first:
            raise OSError("not there")
        await asyncio.get_running_loop().create_future()
    except BaseException as error:
        raise Exception("cannot read") from error

async def read_all():
    readings = [read(first) for first in (False, True, False)]
    await asyncio.gather(*readings)
"""


def test_an_array_that_cannot_be_read_leaves_no_others_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", shown.append)

    def fails(filename: str) -> None:
        names: dict[str, Any] = {"asyncio": asyncio}
        exec(compile(READING, filename, "exec"), names)
        loop = asyncio.new_event_loop()
        with closing(loop), pytest.raises(Exception, match="cannot read") as caught, leaving_no_tasks():
            loop.run_until_complete(names["read_all"]())
        assert isinstance(caught.value.__cause__, OSError)

    fails("/x/orbax/serialization.py")
    gc.collect()
    assert not shown
    assert not caplog.records
    # Of others it is shown.
    fails("/x/other.py")
    gc.collect()
    assert [str(each.exc_value) for each in shown] == ["cannot read"] * 2
