#!/usr/bin/env bash
# OpenVINO: saving a network that itself normalises a grey image and a height map in nanometres.
#
# One would guess: openvino.save_model, which compresses weights to float16 unless told otherwise, leaves constants in
# float32 that float16 cannot hold, as a mean height of 120000, or says that it changes them.
# Seen: with openvino 2026.4.1 a constant with numbers out of float16's range stays in float32 where these are more than
# three quarters of its numbers, as where the height map is the only channel. Beside one grey channel, or three of
# colour, the mean of the heights is clamped to 65504, so that every height is taken for 1.8 standard deviations higher
# than it is: where 1024 pixels are defective by their height, eleven thousand are found. Nothing warns, neither when
# the network is saved nor when it is read. It is the same by read_model and by convert_model (and for a network from
# PyTorch, which is not shown here). In micrometres, or with compress_to_fp16=False, the saved network is right. Pull
# requests of OpenVINO speak of the three quarters (34744), its documentation only of a minor drop in accuracy.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import sys
import warnings

import numpy as np
import onnx
import openvino
from onnx import TensorProto, helper, numpy_helper

warnings.simplefilter("error")
CPU = "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
SIZE = 128
random = np.random.default_rng(0)


def exported(mean, std):
    """(image - mean) / std, and a convolution whose second channel is the height's place in standard deviations."""
    channels = len(mean)
    kernel = np.zeros((2, channels, 1, 1), np.float32)
    kernel[0, 0] = kernel[1, -1] = 1
    constants = {
        "mean": np.array(mean, np.float32).reshape(1, channels, 1, 1),
        "std": np.array(std, np.float32).reshape(1, channels, 1, 1),
        "kernel": kernel,
    }
    nodes = [
        helper.make_node("Sub", ["image", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["normalised"]),
        helper.make_node("Conv", ["normalised", "kernel"], ["map"]),
    ]
    shape = [1, channels, SIZE, SIZE]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 2, SIZE, SIZE])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    path = f"{sys.argv[1]}/network.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def saved(read, path, **choices):
    openvino.save_model(read(path), f"{sys.argv[1]}/saved.xml", **choices)
    return openvino.Core().compile_model(f"{sys.argv[1]}/saved.xml", *CPU)


def surface(mean, std):
    """Heights within one standard deviation of the mean, but for 32 x 32 pixels that are three higher."""
    image = random.uniform(-1, 1, (1, len(mean), SIZE, SIZE)).astype(np.float32)
    image[:, -1, 20:52, 40:72] += 3
    return image * np.array(std, np.float32)[:, None, None] + np.array(mean, np.float32)[:, None, None]


def show(name, mean, std):
    path, image = exported(mean, std), surface(mean, std)
    core = openvino.Core()
    expected = core.compile_model(core.read_model(path), *CPU)(image)[0]
    print(f"{name}: {np.count_nonzero(expected[:, 1] > 1.5)} defective pixels before it is saved")
    for way, read in {"read_model": core.read_model, "convert_model": openvino.convert_model}.items():
        for text, choices in {"": {}, ", compress_to_fp16=False": {"compress_to_fp16": False}}.items():
            found = saved(read, path, **choices)(image)[0]
            off = np.abs(found - expected).max((0, 2, 3))
            print(
                f"  {way}{text}: {np.count_nonzero(found[:, 1] > 1.5)} defective,",
                f"grey off by {off[0]:.1f}, height by {off[1]:.1f} standard deviations",
            )


show("grey and height in nm", [0.45, 120000], [0.2, 30000])
show("red, green, blue and height in nm", [0.45, 0.4, 0.4, 120000], [0.2, 0.2, 0.2, 30000])
show("grey and height in um", [0.45, 120], [0.2, 30])
show("height in nm alone", [120000], [30000])
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    openvino==2026.4.1 onnx==1.23.2 numpy==2.3.4 packaging==26.0
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" "$scratch" 2>"$scratch/log" |
    tee "$scratch/seen" || tail "$scratch/log"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
grey and height in nm: 1024 defective pixels before it is saved
  read_model: 11182 defective, grey off by 0.0, height by 1.8 standard deviations
  read_model, compress_to_fp16=False: 1024 defective, grey off by 0.0, height by 0.0 standard deviations
  convert_model: 11179 defective, grey off by 0.0, height by 1.8 standard deviations
  convert_model, compress_to_fp16=False: 1024 defective, grey off by 0.0, height by 0.0 standard deviations
red, green, blue and height in nm: 1024 defective pixels before it is saved
  read_model: 11172 defective, grey off by 0.0, height by 1.8 standard deviations
  read_model, compress_to_fp16=False: 1024 defective, grey off by 0.0, height by 0.0 standard deviations
  convert_model: 11170 defective, grey off by 0.0, height by 1.8 standard deviations
  convert_model, compress_to_fp16=False: 1024 defective, grey off by 0.0, height by 0.0 standard deviations
grey and height in um: 1024 defective pixels before it is saved
  read_model: 1024 defective, grey off by 0.0, height by 0.0 standard deviations
  read_model, compress_to_fp16=False: 1024 defective, grey off by 0.0, height by 0.0 standard deviations
  convert_model: 1024 defective, grey off by 0.0, height by 0.0 standard deviations
  convert_model, compress_to_fp16=False: 1024 defective, grey off by 0.0, height by 0.0 standard deviations
height in nm alone: 1024 defective pixels before it is saved
  read_model: 1024 defective, grey off by 0.0, height by 0.0 standard deviations
  read_model, compress_to_fp16=False: 1024 defective, grey off by 0.0, height by 0.0 standard deviations
  convert_model: 1024 defective, grey off by 0.0, height by 0.0 standard deviations
  convert_model, compress_to_fp16=False: 1024 defective, grey off by 0.0, height by 0.0 standard deviations
SEEN
