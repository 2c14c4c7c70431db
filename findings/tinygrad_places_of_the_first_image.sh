#!/usr/bin/env bash
# tinygrad: an ONNX network that cuts out the most suspicious part of an image for a second look, keeps the boxes whose
# score is high enough, or gives as many boxes as it is asked for.
#
# One would guess: where to cut (Slice), what to keep (Compress) and how many (TopK) are computed or read anew for each
# image, as everything else of a network; with tinygrad's own compilation (TinyJit) they may be fixed, without it not.
# Seen: with tinygrad 0.14.0 they are those of the first image for as long as an OnnxRunner lives, without TinyJit too:
# all later images are cut where the first one had its defect, so that theirs are out of sight, and of the scores those
# are kept that were high in the first image. A K or a size that is an input keeps its first value as well: a map that
# is asked for in other sizes always has the first one. A new runner for each image is right. Nothing warns. By its
# source (nn/onnx.py), such arguments (of Slice, Compress, TopK, Resize, Pad, OneHot, Range and others) are turned into
# Python numbers and kept by the name of their tensor; a comment says that inputs which change will be wrong, and takes
# all that is computed for a constant of the shapes. Gather, whose indices were taken so too, was mended in January 2026
# (pull request 14185 of tinygrad/tinygrad); no issue was found of the others.
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
from tinygrad.nn.onnx import OnnxRunner

WRITTEN = sys.argv[1]
SIDE = 12


def run(name, nodes, rank, constants, images, told):
    """What is told of each image's output by ONNX Runtime, by one runner of tinygrad, and by one for each image."""
    inputs = images[0]
    kinds = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in inputs.items()}
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node(operator, taken, given, **attributes) for operator, taken, given, attributes in nodes],
            "network",
            [helper.make_tensor_value_info(name, kinds[name], array.shape) for name, array in inputs.items()],
            [helper.make_tensor_value_info("found", TensorProto.FLOAT, [None] * rank)],
            [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, WRITTEN)
    session = onnxruntime.InferenceSession(WRITTEN, providers=["CPUExecutionProvider"])
    runner = OnnxRunner(WRITTEN)
    print(f"{name}:")
    for number, image in enumerate(images, 1):
        expected = told(session.run(None, image)[0])
        seen = told(runner(image)["found"].numpy())
        anew = told(OnnxRunner(WRITTEN)(image)["found"].numpy())
        assert anew == expected
        print(f"    {number}: ONNX Runtime and new runners {expected}, one runner {seen}")


def with_defect(row, column):
    image = np.full((SIDE, SIDE), 0.1, np.float32)
    image[row, column] = 0.9
    return {"image": image}


def largest(part):
    return f"{part.shape[0]} x {part.shape[1]}, up to {part.max():.1f}"


def rounded(values):
    return [round(float(value), 2) for value in values]


images = [with_defect(2, 3), with_defect(8, 9), with_defect(6, 1)]
run(
    "cut out from the place of the highest score",
    [
        ("Reshape", ["image", "all"], ["pixels"], {}),
        ("ArgMax", ["pixels"], ["pixel"], {"axis": 0, "keepdims": 1}),
        ("Div", ["pixel", "side"], ["row"], {}),
        ("Mod", ["pixel", "side"], ["column"], {}),
        ("Concat", ["row", "column"], ["start"], {"axis": 0}),
        ("Add", ["start", "size"], ["end"], {}),
        ("Slice", ["image", "start", "end"], ["found"], {}),
    ],
    2,
    {"all": [-1], "side": [SIDE], "size": [3, 3]},
    images,
    largest,
)
scores = [0.9, 0.1, 0.8, 0.2, 0.1], [0.1, 0.95, 0.2, 0.1, 0.7], [0.1, 0.6, 0.1, 0.3, 0.1]
boxes = [{"scores": np.array(each, np.float32)} for each in scores]
run(
    "scores above 0.5",
    [
        ("Greater", ["scores", "threshold"], ["high"], {}),
        ("Compress", ["scores", "high"], ["found"], {"axis": 0}),
    ],
    1,
    {"threshold": np.float32(0.5)},
    boxes,
    rounded,
)
asked = [box | {"number": np.array([number])} for box, number in zip(boxes, (1, 3, 2))]
run(
    "as many of the highest scores as are asked for",
    [("TopK", ["scores", "number"], ["found", "which"], {})],
    1,
    {},
    asked,
    rounded,
)
coarse = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)
sized = [{"coarse": coarse, "size": np.array([1, 1, side, side])} for side in (4, 8, 3)]
run(
    "map in the size that is asked for",
    [("Resize", ["coarse", "", "", "size"], ["found"], {"mode": "linear"})],
    4,
    {},
    sized,
    lambda map_: map_.shape,
)
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    tinygrad==0.14.0 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.3.4
PYTHONPATH="$scratch/site" DEV=PYTHON "${PYTHON:-python3}" "$scratch/measure.py" "$scratch/network.onnx" |
    tee "$scratch/seen"

# Output seen on 2026-12-01.
diff - "$scratch/seen" <<'SEEN'
cut out from the place of the highest score:
    1: ONNX Runtime and new runners 3 x 3, up to 0.9, one runner 3 x 3, up to 0.9
    2: ONNX Runtime and new runners 3 x 3, up to 0.9, one runner 3 x 3, up to 0.1
    3: ONNX Runtime and new runners 3 x 3, up to 0.9, one runner 3 x 3, up to 0.1
scores above 0.5:
    1: ONNX Runtime and new runners [0.9, 0.8], one runner [0.9, 0.8]
    2: ONNX Runtime and new runners [0.95, 0.7], one runner [0.1, 0.2]
    3: ONNX Runtime and new runners [0.6], one runner [0.1, 0.1]
as many of the highest scores as are asked for:
    1: ONNX Runtime and new runners [0.9], one runner [0.9]
    2: ONNX Runtime and new runners [0.95, 0.7, 0.2], one runner [0.95]
    3: ONNX Runtime and new runners [0.6, 0.3], one runner [0.6]
map in the size that is asked for:
    1: ONNX Runtime and new runners (1, 1, 4, 4), one runner (1, 1, 4, 4)
    2: ONNX Runtime and new runners (1, 1, 8, 8), one runner (1, 1, 4, 4)
    3: ONNX Runtime and new runners (1, 1, 3, 3), one runner (1, 1, 4, 4)
SEEN
