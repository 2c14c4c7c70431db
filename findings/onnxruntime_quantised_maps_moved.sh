#!/usr/bin/env bash
# ONNX Runtime: quantising a network of opset 9 or 10 whose coarse map is brought to the image's size by interpolation.
#
# One would guess: the map of the quantised network lies where it lay, and differs by a few steps of 255.
# quantize_static warns that it takes the model to a later opset and asks to verify it, and the function stays the same.
# Seen: with onnxruntime 1.32.0 and onnx 1.23.2, quantize_static and quantize_dynamic turn opset 9 into 11, and
# quant_pre_process, which is advised before them, opset 10 as well. The linear Upsample or Resize, which laid the first
# pixel on the first pixel, lays edge on edge after that: the map moves right and down, by half a pixel where it is
# doubled, by 3.5 where it is enlarged 8 times, and by 15.5 for 32 times, as the coarsest of a network's maps often is.
# onnx.version_converter writes the node without the mode that it had (issue 8480 of onnx/onnx, open, which does not
# speak of quantisation). A network of opset 10 that is quantised without quant_pre_process stays as it is, and so does
# one of opset 11, where "asymmetric" is said by name. quant_pre_process alone, whose output is in floats, shows that
# the 8 bits have no part in it.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, quant_pre_process, quantize_dynamic, quantize_static

SIDE, SCRATCH = 128, slice(32, 96)
FILE, QUANTISED = f"{sys.argv[1]}/network.onnx", f"{sys.argv[1]}/quantised.onnx"


class Images(CalibrationDataReader):
    def __init__(self):
        self.images = iter([{"image": image}])

    def get_next(self):
        return next(self.images, None)


def write(opset, times):
    enlarge = {
        9: helper.make_node("Upsample", ["coarse", "scales"], ["map"], mode="linear"),
        10: helper.make_node("Resize", ["coarse", "scales"], ["map"], mode="linear"),
        11: helper.make_node(
            "Resize",
            ["coarse", "none", "scales"],
            ["map"],
            mode="linear",
            coordinate_transformation_mode="asymmetric",
        ),
    }[opset]
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["features"], pads=[1] * 4),
        helper.make_node("MaxPool", ["features"], ["coarse"], kernel_shape=[times] * 2, strides=[times] * 2),
        enlarge,
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, image.shape) for name in ("image", "map")]
    kernel = np.zeros((1, 1, 3, 3), np.float32)
    kernel[..., 1, 1] = 1
    numbers = {"kernel": kernel, "scales": np.array([1, 1, times, times], np.float32), "none": np.zeros(0, np.float32)}
    weights = [numpy_helper.from_array(each, name) for name, each in numbers.items() if name != "none" or opset == 11]
    graph = helper.make_graph(nodes, "map", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), FILE)


def middle(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    row = session.run(None, {"image": image})[0][0, 0, SIDE // 2].astype(float)
    return (row @ np.arange(SIDE)) / row.sum()


image = np.zeros((1, 1, SIDE, SIDE), np.float32)
image[..., SCRATCH] = 1
ways = {
    "quantize_static": lambda: quantize_static(FILE, QUANTISED, Images()),
    "quantize_dynamic": lambda: quantize_dynamic(FILE, QUANTISED),
    "quant_pre_process": lambda: quant_pre_process(FILE, QUANTISED),
}
for opset in 9, 10, 11:
    for name, way in ways.items():
        if (opset, name) == (9, "quant_pre_process"):
            continue  # RuntimeError: it cannot convert what it has made of Upsample
        moved = []
        for times in 2, 8, 32:
            write(opset, times)
            way()
            moved.append(f"{middle(QUANTISED) - middle(FILE):.1f} (x {times})")
        became = onnx.load(QUANTISED).opset_import[0].version
        print(f"opset {opset}, {name}: opset {became}, map moved by {', '.join(moved)} pixels")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    onnxruntime==1.32.0 onnx==1.23.2 numpy==2.3.4 sympy==1.14.0
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" "$scratch" 2>"$scratch/log" |
    tee "$scratch/seen" || tail "$scratch/log"

# Output seen on 2026-11-29.
diff - "$scratch/seen" <<'SEEN'
opset 9, quantize_static: opset 11, map moved by 0.5 (x 2), 3.5 (x 8), 15.5 (x 32) pixels
opset 9, quantize_dynamic: opset 11, map moved by 0.5 (x 2), 3.5 (x 8), 15.5 (x 32) pixels
opset 10, quantize_static: opset 10, map moved by 0.0 (x 2), 0.0 (x 8), 0.0 (x 32) pixels
opset 10, quantize_dynamic: opset 10, map moved by 0.0 (x 2), 0.0 (x 8), 0.0 (x 32) pixels
opset 10, quant_pre_process: opset 11, map moved by 0.5 (x 2), 3.5 (x 8), 15.5 (x 32) pixels
opset 11, quantize_static: opset 11, map moved by 0.0 (x 2), 0.0 (x 8), 0.0 (x 32) pixels
opset 11, quantize_dynamic: opset 11, map moved by 0.0 (x 2), 0.0 (x 8), 0.0 (x 32) pixels
opset 11, quant_pre_process: opset 11, map moved by 0.0 (x 2), 0.0 (x 8), 0.0 (x 32) pixels
SEEN
