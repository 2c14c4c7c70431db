"""In 8-bit integers a network says nearly the same of images like those that it was quantised by."""

import numpy as np
from realistic_variables import realistic_variables
from tiny_network import FIELDS

from dms_jax.data.framing import Framing
from dms_jax.inference.description import ModelDescription
from dms_jax.inference.exported.onnx_file import make_onnx_model, metadata_of
from dms_jax.inference.exported.onnx_session import OnnxPredictor
from dms_jax.inference.exported.quantization import quantize
from dms_jax.models.dms import SDMS

DESCRIPTION = ModelDescription(("free", "crack", "dent"), "free", Framing(size=64))


def test_maps_and_classes_are_nearly_the_same() -> None:
    smooth = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    model = SDMS(**{**FIELDS, "base_channels": 16, "side_channels": 16, "residual_channels": 16})
    made = make_onnx_model(model, realistic_variables(model, smooth), DESCRIPTION, "all")
    quantized = quantize(made, smooth)
    assert metadata_of(quantized).description == DESCRIPTION
    heads = [node for node in quantized.graph.node if node.op_type == "Conv" and node.name.endswith("/saliency")]
    kernels = {initializer.name for initializer in quantized.graph.initializer}
    assert len(heads) == 3
    assert all(head.input[1] in kernels for head in heads)
    before, after = (OnnxPredictor(each.SerializeToString())(smooth) for each in (made, quantized))
    for a, b in zip(before, after, strict=True):
        assert a.shape == b.shape
        assert 0 < np.abs(a - b).mean() < 0.05
