"""The processes that train together: what they tell each other, and how one notices that another is gone.

JAX's programs need all of them: where one does not come, the others wait for ever, or until JAX ends them with a stack
trace. So a thread of each process writes down every second that it is alive, in the store that the first process keeps
for all, and reads what the others have written.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

import jax

from dms_jax.errors import UserError, first_words, tell
from dms_jax.runtime.stopping import Stop, Store
from dms_jax.tables import printable

BEAT = 1.0
SILENCE = 60.0
# That what has failed in all of them, as a loss that is not finite does, may be noticed in each.
_GRACE = 10.0
# Of the store: as long as a process may be busy with something else, such as preparing a dataset.
_FOR_EVER_MS = 7 * 24 * 3600 * 1000


@dataclass(eq=False)
class Processes:
    """The processes of one run, as one of them sees them.

        with all_processes("train.py") as processes:
            stop = processes.stop(received)

    Attributes:
      index: this one's number.
      count: how many there are.
      store: what they share; None for one alone.
      program: what the user calls it, for messages.
      silence: seconds without a sign of life after which one is taken for dead.
      leave: ends this process at once, with an exit code.
    """

    index: int = 0
    count: int = 1
    store: Store | None = None
    program: str = "train.py"
    silence: float = SILENCE
    leave: Callable[[int], None] = os._exit
    _failure: tuple[int, str] | None = None
    _asked: int = 0
    _stop: Stop | None = None
    _heard: dict[int, tuple[str, float]] = field(default_factory=dict)
    _closing: threading.Event = field(default_factory=threading.Event)
    _beats: int = 0
    _failing_since: float | None = None
    _has_said: bool = False

    def exchange(self, value: str) -> tuple[str, ...]:
        """What each process has, in their order, where each of them calls it; it waits for all."""
        if self.store is None:
            return (value,)
        self._asked += 1
        prefix = f"dms_jax/exchange/{self._asked}/"
        self.store.key_value_set(f"{prefix}{self.index}", value)
        return tuple(self.store.blocking_key_value_get(f"{prefix}{i}", _FOR_EVER_MS) for i in range(self.count))

    def stop(self, received: list[int]) -> Stop:
        """How a run's interruption is agreed on; every process must call it.

        Args:
          received: see `dms_jax.runtime.signals.collect_interruptions`.
        """
        self._asked += 1
        self._stop = Stop(self.index, self.count, received, self.store, f"dms_jax/stop/{self._asked}/")
        return self._stop

    @contextmanager
    def telling_failures(self) -> Iterator[None]:
        """Tell the others what is raised within, so that they do not wait for this process."""
        try:
            yield
        except BaseException as error:
            if self.store is not None and is_lost_peer(error):
                # `watch` finds out which one it is, and ends this process with a better sentence.
                self._closing.wait(self.silence + 3 * BEAT)
            self._tell(error)
            raise

    def say(self, sentence: str) -> None:
        """Tell the user why this process ends."""
        tell(self.program, printable(sentence))
        self._has_said = True

    def _tell(self, error: BaseException) -> None:
        if self.store is None or self._failure is not None:
            return
        code = error.exit_code if isinstance(error, UserError) else 1
        is_said = isinstance(error, (UserError, OSError))
        sentence = str(error) if is_said else f"{type(error).__name__}: {first_words(error)}"  # type: ignore[arg-type]
        self._failure = code, sentence
        try:
            self.store.key_value_set(f"dms_jax/failed/{self.index}", f"{code} {sentence}")
        except RuntimeError:
            # The first process is gone: JAX ends this one.
            return

    def watch(self) -> None:
        """Give signs of life and look for those of others, until `close`."""
        while not self._closing.wait(BEAT):
            try:
                self.beat(time.monotonic())
            except RuntimeError:
                # The store cannot be reached: JAX ends this process soon.
                continue

    def beat(self, now: float) -> None:
        """Give one sign of life, and act on what the others have written."""
        assert self.store is not None
        self._beats += 1
        self.store.key_value_set(f"dms_jax/alive/{self.index}", str(self._beats), allow_overwrite=True)
        entries = dict(self.store.key_value_dir_get("dms_jax/"))
        if self._stop is not None:
            self._stop.watch(entries)
        failed = _by_process(entries, "dms_jax/failed/")
        ended = _by_process(entries, "dms_jax/ended/")
        alive = _by_process(entries, "dms_jax/alive/")
        for other in range(self.count):
            sign = alive.get(other, "")
            if other not in self._heard or self._heard[other][0] != sign:
                self._heard[other] = sign, now
        silent = [p for p, (_, since) in self._heard.items() if p not in ended and now - since > self.silence]
        if silent:
            self._end(
                f"process {silent[0]} of {self.count} has given no sign of life for {self.silence:.0f} s: see what it "
                "said last, and run the same command in all of them to resume from the last checkpoint."
            )
        elif failed:
            self._failing_since = now if self._failing_since is None else self._failing_since
            if len(failed) < self.count and now - self._failing_since > _GRACE:
                first = min(failed)
                self._end(f"process {first} of {self.count} has failed: {failed[first].partition(' ')[2]}")

    def _end(self, sentence: str) -> None:
        """End this process, which cannot go on: without JAX's farewell, which would wait for the others."""
        code, own = self._failure or (1, sentence)
        if not self._has_said:
            self.say(own)
        sys.stdout.flush()
        if self.index == 0:
            # With it goes the store that the others have yet to read.
            time.sleep(_GRACE / 2)
        self.leave(code)

    def close(self) -> None:
        """Wait for the others to come as far, and say goodbye to them."""
        if self.store is None or self._closing.is_set():
            return
        try:
            self.store.key_value_set(f"dms_jax/ended/{self.index}", "")
            for other in range(self.count):
                self.store.blocking_key_value_get(f"dms_jax/ended/{other}", _FOR_EVER_MS)
            self._closing.set()
            jax.distributed.shutdown()
        finally:
            self._closing.set()

    def __enter__(self) -> Self:
        if self.store is not None:
            threading.Thread(target=self.watch, name="processes", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def all_processes(program: str, *, silence: float = SILENCE) -> Processes:
    """All of JAX's processes: more than one after `dms_jax.runtime.cluster.join` alone."""
    # JAX has no public way to the store; Orbax goes this way too.
    from jax._src import distributed

    state = distributed.global_state
    return Processes(jax.process_index(), jax.process_count(), state.client, program, silence)


def is_lost_peer(error: BaseException) -> bool:
    """Whether an error looks like that of a program whose part in another process has ended."""
    # Some ways from XLA to Python make ValueErrors of all errors.
    is_of_program = isinstance(error, (jax.errors.JaxRuntimeError, ValueError))
    return is_of_program and any(library in str(error) for library in ("Gloo", "NCCL", "RCCL", "coordination service"))


def _by_process(entries: Mapping[str, str], prefix: str) -> dict[int, str]:
    return {int(key.removeprefix(prefix)): value for key, value in entries.items() if key.startswith(prefix)}
