#!/usr/bin/env bash
# MNN: a network whose coarse map is brought to the image's size by bicubic interpolation, as PyTorch's interpolate with
# mode="bicubic" is exported.
#
# One would guess: the converted network gives the same map to a few digits, as for the bilinear one; at most the places
# beyond the image's edge are made up in another way, so that a pixel or two at each edge differ.
# Seen: with MNN 3.6.1 half a pixel of the coarse map is wrong along its upper and left edge, which are 16 rows and 16
# columns where it is enlarged 32 times. They have what lies a whole coarse pixel further down or right: a scratch along
# the left edge loses its outer half, and one beside it appears at the edge a second time. Lower and right edges are
# right, and so are align_corners and asymmetric, where no place is below 0. By its source (CPUResizeCommon), the place
# is cut off towards 0 for the pixels that are taken, and rounded down for their weights. Neither converter nor session
# says a word. Somebody found bicubic maps abnormal in 2022 (issue 1837 of alibaba/MNN), and was told that the mode is
# supported; no issue was found that says what is wrong.
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

SIDE = 8
FOLDER = Path(sys.argv[1])


def outputs(coarse, times, mode, place):
    names = {"scales": np.array([1, 1, times, times], np.float32), "none": np.zeros(0, np.float32)}
    node = helper.make_node(
        "Resize",
        ["coarse", "none", "scales"],
        ["map"],
        mode=mode,
        coordinate_transformation_mode=place,
        cubic_coeff_a=-0.75,
    )
    large = [1, 1, SIDE * times, SIDE * times]
    graph = helper.make_graph(
        [node],
        "network",
        [helper.make_tensor_value_info("coarse", TensorProto.FLOAT, [1, 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, large)],
        [numpy_helper.from_array(array, name) for name, array in names.items()],
    )
    written, converted = str(FOLDER / "network.onnx"), FOLDER / "network.mnn"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), written)
    converted.unlink(missing_ok=True)
    mnnconvert(["", "-f", "ONNX", "--modelFile", written, "--MNNModel", str(converted), "--bizCode", "x"])
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    network = MNN.nn.load_module_from_file(str(converted), ["coarse"], ["map"])
    seen = network.forward([MNN.expr.const(coarse, list(coarse.shape), MNN.expr.NCHW, MNN.expr.float)])[0]
    return session.run(None, {"coarse": coarse})[0][0, 0], MNN.expr.convert(seen, MNN.expr.NCHW).read()[0, 0].copy()


def say(*words, end="\n"):
    print(*words, file=report, end=end)
with open(FOLDER / "report", "w") as report:
    noise = np.random.default_rng(0).uniform(0, 1, (1, 1, SIDE, SIDE)).astype(np.float32)
    for mode in "cubic", "linear":
        for place in "half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric":
            found = []
            for times in 2, 4, 8, 32:
                expected, seen = outputs(noise, times, mode, place)
                off = np.abs(seen - expected) > 1e-3
                rows, columns = off[:, SIDE * times // 2 :].any(1).sum(), off[SIDE * times // 2 :].any(0).sum()
                assert not off[rows:, columns:].any()
                found.append(f"{rows} and {columns} of {SIDE * times}")
            say(f"{mode}, {place}: wrong rows and columns {', '.join(found)}")
    for number in 0, 1, 4:
        coarse = np.zeros((1, 1, SIDE, SIDE), np.float32)
        coarse[..., number] = 1
        told = []
        for times in 8, 32:
            for name, map_ in zip(("ONNX Runtime", "MNN"), outputs(coarse, times, "cubic", "half_pixel")):
                places = np.flatnonzero(map_[SIDE * times // 2] > 0.5)
                runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
                told.append(f"{name} {' and '.join(f'{run[0]}-{run[-1]}' for run in runs)}")
        say(f"scratch in column {number} of {SIDE}: of {SIDE * 8} in {', '.join(told[:2])}; ", end="")
        say(f"of {SIDE * 32} in {', '.join(told[2:])}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    mnn==3.6.1 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" "$scratch" >"$scratch/log" 2>&1 ||
    tail "$scratch/log"
cat "$scratch/report"

# Output seen on 2026-12-01.
diff - "$scratch/report" <<'SEEN'
cubic, half_pixel: wrong rows and columns 1 and 1 of 16, 2 and 2 of 32, 4 and 4 of 64, 16 and 16 of 256
cubic, pytorch_half_pixel: wrong rows and columns 1 and 1 of 16, 2 and 2 of 32, 4 and 4 of 64, 16 and 16 of 256
cubic, align_corners: wrong rows and columns 0 and 0 of 16, 0 and 0 of 32, 0 and 0 of 64, 0 and 0 of 256
cubic, asymmetric: wrong rows and columns 0 and 0 of 16, 0 and 0 of 32, 0 and 0 of 64, 0 and 0 of 256
linear, half_pixel: wrong rows and columns 0 and 0 of 16, 0 and 0 of 32, 0 and 0 of 64, 0 and 0 of 256
linear, pytorch_half_pixel: wrong rows and columns 0 and 0 of 16, 0 and 0 of 32, 0 and 0 of 64, 0 and 0 of 256
linear, align_corners: wrong rows and columns 0 and 0 of 16, 0 and 0 of 32, 0 and 0 of 64, 0 and 0 of 256
linear, asymmetric: wrong rows and columns 0 and 0 of 16, 0 and 0 of 32, 0 and 0 of 64, 0 and 0 of 256
scratch in column 0 of 8: of 64 in ONNX Runtime 0-7, MNN 4-7; of 256 in ONNX Runtime 0-31, MNN 16-31
scratch in column 1 of 8: of 64 in ONNX Runtime 7-16, MNN 0-3 and 7-16; of 256 in ONNX Runtime 30-65, MNN 0-15 and 30-65
scratch in column 4 of 8: of 64 in ONNX Runtime 31-40, MNN 31-40; of 256 in ONNX Runtime 126-161, MNN 126-161
SEEN
