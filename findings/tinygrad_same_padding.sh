#!/usr/bin/env bash
# tinygrad: ONNX networks with auto_pad=SAME_UPPER, the padding of TensorFlow and of JAX's "SAME", as Paddle2ONNX writes
# it for any stride and dilation: dilated convolutions (DeepLab's), and a ResNet's shortcuts, 1 x 1 with a stride of 2.
#
# One would guess: with a stride of 1 the map keeps the image's size, whatever the dilation; what needs no padding, as
# 1 x 1, gets none, and with a stride of 2 takes the pixels 0, 2, 4 and so on.
# Seen: neither, with tinygrad 0.14.0. The padding is that of the kernel before it is dilated, so that a convolution of
# 3 x 3 with a dilation of 2, 4 or 8 makes a map of 32 pixels 2, 6 or 14 smaller. Added to another map that is an error;
# a classifier takes the mean over what is left, and the mean is another: half as much for a defect along an edge and a
# dilation of 2. Where the stride is larger than the kernel, the padding is below 0 and cuts the image: of an even
# number of pixels 1 x 1 takes 1, 3, 5 and so on for 0, 2, 4, so that the shortcut is moved by a pixel against the
# branch that it is added to, and a scratch of one pixel's width in column 4 gives a quarter of its value, one in column
# 5 its fourfold. Shapes are right then, and odd sizes and SAME_LOWER altogether. OpenVINO 2026.4.1 does as one would
# guess, and so does ONNX Runtime 1.32.0 for these strides (SAME with a dilation it refuses). Nothing warns. By its
# source (nn/onnx.py), the dilation isn't used for this padding, and nothing keeps it at 0 or above. No issue was found
# of it. onnxscript left out the dilation too (pull request 3037 of microsoft/onnxscript mends it), and tinygrad's own
# Conv2d with padding="same" swapped those of rows and columns (pull request 17805 of tinygrad/tinygrad, merged).
#
# Needs Python 3.11 or later. (tinygrad runs in plain Python here, as its processor backend needs a compiler.)
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper
from tinygrad.nn.onnx import OnnxRunner

WRITTEN = sys.argv[1]
CORE = openvino.Core()


def write(image, nodes, constants):
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node(operator, taken, [given], **attributes) for operator, taken, given, attributes in nodes],
            "network",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, image.shape)],
            [helper.make_tensor_value_info("map", TensorProto.FLOAT, [None] * image.ndim)],
            [numpy_helper.from_array(array, name) for name, array in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, WRITTEN)


def by_openvino(image):
    return CORE.compile_model(WRITTEN, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(image)[0]


def by_onnxruntime(image):
    session = onnxruntime.InferenceSession(WRITTEN, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})[0]


def by_tinygrad(image):
    return OnnxRunner(WRITTEN)({"image": image})["map"].numpy()


image = np.zeros((1, 1, 32, 32), np.float32)
image[..., 0] = 1  # a defect along an edge
ones = np.ones((1, 1, 3, 3), np.float32)
for dilation in 1, 2, 4, 8:
    attributes = {"auto_pad": "SAME_UPPER", "dilations": [dilation] * 2}
    for pooled in False, True:
        nodes = [("Conv", ["image", "kernel"], "map", attributes)]
        if pooled:
            nodes = [("Conv", ["image", "kernel"], "all", attributes), ("GlobalAveragePool", ["all"], "map", {})]
        write(image, nodes, {"kernel": ones})
        expected, seen = by_openvino(image), by_tinygrad(image)
        if pooled:
            print(f"means {expected.item():.3f} and {seen.item():.3f}")
        else:
            sizes = " and ".join(f"{map_.shape[2]} x {map_.shape[3]}" for map_ in (expected, seen))
            print(f"3 x 3, dilation {dilation}: OpenVINO and tinygrad {sizes}, ", end="")

one = np.ones((1, 1, 1, 1), np.float32)
for pixels in 9, 10:
    image = np.tile(np.arange(pixels, dtype=np.float32), (1, 1, pixels, 1))
    for padding in "SAME_UPPER", "SAME_LOWER":
        for kernel, name in (ones[..., 1:2, :] / 3, "1 x 3"), (one, "1 x 1"):
            attributes = {"auto_pad": padding, "strides": [2, 2]}
            write(image, [("Conv", ["image", "kernel"], "map", attributes)], {"kernel": kernel})
            expected = by_openvino(image)
            assert np.allclose(expected, by_onnxruntime(image), atol=1e-5)
            told = [[round(float(value), 1) for value in map_[0, 0, 1]] for map_ in (expected, by_tinygrad(image))]
            print(f"{name}, stride 2, {padding}, {pixels} pixels: {told[0]}, tinygrad {told[1]}")

residual = [
    ("Conv", ["image", "kernel"], "branch", {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("Conv", ["image", "one"], "shortcut", {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ("Add", ["branch", "shortcut"], "map", {}),
]
image = np.zeros((1, 1, 10, 10), np.float32)
for column in 4, 5:
    image[:] = 0
    image[..., column] = 1
    write(image, residual, {"kernel": ones / 9, "one": one})
    expected, seen = by_openvino(image), by_tinygrad(image)
    assert np.allclose(expected, by_onnxruntime(image), atol=1e-5)
    told = [[round(float(value), 2) for value in map_[0, 0, 2]] for map_ in (expected, seen)]
    print(f"residual block, scratch in column {column} of 10: {told[0]}, tinygrad {told[1]}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    tinygrad==0.14.0 openvino==2026.4.1 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.3.4
PYTHONPATH="$scratch/site" DEV=PYTHON "${PYTHON:-python3}" "$scratch/measure.py" "$scratch/network.onnx" |
    tee "$scratch/seen"

# Output seen on 2026-12-01.
diff - "$scratch/seen" <<'SEEN'
3 x 3, dilation 1: OpenVINO and tinygrad 32 x 32 and 32 x 32, means 0.184 and 0.184
3 x 3, dilation 2: OpenVINO and tinygrad 32 x 32 and 30 x 30, means 0.180 and 0.098
3 x 3, dilation 4: OpenVINO and tinygrad 32 x 32 and 26 x 26, means 0.172 and 0.112
3 x 3, dilation 8: OpenVINO and tinygrad 32 x 32 and 18 x 18, means 0.156 and 0.160
1 x 3, stride 2, SAME_UPPER, 9 pixels: [0.3, 2.0, 4.0, 6.0, 5.0], tinygrad [0.3, 2.0, 4.0, 6.0, 5.0]
1 x 1, stride 2, SAME_UPPER, 9 pixels: [0.0, 2.0, 4.0, 6.0, 8.0], tinygrad [0.0, 2.0, 4.0, 6.0, 8.0]
1 x 3, stride 2, SAME_LOWER, 9 pixels: [0.3, 2.0, 4.0, 6.0, 5.0], tinygrad [0.3, 2.0, 4.0, 6.0, 5.0]
1 x 1, stride 2, SAME_LOWER, 9 pixels: [0.0, 2.0, 4.0, 6.0, 8.0], tinygrad [0.0, 2.0, 4.0, 6.0, 8.0]
1 x 3, stride 2, SAME_UPPER, 10 pixels: [1.0, 3.0, 5.0, 7.0, 5.7], tinygrad [1.0, 3.0, 5.0, 7.0, 5.7]
1 x 1, stride 2, SAME_UPPER, 10 pixels: [0.0, 2.0, 4.0, 6.0, 8.0], tinygrad [1.0, 3.0, 5.0, 7.0, 9.0]
1 x 3, stride 2, SAME_LOWER, 10 pixels: [0.3, 2.0, 4.0, 6.0, 8.0], tinygrad [0.3, 2.0, 4.0, 6.0, 8.0]
1 x 1, stride 2, SAME_LOWER, 10 pixels: [0.0, 2.0, 4.0, 6.0, 8.0], tinygrad [0.0, 2.0, 4.0, 6.0, 8.0]
residual block, scratch in column 4 of 10: [0.0, 0.33, 1.33, 0.0, 0.0], tinygrad [0.0, 0.33, 0.33, 0.0, 0.0]
residual block, scratch in column 5 of 10: [0.0, 0.0, 0.33, 0.0, 0.0], tinygrad [0.0, 0.0, 1.33, 0.0, 0.0]
SEEN
