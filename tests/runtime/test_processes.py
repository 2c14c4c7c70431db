"""What processes tell each other, with threads for the processes and a dictionary for the store."""

import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import pytest

from dms_jax.errors import UsageError, UserError
from dms_jax.runtime.processes import Processes
from dms_jax.runtime.stopping import Stop


class Dictionary:
    """What JAX's store does, in one process."""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self.changed = threading.Condition()

    def key_value_set(self, key: str, value: str, allow_overwrite: bool = False) -> None:
        with self.changed:
            assert allow_overwrite or key not in self.entries
            self.entries[key] = value
            self.changed.notify_all()

    def blocking_key_value_get(self, key: str, timeout_in_ms: int) -> str:
        with self.changed:
            assert self.changed.wait_for(lambda: key in self.entries, 10)
            return self.entries[key]

    def key_value_dir_get(self, key: str) -> list[tuple[str, str]]:
        with self.changed:
            return [(name, value) for name, value in self.entries.items() if name.startswith(key)]


@pytest.fixture
def store() -> Dictionary:
    return Dictionary()


def processes_of(count: int, store: Dictionary, left: list[tuple[int, int]]) -> list[Processes]:
    def leaver(index: int):
        return lambda code: left.append((index, code))

    return [Processes(i, count, store, silence=20.0, leave=leaver(i)) for i in range(count)]


class TestExchange:
    def test_everyone_gets_everyones_in_order(self, store: Dictionary) -> None:
        processes = processes_of(3, store, [])
        with ThreadPoolExecutor(3) as pool:
            # What is said the second time is not mistaken for what was said before.
            for question in ("a", "b"):
                calls = [pool.submit(each.exchange, f"{question}{each.index}") for each in processes]
                assert {call.result() for call in calls} == {tuple(f"{question}{index}" for index in range(3))}

    def test_one_alone_asks_nobody(self) -> None:
        assert Processes().exchange("own") == ("own",)
        Processes().close()


class TestStop:
    def test_one_alone_stops_at_once(self) -> None:
        received: list[int] = []
        stop = Processes().stop(received)
        stop.begin(1)
        assert not stop.stops_after(1)
        received.append(2)
        assert stop.stops_after(2)

    @pytest.mark.parametrize("ahead", [0, 1, 3])
    def test_all_stop_after_the_step_that_the_foremost_has_begun(self, ahead: int, store: Dictionary) -> None:
        received: list[int] = []
        back, front = (Stop(i, 2, own, store, "s/") for i, own in enumerate((received, [])))
        for stop, done in ((back, 4), (front, 4 + ahead)):
            stop.begin(1)
            assert not any(stop.stops_after(step) for step in range(1, done + 1))
        received.append(15)
        for _ in range(2):
            for stop in (back, front):
                stop.watch(dict(store.entries))
        last = 5 + ahead
        assert [stop.stops_after(step) for stop in (back,) for step in range(5, last + 1)] == [False] * ahead + [True]
        assert front.stops_after(last)

    def test_nobody_begins_a_step_before_all_have_offered_theirs(self, store: Dictionary) -> None:
        first, second = (Stop(i, 2, [15], store, "s/") for i in range(2))
        first.begin(7)
        first.watch({})
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(first.stops_after, 7)
            # This one has not reached its first step: it has nothing to offer.
            second.watch(dict(store.entries))
            first.watch(dict(store.entries))
            assert not answer.done()
            second.begin(7)
            assert not second.stops_after(7)
            second.watch(dict(store.entries))
            first.watch(dict(store.entries))
            assert not answer.result(10)
        assert first.stops_after(8)
        assert second.stops_after(8)

    def test_a_later_run_of_the_same_processes_is_not_stopped(self, store: Dictionary) -> None:
        one, other = processes_of(2, store, [])
        for received in ([15], []):
            stops = [process.stop(received) for process in (one, other)]
            for stop in stops:
                stop.begin(1)
            for _ in range(2):
                for now, process in enumerate((one, other)):
                    process.beat(now)
            assert [stop.stops_after(1) for stop in stops] == [bool(received)] * 2


class TestWatching:
    def test_a_silent_process_ends_the_others_in_time(
        self, store: Dictionary, capsys: pytest.CaptureFixture[str]
    ) -> None:
        left: list[tuple[int, int]] = []
        _, one, gone = processes_of(3, store, left)
        other = Processes(0, 3, store, silence=20.0, leave=lambda code: None)
        for now in range(5):
            for process in (one, other, gone):
                process.beat(float(now))
        for now in range(5, 26):
            other.beat(now)
            one.beat(now)
        assert left == []
        one.beat(26.0)
        assert left == [(1, 1)]
        assert "train.py: process 2 of 3 has given no sign of life for 20 s: " in capsys.readouterr().err

    def test_a_failure_is_told_to_those_who_have_not_failed(
        self, store: Dictionary, capsys: pytest.CaptureFixture[str]
    ) -> None:
        left: list[tuple[int, int]] = []
        _, one, failing = processes_of(3, store, left)
        other = Processes(0, 3, store, leave=lambda code: None)
        with pytest.raises(UsageError), failing.telling_failures(), failing.telling_failures():
            raise UsageError("config.seed is wrong.")
        for now in range(11):
            for process in (other, one, failing):
                process.beat(float(now))
        assert left == []
        one.beat(11.0)
        assert left == [(1, 1)]
        assert capsys.readouterr().err == "train.py: process 2 of 3 has failed: config.seed is wrong.\n"
        failing.beat(11.0)
        assert left[1:] == [(2, 2)]
        assert capsys.readouterr().err == "train.py: config.seed is wrong.\n"

    def test_what_all_of_them_fail_with_is_each_ones_own(
        self, store: Dictionary, capsys: pytest.CaptureFixture[str]
    ) -> None:
        left: list[tuple[int, int]] = []
        both = processes_of(2, store, left)
        for process in both:
            with pytest.raises(UserError), process.telling_failures():
                raise UserError("the loss is nan.")
        for now in range(19):
            for process in both:
                process.beat(float(now))
        with ThreadPoolExecutor(2) as pool:
            assert not any(closed.result(10) for closed in [pool.submit(process.close) for process in both])
        assert left == []
        assert capsys.readouterr().err == ""

    def test_an_error_of_a_program_is_looked_into_first(self, store: Dictionary) -> None:
        """It is mostly that another process is gone: the watching thread ends this one before it is told."""
        one = Processes(1, 2, store, silence=-3.0)
        with pytest.raises(jax.errors.JaxRuntimeError), one.telling_failures():
            raise jax.errors.JaxRuntimeError("Gloo all-reduce failed")
        assert store.entries == {"dms_jax/failed/1": "1 JaxRuntimeError: Gloo all-reduce failed"}
