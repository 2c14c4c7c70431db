"""One file at a time: read and cut before the network, written after it. Runs in processes without JAX."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dms_jax.data.framing import crops_of, cut
from dms_jax.data.image_files import read_image
from dms_jax.data.png import encode_png
from dms_jax.data.prediction_folders import MAPS, OVERLAYS
from dms_jax.errors import UserError, first_words
from dms_jax.inference.folder.listing import ImageFile
from dms_jax.inference.folder.overlay import draw_overlay
from dms_jax.inference.folder.records import encode_record
from dms_jax.inference.interpretation import NO_NUMBERS, Interpretation, Prediction, interpret
from dms_jax.inference.underway import Answered, Loaded
from dms_jax.whole_files import write_whole

MAP_SUFFIX, OVERLAY_SUFFIX = ".png", ".jpg"
_JPEG_QUALITY = 90


@dataclass(frozen=True)
class Finished:
    """What became of a file.

    Attributes:
      line: its record, see `dms_jax.inference.folder.records`.
      class_name: the most probable class, or None.
      fires: it has a defective pixel.
      error: why it could not be predicted, or None.
    """

    line: bytes
    class_name: str | None = None
    fires: bool = False
    error: str | None = None


@dataclass(frozen=True)
class FileStep:
    """What is done with each file.

    Attributes:
      reading: how the network's answers are read.
      output: the folder of predictions.
      overlays: write images with their predictions drawn on them, too.
    """

    reading: Interpretation
    output: Path
    overlays: bool

    def load(self, file: ImageFile) -> Loaded[ImageFile]:
        """Read a file, and cut its crops; one that cannot be read has its `error`."""
        try:
            pixels = np.asarray(read_image(file.path, self.reading.value_range))
            size = pixels.shape[:2]
            crops = crops_of(size, self.reading.framing)
            inputs = np.stack([cut(pixels, crop, self.reading.framing) for crop in crops])
        except Exception as error:
            return Loaded(file, error=_reason(file, error))
        return Loaded(file, size, crops, inputs)

    def finish(self, image: Answered[ImageFile]) -> Finished:
        """Write what the network says of a file.

        Raises:
          OSError: it cannot be written.
        """
        file = image.item
        if image.error is not None:
            return _failed(file, image.error)
        if not image.finite.all():
            return _failed(file, f"{file.path} cannot be predicted: {NO_NUMBERS}.")
        prediction = interpret(image.maps, image.probabilities, image.crops, image.size, self.reading)
        if self.overlays:
            try:
                picture = read_image(file.path, self.reading.value_range)
            except Exception as error:
                return _failed(file, _reason(file, error))
            if picture.size[::-1] != image.size:
                return _failed(file, f"{file.path} has changed while it was predicted: predict it again.")
            drawn = io.BytesIO()
            draw_overlay(picture, prediction).save(drawn, "JPEG", quality=_JPEG_QUALITY)
            _write(self.output / OVERLAYS / f"{file.name}{OVERLAY_SUFFIX}", drawn.getvalue())
        data = encode_png(Image.fromarray(prediction.map))
        _write(self.output / MAPS / f"{file.name}{MAP_SUFFIX}", data)
        line = encode_record(record_of(file, prediction))
        return Finished(line, prediction.class_name, bool(prediction.regions))


def record_of(file: ImageFile, prediction: Prediction) -> dict[str, Any]:
    """What is kept of a prediction, ready for JSON; numbers with six digits."""
    name = prediction.class_name
    probabilities = {key: round(value, 6) for key, value in prediction.probabilities.items()}
    return {
        "file": file.path,
        "name": file.name,
        "defective": None if prediction.mask is None else bool(prediction.regions),
        "class": name,
        "probability": None if name is None else probabilities[name],
        "probabilities": probabilities,
        "score": round(prediction.score, 6),
        "area": None if prediction.area is None else round(prediction.area, 6),
        "boxes": None if prediction.mask is None else [[*region.box, region.area] for region in prediction.regions],
    }


def _reason(file: ImageFile, error: Exception) -> str:
    """Why a file cannot be predicted: nothing that it may hold ends the prediction of the others.

    Be it that memory is too small for it.
    """
    if isinstance(error, UserError):
        return str(error)
    return f"{file.path} cannot be read as an image ({first_words(error) or type(error).__name__}): replace it."


def _failed(file: ImageFile, error: str) -> Finished:
    return Finished(encode_record({"file": file.path, "name": file.name, "error": error}), error=error)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: file.write(data))
