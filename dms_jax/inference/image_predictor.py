"""Images of any kind and size to predictions: the one way from an image to what a network says of it."""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dms_jax.data.framing import Framing, crops_of, cut
from dms_jax.data.image_files import as_rgb, read_image, upright
from dms_jax.errors import UserError
from dms_jax.inference.batching import BatchPredictor
from dms_jax.inference.interpretation import NO_NUMBERS, Interpretation, Prediction, interpret
from dms_jax.inference.streaming import stream
from dms_jax.inference.underway import Answered, Loaded
from dms_jax.runtime.cores import usable_cores

# An image that Pillow has opened reads its pixels and EXIF data when they are first asked for, which two threads may
# do at once. There are several locks so that different images are read side by side.
_READING = tuple(Lock() for _ in range(61))

ImageLike: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[np.uint8]


class ImagePredictor:
    """A network ready to predict images, whatever their sizes and however many.

    Args:
      predict: the network, of whose outputs there is only the last.
      reading: how its answers are read.

    Attributes:
      batches: the network.
      reading: how its answers are read.
    """

    def __init__(self, predict: BatchPredictor, reading: Interpretation) -> None:
        self.batches = predict
        self.reading = reading

    @overload
    def __call__(self, images: str | os.PathLike[str] | Image.Image) -> Prediction: ...

    @overload
    def __call__(self, images: list[Any] | tuple[Any, ...]) -> list[Prediction]: ...

    @overload
    def __call__(self, images: NDArray[np.uint8]) -> Any: ...

    def __call__(self, images: ImageLike | Sequence[ImageLike]) -> Prediction | list[Prediction]:
        """Predict an image, or several.

        Args:
          images: a path, a Pillow image or an array uint8 [H, W], [H, W, 1] or [H, W, 3] (RGB), of any size; or a
            sequence of such, of different sizes if they are; or an array uint8 [B, H, W, 3]. What Pillow reads is
            converted as it was for training (see `dms_jax.data.image_files.read_image`): turned as its EXIF data say,
            and its values read as its file says, also where it has been opened already.

        Returns:
          A `Prediction`, or a list of as many as there are images.

        Raises:
          UserError: a file cannot be read, or the network's answer to it has no numbers (NaN); the message names it.
          ValueError: an array has another type or shape.
        """
        if isinstance(images, (str, os.PathLike, Image.Image)):
            return next(self.stream([images]))
        if isinstance(images, np.ndarray) and images.ndim in (2, 3):
            return next(self.stream([images]))
        return list(self.stream(images))

    def stream(self, images: Iterable[ImageLike]) -> Iterator[Prediction]:
        """Predict any number of images, one after the other, at the memory of a few batches.

        Raises:
          UserError, ValueError: as for a call, when it is the image's turn.
        """
        load = partial(load_image_like, framing=self.reading.framing, value_range=self.reading.value_range)
        with ThreadPoolExecutor(min(usable_cores(), 8)) as pool:
            finish = partial(finish_prediction, reading=self.reading)
            yield from stream(images, load, self.batches, finish, pool, ahead=2 * self.batches.rows)


def load_image_like(
    image: ImageLike, *, framing: Framing, value_range: tuple[float, float] | None
) -> Loaded[ImageLike]:
    """Read an image, see `ImagePredictor`, and cut its crops."""
    pixels = _pixels(image, value_range)
    crops = crops_of(pixels.shape[:2], framing)
    return Loaded(image, pixels.shape[:2], crops, np.stack([cut(pixels, crop, framing) for crop in crops]))


def finish_prediction(image: Answered[Any], *, reading: Interpretation) -> Prediction:
    """Read the network's answers.

    Raises:
      UserError: they are no numbers.
    """
    if not image.finite.all():
        name = image.item if isinstance(image.item, (str, os.PathLike)) else "the image"
        raise UserError(f"{name} cannot be predicted: {NO_NUMBERS}.")
    return interpret(image.maps, image.probabilities, image.crops, image.size, reading)


def _pixels(image: ImageLike, value_range: tuple[float, float] | None) -> NDArray[np.uint8]:
    """As uint8 [H, W, 3]."""
    if isinstance(image, (str, os.PathLike)):
        return np.asarray(read_image(Path(image), value_range))
    if isinstance(image, Image.Image):
        with _READING[id(image) % len(_READING)]:
            turned = upright(image, "the image")
        return np.asarray(as_rgb(turned, "the image", value_range))
    if not isinstance(image, np.ndarray):
        raise ValueError(f"an image must be a path, a Pillow image or an array, not {type(image).__name__}")
    if image.dtype != np.uint8:
        raise ValueError(f"an array must be uint8, 0..255, not {image.dtype}: scale it, or give a Pillow image")
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3) or 0 in image.shape:
        raise ValueError(f"an array must be [H, W], [H, W, 1] or [H, W, 3], not {list(image.shape)}")
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
