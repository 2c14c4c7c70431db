"""What `dms-jax compare` asks of a method."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dms_jax.runtime.cores import usable_cores

# From images, uint8 [H, W, 3], 0..255, of any sizes, to their saliency maps, uint8 [H, W], 0..255, in the same order.
MakeMaps = Callable[[Iterable[NDArray[np.uint8]]], Iterator[NDArray[np.uint8]]]


@dataclass(frozen=True)
class Method:
    """A method of the comparison.

    Attributes:
      name: as Table 4 has it; also the name of the folder of its maps.
      make_maps: see `MakeMaps`; images need be read no sooner than they are needed.
      reference: authors, year and where it was published.
      note: how it is set where that is not its paper's way, or not said there; empty where there is nothing to say.
      mtdd_note: what else was measured on the defective test images of the paper's split of MTDD, to follow the note.
      check: raises a `UserError` where what the method needs is not installed.
    """

    name: str
    make_maps: MakeMaps
    reference: str
    note: str = ""
    mtdd_note: str = ""
    check: Callable[[], object] = lambda: None


def image_by_image(saliency: Callable[[NDArray[np.uint8]], NDArray[np.float32]]) -> MakeMaps:
    """Apply a function of one image on as many threads as there are cores.

    Args:
      saliency: from an image, uint8 [H, W, 3], to its map, float32 [H, W], 0..1.
    """

    def make_maps(images: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
        workers = usable_cores()
        with ThreadPoolExecutor(workers) as pool:
            underway: deque[Future[NDArray[np.uint8]]] = deque()
            for image in images:
                underway.append(pool.submit(lambda image: to_levels(saliency(image)), image))
                # Maps that nobody has asked for yet must not pile up.
                if len(underway) > 2 * workers:
                    yield underway.popleft().result()
            while underway:
                yield underway.popleft().result()

    return make_maps


def to_levels(saliency: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Round a map, 0..1, to uint8, 0..255."""
    return np.rint(saliency * 255).astype(np.uint8)
