"""What the garbage collector does not look through."""

import gc
import weakref

from dms_jax.training.garbage import collected_and_set_aside, postponed


class Cycle:
    """Garbage that only the collector can find."""

    def __init__(self) -> None:
        self.itself = self


def test_what_there_is_is_set_aside_and_what_comes_later_is_not() -> None:
    before = weakref.ref(Cycle())
    with collected_and_set_aside():
        assert before() is None
        assert gc.get_freeze_count() > 1000
        within = weakref.ref(Cycle())
        gc.collect()
        assert within() is None
    assert gc.get_freeze_count() == 0


def test_an_error_does_not_leave_it_set_aside() -> None:
    try:
        with collected_and_set_aside():
            raise KeyError
    except KeyError:
        pass
    assert gc.get_freeze_count() == 0


def test_what_somebody_else_has_set_aside_stays_so() -> None:
    with collected_and_set_aside():
        with collected_and_set_aside():
            pass
        assert gc.get_freeze_count() > 1000
    assert gc.get_freeze_count() == 0


def test_nothing_is_collected_while_that_is_postponed() -> None:
    with postponed():
        assert not gc.isenabled()
        with postponed():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
