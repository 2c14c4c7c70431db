#!/usr/bin/env bash
# OpenVINO: an ONNX Resize with antialias=1, which makes images smaller before a network.
#
# One would guess: it computes what ONNX Runtime does, as for the rest of such a file, or it refuses the file.
# Seen: with openvino 2026.4.1 the file is read and compiled, and the result is the one without, bit for bit, in linear
# mode (known for cubic: issue 35893 of openvinotoolkit/openvino). From 64 to 16 pixels, a scratch of one pixel's width is
# gone from the image or more than twice as bright as ONNX Runtime 1.32.0 and Pillow 13.0.0 have it, depending on its
# column. A network that was trained on images made smaller by Pillow sees neither. OpenVINO's own
# RESIZE_BILINEAR_PILLOW, as a step before the model, gives the right ones.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/resize.py" <<'PROGRAM'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

LARGE, SMALL = 64, 16


def resize(antialias):
    options = {"mode": "linear", "coordinate_transformation_mode": "half_pixel", "antialias": antialias}
    node = helper.make_node("Resize", ["images", "", "", "sizes"], ["smaller"], exclude_outside=1, **options)
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 1, LARGE, LARGE])
    smaller = helper.make_tensor_value_info("smaller", TensorProto.FLOAT, [1, 1, SMALL, SMALL])
    sizes = numpy_helper.from_array(np.array([1, 1, SMALL, SMALL], np.int64), "sizes")
    graph = helper.make_graph([node], "resize", [images], [smaller], [sizes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


core = openvino.Core()
float32 = {"INFERENCE_PRECISION_HINT": "f32"}


def by_onnxruntime(image):
    return onnxruntime.InferenceSession(resize(1)).run(None, {"images": image[None, None]})[0][0, 0]


def by_openvino(image, antialias=1):
    return core.compile_model(core.read_model(resize(antialias)), "CPU", float32)(image[None, None])[0][0, 0]


def by_preprocessing(image):
    shape = [1, 1, SMALL, SMALL]
    parameter = openvino.opset13.parameter(shape, np.float32)
    steps = openvino.preprocess.PrePostProcessor(openvino.Model([openvino.opset13.relu(parameter)], [parameter]))
    steps.input().tensor().set_shape([1, 1, LARGE, LARGE]).set_layout(openvino.Layout("NCHW"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    steps.input().preprocess().resize(openvino.preprocess.ResizeAlgorithm.RESIZE_BILINEAR_PILLOW)
    return core.compile_model(steps.build(), "CPU", float32)(image[None, None])[0][0, 0]


def by_pillow(image):
    return np.asarray(Image.fromarray(image).resize((SMALL, SMALL), Image.Resampling.BILINEAR))


methods = {
    "Pillow": by_pillow,
    "ONNX Runtime": by_onnxruntime,
    "OpenVINO": by_openvino,
    "OpenVINO, antialias=0": lambda image: by_openvino(image, 0),
    "OpenVINO, RESIZE_BILINEAR_PILLOW": by_preprocessing,
}
print(f"brightest pixel of a scratch, one pixel wide and of brightness 1, from {LARGE} to {SMALL} pixels")
for name, method in methods.items():
    brightest = []
    for column in range(32, 36):
        image = np.zeros((LARGE, LARGE), np.float32)
        image[:, column] = 1
        brightest.append(f"{method(image).max():.2f}")
    print(f"    {name:34}{', '.join(brightest)} in columns 32 to 35")
noise = np.random.default_rng(0).random((LARGE, LARGE), np.float32)
same = np.array_equal(by_openvino(noise), by_openvino(noise, 0))
print(f"OpenVINO with and without antialias, of noise, bit for bit: {same}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 pillow==13.0.0 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/resize.py" | tee "$scratch/seen"

# Output seen on 2026-11-29.
diff - "$scratch/seen" <<'SEEN'
brightest pixel of a scratch, one pixel wide and of brightness 1, from 64 to 16 pixels
    Pillow                            0.16, 0.22, 0.22, 0.16 in columns 32 to 35
    ONNX Runtime                      0.16, 0.22, 0.22, 0.16 in columns 32 to 35
    OpenVINO                          0.00, 0.50, 0.50, 0.00 in columns 32 to 35
    OpenVINO, antialias=0             0.00, 0.50, 0.50, 0.00 in columns 32 to 35
    OpenVINO, RESIZE_BILINEAR_PILLOW  0.16, 0.22, 0.22, 0.16 in columns 32 to 35
OpenVINO with and without antialias, of noise, bit for bit: True
SEEN
