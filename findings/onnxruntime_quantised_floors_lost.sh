#!/usr/bin/env bash
# ONNX Runtime: quantising a network that holds the local brightness of an image above a floor before it divides by it.
#
# One would guess: the quantised network holds it above the floor too, to within a step of its 8 bits. quantize_static
# leaves activations out where the range of the 8 bits does what they do: Relu, and Clip with the limits of a Relu6.
# Seen: with onnxruntime 1.32.0 and onnx 1.23.2, it leaves out every Clip whose input it quantises, whatever its limits.
# The upper one is kept by the range that was calibrated on the output; the lower one is not, because a range always
# has 0 in it. So Clip(0.25, 1) of a brightness near 0 gives 0.25 in the network and 0.00 in the quantised one, in QDQ
# and in QOperator, for unsigned and signed bytes. Where the image is divided by it, a speck in the dark corner of a
# flat field, 0.2 in the network, becomes 4.3 and brighter than all else; a scratch in the middle stays as it was.
# Clip(0, 1) and Clip(0, 0.5) hold their limits, and so do all with ActivationSymmetric (mended after issue 11660 of
# microsoft/onnxruntime) or, in QDQ, with QDQKeepRemovableActivations. Nothing warns, and no issue was found that speaks
# of a lower limit above 0.
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
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

SIDE, SPECK, SCRATCH = 64, (2, 2), (slice(30, 34), slice(20, 44))
FILE, QUANTISED = f"{sys.argv[1]}/network.onnx", f"{sys.argv[1]}/quantised.onnx"


class Images(CalibrationDataReader):
    def __init__(self):
        self.images = iter([{"image": image}])

    def get_next(self):
        return next(self.images, None)


def write(floor, top):
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["brightness"], pads=[2] * 4),
        helper.make_node("Clip", ["brightness", "floor", "top"], ["held"]),
        helper.make_node("Div", ["image", "held"], ["even"]),
    ]
    names = "image", "held", "even"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, image.shape) for name in names]
    numbers = {"kernel": np.full((1, 1, 5, 5), 1 / 25), "floor": np.array(floor), "top": np.array(top)}
    weights = [numpy_helper.from_array(each.astype(np.float32), name) for name, each in numbers.items()]
    graph = helper.make_graph(nodes, "flat field", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), FILE)


def told(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    held, even = (each[0, 0] for each in session.run(["held", "even"], {"image": image}))
    values = held.min(), held.max(), even[SPECK], even[SCRATCH].mean()
    return "held in {:.2f}..{:.2f}, speck {:.1f}, scratch {:.1f}".format(*values)


away = np.hypot(*np.meshgrid(*[np.linspace(-1, 1, SIDE)] * 2)) / 2**0.5
image = np.clip(1 - 1.2 * away, 0.01, 1)
image[SPECK] += 0.05
image[SCRATCH] *= 0.6
image = image[None, None].astype(np.float32)
ways = {
    "QDQ": {},
    "QDQ, signed": {"activation_type": QuantType.QInt8},
    "QOperator": {"quant_format": QuantFormat.QOperator},
    "symmetric": {"activation_type": QuantType.QInt8, "extra_options": {"ActivationSymmetric": True}},
    "kept": {"extra_options": {"QDQKeepRemovableActivations": True}},
}
for floor, top in (0.0, 1.0), (0.0, 0.5), (0.25, 1.0):
    write(floor, top)
    print(f"Clip({floor}, {top}): {told(FILE)}")
    for name, options in ways.items():
        quantize_static(FILE, QUANTISED, Images(), **options)
        print(f"  {name}: {told(QUANTISED)}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    onnxruntime==1.32.0 onnx==1.23.2 numpy==2.3.4 sympy==1.14.0
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" "$scratch" 2>"$scratch/log" |
    tee "$scratch/seen" || tail "$scratch/log"

# Output seen on 2026-12-01.
diff - "$scratch/seen" <<'SEEN'
Clip(0.0, 1.0): held in 0.00..0.87, speck 5.0, scratch 0.8
  QDQ: held in 0.00..0.87, speck 4.3, scratch 0.8
  QDQ, signed: held in 0.00..0.87, speck 4.3, scratch 0.8
  QOperator: held in 0.00..0.87, speck 4.4, scratch 0.8
  symmetric: held in 0.00..0.87, speck 8.5, scratch 0.8
  kept: held in 0.00..0.87, speck 4.3, scratch 0.8
Clip(0.0, 0.5): held in 0.00..0.50, speck 5.0, scratch 1.0
  QDQ: held in 0.00..0.50, speck 4.3, scratch 1.0
  QDQ, signed: held in 0.00..0.50, speck 4.3, scratch 1.0
  QOperator: held in 0.00..0.50, speck 4.4, scratch 1.0
  symmetric: held in 0.00..0.50, speck 7.5, scratch 1.0
  kept: held in 0.00..0.50, speck 4.3, scratch 1.0
Clip(0.25, 1.0): held in 0.25..0.87, speck 0.2, scratch 0.8
  QDQ: held in 0.00..0.87, speck 4.3, scratch 0.8
  QDQ, signed: held in 0.00..0.87, speck 4.3, scratch 0.8
  QOperator: held in 0.00..0.87, speck 4.4, scratch 0.8
  symmetric: held in 0.25..0.87, speck 0.2, scratch 0.8
  kept: held in 0.25..0.87, speck 0.2, scratch 0.8
SEEN
