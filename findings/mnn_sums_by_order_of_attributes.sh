#!/usr/bin/env bash
# MNN: networks that count or sum what falls on the same place: the pixels of each class of defect, the largest score of
# each, overlapping tiles, lines that are moved (PyTorch's scatter_add, scatter_reduce and index_put with accumulate).
#
# One would guess: ONNX's ScatterElements and ScatterND with a reduction are converted with it, or refused by name as
# other operators are; in which order a node lists its attributes, which have names, makes no difference.
# Seen: with MNN 3.6.1, ScatterND's reduction is dropped, and so is "max" of ScatterElements: the last value that falls
# on a place stays, whichever it is. Of axis and reduction, ScatterElements takes the one that comes first, and leaves
# the other as if it weren't there. Where axis comes first, as torch.onnx.export with dynamo=False and onnx.helper write
# it, each class has one pixel, however many there are. Where reduction comes first, as with dynamo=True, sums along
# axis 0 are right, and those along axis 1 are taken along axis 0: an upright scratch lies down. Nothing warns. By its
# source (OnnxScatterND.cpp), the loop over the attributes ends at the first of the two. No issue was found that says
# so.
#
# Needs Python 3.11 or later. (The compiled converter is called as its command mnnconvert does, which besides installs a
# package and reports that it was used.)
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import sys
from pathlib import Path

import MNN
import MNN.expr
import numpy as np
import onnx
import onnxruntime
from _tools import mnnconvert
from onnx import TensorProto, helper, numpy_helper

FOLDER = Path(sys.argv[1])
KINDS = {"float32": MNN.expr.float, "int32": MNN.expr.int}
random = np.random.default_rng(0)


def outputs(operator, start, places, values, **choices):
    """What is scattered to the places of an array, by ONNX Runtime and by MNN; the choices stay in their order."""
    scatter = helper.make_node(operator, ["start", "long", "values"], ["sums"])
    scatter.attribute.extend(helper.make_attribute(*choice) for choice in choices.items())
    inputs = {"places": places.astype(np.int32), "values": values.astype(np.float32)}
    ends = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in inputs.items()
    ]
    graph = helper.make_graph(
        [helper.make_node("Cast", ["places"], ["long"], to=TensorProto.INT64), scatter],
        "network",
        ends,
        [helper.make_tensor_value_info("sums", TensorProto.FLOAT, start.shape)],
        [numpy_helper.from_array(start.astype(np.float32), "start")],
    )
    written, converted = str(FOLDER / "network.onnx"), FOLDER / "network.mnn"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), written)
    converted.unlink(missing_ok=True)
    mnnconvert(["", "-f", "ONNX", "--modelFile", written, "--MNNModel", str(converted), "--bizCode", "x"])
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    network = MNN.nn.load_module_from_file(str(converted), list(inputs), ["sums"])
    taken = [MNN.expr.const(each, list(each.shape), MNN.expr.NCHW, KINDS[each.dtype.name]) for each in inputs.values()]
    seen = MNN.expr.convert(network.forward(taken)[0], MNN.expr.NCHW).read()
    return {"ONNX Runtime": session.run(None, inputs)[0], "MNN": seen}


def say(name, results):
    print(name, file=report)
    for package, array in results.items():
        rows = (" ".join(f"{value:.4g}" for value in row) for row in np.atleast_2d(array))
        print(f"  {package}:", "; ".join(rows), file=report)


with open(FOLDER / "report", "w") as report:
    classes = random.choice(4, (4, 400), p=[0.9, 0.05, 0.03, 0.02])
    scores = random.permutation(400) / 400
    orders = [{"axis": 0, "reduction": "add"}, {"reduction": "add", "axis": 0}, {"reduction": "add"}]
    for order in orders:
        found = outputs("ScatterElements", np.zeros(4), classes[0], np.ones(400), **order)
        say(f"pixels of each class, {' before '.join(order)}", found)
    found = outputs("ScatterElements", np.zeros((4, 4)), classes, np.ones((4, 400)), axis=1, reduction="add")
    say("pixels of each class in four images, axis before reduction", found)
    oblique = np.eye(5)
    columns = np.arange(5) - np.arange(5)[:, None] + 2
    for order in {"axis": 1, "reduction": "add"}, {"reduction": "add", "axis": 1}:
        found = outputs("ScatterElements", np.zeros((5, 5)), columns.clip(0, 4), oblique, **order)
        say(f"lines moved so that a scratch is upright, {' before '.join(order)}", found)
    for order in {"axis": 0, "reduction": "max"}, {"reduction": "max", "axis": 0}:
        found = outputs("ScatterElements", np.zeros(4), classes[0], scores, **order)
        say(f"largest score in each class, {' before '.join(order)}", found)
    rows = np.arange(4) + np.array([[0], [2], [4]])
    for order in {"reduction": "add"}, {"reduction": "none"}:
        found = outputs("ScatterND", np.zeros(8), rows.reshape(-1, 1), np.ones(12), **order)
        say(f"tiles of four rows that lie on each of 8 rows, ScatterND, reduction {order['reduction']}", found)
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    mnn==3.6.1 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" "$scratch" >"$scratch/log" 2>&1 ||
    tail "$scratch/log"
cat "$scratch/report"

# Output seen on 2026-12-01.
diff - "$scratch/report" <<'SEEN'
pixels of each class, axis before reduction
  ONNX Runtime: 350 25 14 11
  MNN: 1 1 1 1
pixels of each class, reduction before axis
  ONNX Runtime: 350 25 14 11
  MNN: 350 25 14 11
pixels of each class, reduction
  ONNX Runtime: 350 25 14 11
  MNN: 350 25 14 11
pixels of each class in four images, axis before reduction
  ONNX Runtime: 350 25 14 11; 365 15 10 10; 373 19 5 3; 350 22 16 12
  MNN: 1 1 1 1; 1 1 1 1; 1 1 1 1; 1 1 1 1
lines moved so that a scratch is upright, axis before reduction
  ONNX Runtime: 0 0 1 0 0; 0 0 1 0 0; 0 0 1 0 0; 0 0 1 0 0; 0 0 1 0 0
  MNN: 0 0 1 0 0; 0 0 1 0 0; 0 0 1 0 0; 0 0 1 0 0; 0 0 1 0 0
lines moved so that a scratch is upright, reduction before axis
  ONNX Runtime: 0 0 1 0 0; 0 0 1 0 0; 0 0 1 0 0; 0 0 1 0 0; 0 0 1 0 0
  MNN: 0 0 0 0 0; 0 0 0 0 0; 1 1 1 1 1; 0 0 0 0 0; 0 0 0 0 0
largest score in each class, axis before reduction
  ONNX Runtime: 0.9975 0.96 0.9325 0.95
  MNN: 0.0625 0.0525 0.225 0.655
largest score in each class, reduction before axis
  ONNX Runtime: 0.9975 0.96 0.9325 0.95
  MNN: 0.0625 0.0525 0.225 0.655
tiles of four rows that lie on each of 8 rows, ScatterND, reduction add
  ONNX Runtime: 1 1 2 2 2 2 1 1
  MNN: 1 1 1 1 1 1 1 1
tiles of four rows that lie on each of 8 rows, ScatterND, reduction none
  ONNX Runtime: 1 1 1 1 1 1 1 1
  MNN: 1 1 1 1 1 1 1 1
SEEN
