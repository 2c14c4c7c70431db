"""Python's garbage collector, kept out of the way of steps that are milliseconds long."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def gc_disabled() -> Iterator[None]:
    """Collect nothing while the context lasts.

    Of the millions of objects that tracing makes, all but a few are still in use: looking through them again and again
    takes a fifth of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def gc_frozen() -> Iterator[None]:
    """Collect what is garbage now, and do not look through the rest again while the context lasts.

    Tracing a network leaves millions of objects. Every few hundred steps, a full collection would look through them
    all: half a second, in which no step is started. What is made later is collected as ever. Within such a context, or
    where something is frozen already, it stays so at the end.

    What compiling has freed by then is returned to the system, too.
    """
    is_outermost = not gc.get_freeze_count()
    gc.collect()
    gc.freeze()
    return_freed_memory()
    try:
        yield
    finally:
        if is_outermost:
            gc.unfreeze()


def return_freed_memory() -> None:
    """Return to the operating system what the process has freed; where the C library is not glibc, nothing happens.

    Compiling takes and frees hundreds of megabytes in small pieces. glibc keeps them for the process until the last
    one at the end of its heap is free, which may be thousands of steps later or never.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
