"""An ONNX model in 8-bit integers: a quarter of the size, and faster where the processor multiplies them."""

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from dms_jax.inference.exported.onnx_file import describe, metadata_of

# What is quantised; all else stays in float32, as do the heads: logits have a wide range, of which what lies about 0
# decides.
_OPS = ("Conv", "ConvTranspose", "LeakyRelu", "Relu", "MaxPool", "Concat", "Add", "Slice")
_IN_FLOAT = ("saliency", "saliency_before", "of_saliency", "refined", "map", "classes")


def quantize(model: onnx.ModelProto, images: np.ndarray) -> onnx.ModelProto:
    """Quantise a model statically: weights per channel, maps by the ranges that they have on images.

    Args:
      model: of `dms_jax.inference.exported.onnx_file.make_onnx_model`.
      images: uint8 [M, H, W, 3], as the network sees them; a hundred are enough.

    Returns:
      A model with the same inputs and outputs, and the same metadata but for its form.
    """
    excluded = [node.name for node in model.graph.node if _stays_in_float(node.name)]
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, target = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        onnx.save(model, source)
        quantize_static(
            source,
            target,
            _Calibration(images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_OPS),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=excluded,
            calibrate_method=CalibrationMethod.MinMax,
        )
        quantized = onnx.load(target)
    metadata = metadata_of(model)
    describe(quantized, replace(metadata, form=f"{metadata.form}, INT8"))
    onnx.checker.check_model(quantized)
    return quantized


def _stays_in_float(name: str) -> bool:
    return any(part in _IN_FLOAT for part in name.split("/"))


class _Calibration(CalibrationDataReader):
    def __init__(self, images: np.ndarray) -> None:
        self._images: Iterator[np.ndarray] = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._images, None)
        return None if image is None else {"images": image[None]}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What onnxruntime says while it quantises concerns its developers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
