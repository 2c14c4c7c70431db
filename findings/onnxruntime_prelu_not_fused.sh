#!/usr/bin/env bash
# PReLU after a convolution in ONNX Runtime, on a CPU.
#
# One would guess: a PReLU with one slope for all channels is joined to the convolution before it, as a Relu is.
# Seen: with onnxruntime 1.32.0, PRelu stays a node of its own, and a convolution of the fast layout is brought back from
# that layout before it. The same function written as LeakyRelu is part of the convolution.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/optimize.py" <<'PROGRAM'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

constants = {"kernel": np.ones((32, 32, 3, 3), np.float32), "slope": np.array([0.25], np.float32)}
conv = helper.make_node("Conv", ["x", "kernel"], ["z"], pads=[1, 1, 1, 1])
activations = {
    "PRelu": helper.make_node("PRelu", ["z", "slope"], ["y"]),
    "LeakyRelu": helper.make_node("LeakyRelu", ["z"], ["y"], alpha=0.25),
}
x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", 32, "h", "w"]) for name in "xy")
for name, activation in activations.items():
    used = [numpy_helper.from_array(constants[c], c) for c in constants if c in (*conv.input, *activation.input)]
    graph = helper.make_graph([conv, activation], "graph", [x], [y], used)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = f"{sys.argv[1]}/{name}.onnx"
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(options.optimized_model_filepath).graph.node
    print(name, "PRelu" in [node.op_type for node in nodes], "LeakyRelu" in [node.op_type for node in nodes])
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" onnx==1.23.2 onnxruntime==1.32.0
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/optimize.py" "$scratch" | tee "$scratch/seen"

# Output seen on 2026-11-28: which of the two are nodes of the optimised graph.
diff - "$scratch/seen" <<'SEEN'
PRelu True False
LeakyRelu False False
SEEN
