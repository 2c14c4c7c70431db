#!/usr/bin/env bash
# OpenCV 5: ONNX networks that halve the image with auto_pad=SAME_UPPER, the padding of TensorFlow and of JAX's "SAME".
#
# One would guess: cv2.dnn pads as ONNX describes it and as OpenCV 4 does: what is odd goes after the last pixel, so
# that 3 x 3 with a stride of 2 pads an image of even size at its right and lower edge alone.
# Seen: opencv-python-headless 5.0.0.93 pads (kernel - 1) // 2 before the first pixel, whatever the stride, the size and
# whether SAME_UPPER or SAME_LOWER is asked for. For SAME_UPPER that is right where the stride is 1, and for 3 x 3 in
# images of odd size. In those of even size (and for 7 x 7 with a stride of 2, with which a ResNet begins) the whole
# output of a convolution or of a maximum is that of an image moved by a pixel. Each halving doubles it: after five, an
# output pixel looks at what lies 31 pixels before its place. The shapes are right, and nothing warns of it.
# opencv-python-headless 4.14.0.94 has SAME_UPPER right, and takes SAME_LOWER for it. With the same padding as numbers
# (pads) both agree with ONNX Runtime.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import cv2
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def network(nodes, kernel, size):
    image = helper.make_tensor_value_info("0", TensorProto.FLOAT, [1, 1, size, size])
    halved = -(-size // 2 ** len(nodes))
    output = helper.make_tensor_value_info(str(len(nodes)), TensorProto.FLOAT, [1, 1, halved, halved])
    graph = helper.make_graph(nodes, "halvings", [image], [output], [numpy_helper.from_array(kernel, "kernel")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def both(model, image):
    network = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
    network.setInput(image)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return network.forward(), session.run(None, {"0": image})[0]


print("OpenCV", cv2.__version__)
random = np.random.default_rng(0)
ways = {"SAME_UPPER": {"auto_pad": "SAME_UPPER"}, "SAME_LOWER": {"auto_pad": "SAME_LOWER"}}
for operator, side, size in ("Conv", 3, 64), ("MaxPool", 3, 64), ("Conv", 3, 63), ("Conv", 7, 64):
    total = max(0, (-(-size // 2) - 1) * 2 + side - size)
    before, after = total // 2, total - total // 2
    differ = {}
    for way, padding in {**ways, "pads": {"pads": [before, before, after, after]}}.items():
        inputs = ["0", "kernel"] if operator == "Conv" else ["0"]
        node = helper.make_node(operator, inputs, ["1"], kernel_shape=[side, side], strides=[2, 2], **padding)
        kernel = random.random((1, 1, side, side), np.float32) / side**2
        found, expected = both(network([node], kernel, size), random.random((1, 1, size, size), np.float32))
        differ[way] = f"{np.mean(np.abs(found - expected) > 1e-3):.0%}"
    print(f"{operator} {side} x {side} of {size} pixels, differs from ONNX Runtime in: {differ}")

middle = np.zeros((1, 1, 3, 3), np.float32)
middle[..., 1, 1] = 1
columns = np.broadcast_to(np.arange(512, dtype=np.float32), (1, 1, 512, 512)).copy()
for way, padding in ("SAME_UPPER", ways["SAME_UPPER"]), ("pads", {"pads": [0, 0, 1, 1]}):
    nodes = [helper.make_node("Conv", [str(i), "kernel"], [str(i + 1)], strides=[2, 2], **padding) for i in range(5)]
    found, expected = both(network(nodes, middle, 512), columns)
    print(f"{way}, five halvings: columns {found[0, 0, 8, 6:10]}; ONNX Runtime: {expected[0, 0, 8, 6:10]}")
PROGRAM

for version in 5.0.0.93 4.14.0.94; do
    "${PYTHON:-python3}" -m pip install --quiet --target "$scratch/$version" \
        "opencv-python-headless==$version" onnx==1.23.2 onnxruntime==1.32.0 numpy==2.3.4
    PYTHONPATH="$scratch/$version" "${PYTHON:-python3}" "$scratch/measure.py" 2>/dev/null
done | tee "$scratch/seen"

# Output seen on 2026-11-29.
diff - "$scratch/seen" <<'SEEN'
OpenCV 5.0.0
Conv 3 x 3 of 64 pixels, differs from ONNX Runtime in: {'SAME_UPPER': '99%', 'SAME_LOWER': '0%', 'pads': '0%'}
MaxPool 3 x 3 of 64 pixels, differs from ONNX Runtime in: {'SAME_UPPER': '71%', 'SAME_LOWER': '0%', 'pads': '0%'}
Conv 3 x 3 of 63 pixels, differs from ONNX Runtime in: {'SAME_UPPER': '0%', 'SAME_LOWER': '0%', 'pads': '0%'}
Conv 7 x 7 of 64 pixels, differs from ONNX Runtime in: {'SAME_UPPER': '97%', 'SAME_LOWER': '0%', 'pads': '0%'}
SAME_UPPER, five halvings: columns [192. 224. 256. 288.]; ONNX Runtime: [223. 255. 287. 319.]
pads, five halvings: columns [223. 255. 287. 319.]; ONNX Runtime: [223. 255. 287. 319.]
OpenCV 4.14.0
Conv 3 x 3 of 64 pixels, differs from ONNX Runtime in: {'SAME_UPPER': '0%', 'SAME_LOWER': '99%', 'pads': '0%'}
MaxPool 3 x 3 of 64 pixels, differs from ONNX Runtime in: {'SAME_UPPER': '0%', 'SAME_LOWER': '72%', 'pads': '0%'}
Conv 3 x 3 of 63 pixels, differs from ONNX Runtime in: {'SAME_UPPER': '0%', 'SAME_LOWER': '0%', 'pads': '0%'}
Conv 7 x 7 of 64 pixels, differs from ONNX Runtime in: {'SAME_UPPER': '0%', 'SAME_LOWER': '97%', 'pads': '0%'}
SAME_UPPER, five halvings: columns [223. 255. 287. 319.]; ONNX Runtime: [223. 255. 287. 319.]
pads, five halvings: columns [223. 255. 287. 319.]; ONNX Runtime: [223. 255. 287. 319.]
SEEN
