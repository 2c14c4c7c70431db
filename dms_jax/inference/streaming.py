"""Many images through a network: read, predicted and finished side by side, in order, at flat memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dms_jax.inference.underway import Answered, Loaded
from dms_jax.runtime.cores import usable_cores

if TYPE_CHECKING:
    # Processes that only read and write need no JAX.
    from dms_jax.inference.batching import BatchPredictor

Item = TypeVar("Item")
Result = TypeVar("Result")


class Task(Protocol):
    """What an executor is at work on."""

    def result(self) -> Any:
        """What came of it, waited for; raises what was raised there."""

    def cancel(self) -> bool:
        """Not begin with it, if that is still possible."""


class Pool(Protocol):
    """Threads or processes."""

    def submit(self, function: Callable[[Any], Any], argument: Any, /) -> Task:
        """Call a function there."""


# A batch: images with the range of their crops that is in it.
_Batch = list[tuple[Loaded[Any], int, int]]


def stream(
    items: Iterable[Item],
    load: Callable[[Item], Loaded[Item]],
    predict: BatchPredictor,
    finish: Callable[[Answered[Item]], Result],
    pool: Pool,
    *,
    chunk: int = 1,
    ahead: int = 8,
) -> Iterator[Result]:
    """What `finish` makes of each item, in their order.

    No more images are held at a time than a few batches have, however many there are; fewer where they have many crops.

    Args:
      items: names of images, or images.
      load: reads one and cuts its crops. What it and `finish` raise is raised here.
      predict: the network, of whose outputs there is only the last.
      finish: is given each image with its answers.
      pool: where images are read and finished; with processes, `load`, `finish` and all that they are given and
        return are sent to and fro.
      chunk: how many images of one crop are sent at a time.
      ahead: how many chunks of these are being read or finished at a time.
    """
    pace = _Pace(chunk, ahead)
    loading = _ahead(pool, partial(_each, load), _chunks(items, pace.chunk), pace.ahead)
    loaded = (pace.noted(one) for part in loading for one in part)
    answered = _answered(predict, _batches(loaded, predict.rows))
    finishing = _ahead(pool, partial(_each, finish), _chunks(answered, pace.chunk), pace.ahead)
    # Else what was raised would keep them, and a thread, for as long as it is kept itself.
    with closing(loading), closing(answered), closing(finishing):
        for part in finishing:
            yield from part


class _Pace:
    """How many images are sent, and how many chunks are under way: as many crops as if each image had one.

    But for one image for each core, which is at work on it. Until one is read, they may be large.
    """

    def __init__(self, chunk: int, ahead: int) -> None:
        self._chunk, self._ahead = chunk, ahead
        self._least = min(usable_cores() + 1, ahead)
        self._images = self._crops = 0

    def noted(self, image: Loaded[Item]) -> Loaded[Item]:
        self._images += 1
        self._crops += max(image.count, 1)
        return image

    def chunk(self) -> int:
        return max(self._chunk * self._images // self._crops, 1) if self._images else 1

    def ahead(self) -> int:
        if not self._images:
            return self._least
        images = self._chunk * self._ahead * self._images // self._crops
        return max(images // self.chunk(), self._least)


def _chunks(items: Iterable[Item], size: Callable[[], int]) -> Iterator[list[Item]]:
    remaining = iter(items)
    while chunk := list(islice(remaining, size())):
        yield chunk


def _each(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    return [function(item) for item in items]


def _ahead(
    pool: Pool, function: Callable[[Any], Result], arguments: Iterable[Any], count: Callable[[], int]
) -> Generator[Result, None, None]:
    """`map`, with so many calls under way at a time."""
    waiting: deque[Task] = deque()
    try:
        for argument in arguments:
            waiting.append(pool.submit(function, argument))
            while len(waiting) >= count():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _batches(images: Iterable[Loaded[Any]], rows: int) -> Iterator[_Batch]:
    """The images' crops, so many in a batch but for the last; an image that has none comes along."""
    batch: _Batch = []
    left = rows
    for image in images:
        start = 0
        while True:
            stop = min(start + left, image.count)
            batch.append((image, start, stop))
            left -= stop - start
            start = stop
            if not left:
                yield batch
                batch, left = [], rows
            if start == image.count:
                break
    if batch:
        yield batch


def _answered(predict: BatchPredictor, batches: Iterable[_Batch]) -> Generator[Answered[Any], None, None]:
    with ThreadPoolExecutor(predict.calls_at_once) as device:
        # One more than are computed: it waits on the host.
        for batch, maps, probabilities, finite in _ahead(
            device, partial(_predict, predict), batches, lambda: predict.calls_at_once + 1
        ):
            row = 0
            for image, start, stop in batch:
                rows = slice(row, row + stop - start)
                image.answers.append((maps[rows], probabilities[rows], finite[rows]))
                row = rows.stop
                if stop == image.count:
                    yield _whole(image)


def _predict(
    predict: BatchPredictor, batch: _Batch
) -> tuple[_Batch, NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]:
    parts = [image.inputs[start:stop] for image, start, stop in batch if image.inputs is not None]
    if not parts:
        return batch, np.zeros((0, 0, 0), np.uint8), np.zeros((0, 0), np.float32), np.zeros(0, bool)
    maps, probabilities, finite = predict(np.concatenate(parts) if len(parts) > 1 else parts[0])
    # A network without class heads has no outputs there.
    last = probabilities[:, -1] if probabilities.shape[1] else np.zeros((len(maps), 0), np.float32)
    return batch, maps[:, -1], last, finite


def _whole(image: Loaded[Item]) -> Answered[Item]:
    answers, image.answers, image.inputs = image.answers, [], None
    maps, probabilities, finite = (
        parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in zip(*answers, strict=True)
    )
    return Answered(image.item, image.size, image.crops, maps, probabilities, finite, image.error)
