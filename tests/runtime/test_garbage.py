"""What the garbage collector does not look through."""

import gc
import weakref

from dms_jax.runtime.garbage import gc_disabled, gc_frozen


class Cycle:
    """Garbage that only the collector can find."""

    def __init__(self) -> None:
        self.itself = self


def test_what_there_is_is_set_aside_and_what_comes_later_is_not() -> None:
    before = weakref.ref(Cycle())
    with gc_frozen():
        assert before() is None
        assert gc.get_freeze_count() > 1000
        within = weakref.ref(Cycle())
        gc.collect()
        assert within() is None
    assert gc.get_freeze_count() == 0


def test_an_error_does_not_leave_it_set_aside() -> None:
    try:
        with gc_frozen():
            raise KeyError
    except KeyError:
        pass
    assert gc.get_freeze_count() == 0


def test_what_somebody_else_has_set_aside_stays_so() -> None:
    with gc_frozen():
        with gc_frozen():
            pass
        assert gc.get_freeze_count() > 1000
    assert gc.get_freeze_count() == 0


def test_nothing_is_collected_while_that_is_gc_disabled() -> None:
    with gc_disabled():
        assert not gc.isenabled()
        with gc_disabled():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
