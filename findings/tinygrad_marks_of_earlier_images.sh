#!/usr/bin/env bash
# tinygrad: an ONNX network that writes places into a map of zeros by ScatterND, as PyTorch's index_put is exported: the
# strongest pixels of a defect map, or the number of pixels of each class.
#
# One would guess: a run of a network depends on its inputs alone, and ScatterND gives a changed copy of its data and
# leaves the data as it was, as ONNX and ONNX Runtime have it, be the data an initializer, an input or in between.
# Seen: with tinygrad 0.14.0 the data itself is written into. Where it is an initializer of the network, a map of zeros
# or counts of 0, each image's marks are there for all later ones: the second image has the first one's defect besides
# its own, the sound third one has both, and the counts of classes are those of all images so far. A runner that is made
# anew for each image is right. Within one image, all else that reads the data sees the change: the image less its
# blanked copy is 0, and two maps made of the same zeros become one map with the marks of both. A Tensor that is given
# as an input is changed for the caller too. ScatterElements is right, and so is a map of zeros that the network makes
# (ConstantOfShape). Nothing warns. By its source (nn/onnx.py), ScatterND assigns to its argument. No issue was found
# that says so; that it cannot write many places is known (13409 of tinygrad/tinygrad).
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
from onnx import TensorProto, helper, numpy_helper
from tinygrad import Tensor
from tinygrad.nn.onnx import OnnxRunner

WRITTEN = sys.argv[1]
SIDE = 12


def write(nodes, inputs, outputs, constants):
    typed = [
        [helper.make_tensor_value_info(name, getattr(TensorProto, kind), shape) for name, kind, shape in part]
        for part in (inputs, outputs)
    ]
    arrays = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    model = helper.make_model(
        helper.make_graph([helper.make_node(*node[:3], **node[3]) for node in nodes], "network", *typed, arrays),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, WRITTEN)


def run(name, images, told):
    session = onnxruntime.InferenceSession(WRITTEN, providers=["CPUExecutionProvider"])
    runner = OnnxRunner(WRITTEN)
    print(f"{name}:")
    for number, inputs in enumerate(images, 1):
        expected = session.run(None, inputs)
        seen = [output.numpy() for output in runner(inputs).values()]
        anew = [output.numpy() for output in OnnxRunner(WRITTEN)(inputs).values()]
        line = f"    {number}: ONNX Runtime {told(expected)}, tinygrad {told(seen)}"
        print(line if np.array_equal(seen, anew) else f"{line}, by a new runner {told(anew)}")


def marked(outputs):
    return " and ".join(str([tuple(place) for place in np.argwhere(output).tolist()]) for output in outputs)


def with_defect(*places):
    image = np.random.default_rng(0).uniform(0, 0.1, (SIDE, SIDE)).astype(np.float32)
    for row, column in places:
        image[row, column] = 0.9
    return image


images = [{"scores": with_defect((2, 3))}, {"scores": with_defect((8, 9), (8, 10))}, {"scores": with_defect()}]
constants = {
    "half": np.float32(0.5),
    "flat": np.array([-1]),
    "three": np.array([3]),
    "side": np.array(SIDE),
    "last": np.array([1]),
}
for kind in "an initializer", "ConstantOfShape":
    made = kind == "ConstantOfShape"
    write(
        [("ConstantOfShape", ["shape"], ["zeros"], {})] * made
        + [
            ("Greater", ["scores", "half"], ["defective"], {}),
            ("Cast", ["defective"], ["marks"], {"to": TensorProto.FLOAT}),
            ("Reshape", ["marks", "flat"], ["all"], {}),
            ("TopK", ["all", "three"], ["values", "pixels"], {}),
            ("Div", ["pixels", "side"], ["rows"], {}),
            ("Mod", ["pixels", "side"], ["columns"], {}),
            ("Unsqueeze", ["rows", "last"], ["rows1"], {}),
            ("Unsqueeze", ["columns", "last"], ["columns1"], {}),
            ("Concat", ["rows1", "columns1"], ["places"], {"axis": 1}),
            ("ScatterND", ["zeros", "places", "values"], ["map"], {"reduction": "max"}),
        ],
        [("scores", "FLOAT", [SIDE, SIDE])],
        [("map", "FLOAT", [SIDE, SIDE])],
        constants | ({"shape": np.array([SIDE, SIDE])} if made else {"zeros": np.zeros((SIDE, SIDE), np.float32)}),
    )
    run(f"pixels of defects, zeros by {kind}", images, marked)

for operator, shape in ("ScatterND", [-1, 1]), ("ScatterElements", [-1]):
    write(
        [
            ("Reshape", ["classes", "shape"], ["pixels"], {}),
            (operator, ["zeros", "pixels", "ones"], ["counts"], {"reduction": "add"}),
        ],
        [("classes", "INT64", [SIDE, SIDE])],
        [("counts", "FLOAT", [3])],
        {"zeros": np.zeros(3, np.float32), "ones": np.ones(SIDE * SIDE, np.float32), "shape": np.array(shape)},
    )
    classes = [np.zeros((SIDE, SIDE), np.int64) for _ in range(3)]
    classes[0][2:4, 3:6] = 1
    classes[1][8, 9:11] = 2
    run(f"pixels of each class, {operator}", [{"classes": each} for each in classes], lambda seen: seen[0].tolist())

write(
    [
        ("ScatterND", ["image", "edge", "black"], ["blanked"], {}),
        ("Sub", ["image", "blanked"], ["rest"], {}),
    ],
    [("image", "FLOAT", [SIDE, SIDE])],
    [("rest", "FLOAT", [SIDE, SIDE])],
    {"edge": np.array([[0], [1]]), "black": np.zeros((2, SIDE), np.float32)},
)
grey = np.full((SIDE, SIDE), 0.5, np.float32)
run("image less a copy with two blanked rows, sums", [{"image": grey}], lambda seen: float(seen[0].sum()))
given = Tensor(grey)
before = given.sum().item()
OnnxRunner(WRITTEN)({"image": given})["rest"].realize()
print(f"    sum of a Tensor that was given as the image: {before} before, {given.sum().item()} after")

write(
    [
        ("ScatterND", ["zeros", "scratch", "one"], ["first"], {}),
        ("ScatterND", ["zeros", "pore", "one"], ["second"], {}),
    ],
    [("scratch", "INT64", [1, 2]), ("pore", "INT64", [1, 2])],
    [("first", "FLOAT", [SIDE, SIDE]), ("second", "FLOAT", [SIDE, SIDE])],
    {"zeros": np.zeros((SIDE, SIDE), np.float32), "one": np.ones(1, np.float32)},
)
run("maps of two classes", [{"scratch": np.array([[1, 2]]), "pore": np.array([[7, 7]])}], marked)
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    tinygrad==0.14.0 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.3.4
PYTHONPATH="$scratch/site" DEV=PYTHON "${PYTHON:-python3}" "$scratch/measure.py" "$scratch/network.onnx" |
    tee "$scratch/seen"

# Output seen on 2026-12-01.
diff - "$scratch/seen" <<'SEEN'
pixels of defects, zeros by an initializer:
    1: ONNX Runtime [(2, 3)], tinygrad [(2, 3)]
    2: ONNX Runtime [(8, 9), (8, 10)], tinygrad [(2, 3), (8, 9), (8, 10)], by a new runner [(8, 9), (8, 10)]
    3: ONNX Runtime [], tinygrad [(2, 3), (8, 9), (8, 10)], by a new runner []
pixels of defects, zeros by ConstantOfShape:
    1: ONNX Runtime [(2, 3)], tinygrad [(2, 3)]
    2: ONNX Runtime [(8, 9), (8, 10)], tinygrad [(8, 9), (8, 10)]
    3: ONNX Runtime [], tinygrad []
pixels of each class, ScatterND:
    1: ONNX Runtime [138.0, 6.0, 0.0], tinygrad [138.0, 6.0, 0.0]
    2: ONNX Runtime [142.0, 0.0, 2.0], tinygrad [280.0, 6.0, 2.0], by a new runner [142.0, 0.0, 2.0]
    3: ONNX Runtime [144.0, 0.0, 0.0], tinygrad [424.0, 6.0, 2.0], by a new runner [144.0, 0.0, 0.0]
pixels of each class, ScatterElements:
    1: ONNX Runtime [138.0, 6.0, 0.0], tinygrad [138.0, 6.0, 0.0]
    2: ONNX Runtime [142.0, 0.0, 2.0], tinygrad [142.0, 0.0, 2.0]
    3: ONNX Runtime [144.0, 0.0, 0.0], tinygrad [144.0, 0.0, 0.0]
image less a copy with two blanked rows, sums:
    1: ONNX Runtime 12.0, tinygrad 0.0
    sum of a Tensor that was given as the image: 72.0 before, 60.0 after
maps of two classes:
    1: ONNX Runtime [(1, 2)] and [(7, 7)], tinygrad [(1, 2), (7, 7)] and [(1, 2), (7, 7)]
SEEN
