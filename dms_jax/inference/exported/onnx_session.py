"""An ONNX file, run by ONNX Runtime."""

from pathlib import Path

import numpy as np
import onnxruntime

from dms_jax.errors import UserError, first_words
from dms_jax.inference.exported.forms import check_onnx_file
from dms_jax.inference.exported.metadata import ExportMetadata


class OnnxPredictor:
    """An ONNX file of `dms-jax export`, ready to predict crops on the CPU.

    Attributes:
      path: of the file.
      metadata: what the file says of itself.

    Args:
      path: of the file, or the bytes of one.
      rows: how many crops are predicted at once.
      threads: to compute with; None for as many as there are cores.

    Raises:
      UserError: the file cannot be read, or is another one; also later, where it cannot be run.
    """

    def __init__(self, path: Path | bytes, *, rows: int = 16, threads: int | None = None) -> None:
        name = "the model" if isinstance(path, bytes) else path
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3  # errors alone
        if isinstance(path, Path):
            check_onnx_file(path)
        try:
            given = path if isinstance(path, bytes) else str(path)
            self._session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's own failures come in many kinds
            raise UserError(
                f"{name} is no ONNX file that this version of onnxruntime runs, or is damaged ({first_words(error)}): "
                "export it again."
            ) from error
        try:
            self.metadata = ExportMetadata.from_texts(self._session.get_modelmeta().custom_metadata_map)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{name} does not say what it predicts: name an ONNX file of dms-jax export.") from error
        self.path = path
        self._rows = rows
        self._has_classes = len(self._session.get_outputs()) > 1

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predict images uint8 [M, H, W, 3].

        Returns:
          Saliency float32 [M, N, H, W], 0..1, and class probabilities, float32 [M, N, num_classes] ([M, 0, num_classes]
          without class heads).
        """
        predicted = []
        for start in range(0, max(1, len(images)), self._rows):
            predicted.append(self._run(images[start : start + self._rows]))
        saliency, probabilities = (np.concatenate(parts) for parts in zip(*predicted, strict=True))
        return saliency, probabilities

    def maps(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same as `dms_jax.inference.predict_step.PredictStep` gives it: maps of 8 bits, and what is finite."""
        saliency, probabilities = self(images)
        finite = np.isfinite(saliency).all((1, 2, 3)) & np.isfinite(probabilities).all((1, 2))
        # What a NaN becomes in a cast differs between processors, and is warned of.
        return np.rint(255 * np.nan_to_num(saliency)).astype(np.uint8), probabilities, finite

    def _run(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        try:
            saliency, *classes = self._session.run(None, {"images": images})
        except Exception as error:  # the runtime's own failures come in many kinds
            name = "the model" if isinstance(self.path, bytes) else self.path
            raise UserError(
                f"{name} cannot be run on images of {images.shape[2]} x {images.shape[1]} ({first_words(error)}): give "
                "other images, or export it again."
            ) from error
        if self._has_classes:
            return saliency, classes[0]
        return saliency, np.zeros((len(images), 0, len(self.metadata.description.class_names)), np.float32)
