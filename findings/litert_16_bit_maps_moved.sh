#!/usr/bin/env bash
# LiteRT: a network with 8-bit weights and 16-bit activations (static_wi8_ai16 of ai-edge-quantizer 0.10.0, TFLite's
# 16x8), which one takes where 8 bits are too coarse, as for heights; its coarse map is brought to the image's size
# bilinearly.
#
# One would guess: the finer type gives the map of the float network to a ten-thousandth of its range, and in any case
# no worse than 8 bits do; pixels are where they were.
# Seen: with ai-edge-litert 2.3.0 the map is moved, by more pixels the further right and down they are. A scratch near
# the right edge of an image of 1000, 1080 or 2448 pixels (5-megapixel cameras have these), whose map is 32 times as
# coarse, is 6.5 pixels too far left, 7.4 and 15.5 too far right, and a defect in the last column keeps half of its
# width or grows by half. With align_corners it is up to 30 pixels, and no size tried is free of it. Float and int8 are
# right, and so is int16 without align_corners for 224, 512, 1600 or 2048 pixels, where 1024 times the map's side is a
# multiple of the image's: a test with those finds nothing. int8 is moved alike where XNNPACK isn't used, as by
# BUILTIN_WITHOUT_DEFAULT_DELEGATES ("plain" below). Nothing warns. By its source (ResizeBilinearInteger), the step from
# pixel to pixel is rounded to 1/1024 of a pixel of the coarse map and then multiplied by the pixel's number, so that
# the error is up to half a coarse pixel for each 1024 pixels, which are 16 where it is enlarged 32 times. A network
# that lost its accuracy by int8 upsampling was reported (56871 of tensorflow/tensorflow, closed for want of an answer);
# no issue was found that says this.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

SIDES = (7, 224), (16, 512), (50, 1600), (64, 2048), (25, 200), (32, 1000), (63, 1000), (34, 1080), (77, 2448)
LARGEST = {"float32": 1.0, "int16": 32000, "int8": 127}
PLAIN = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES


def network(kind, coarse, side, align):
    """A file with one operator, which resizes two rows [1, 2, coarse, 1] to two of `side` pixels."""

    def tensor(name, shape, type_, buffer=0):
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, np.array(shape, np.int32), type_, buffer
        if name != "size" and kind != "float32":
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale = np.array([1 / LARGEST[kind]], np.float32)
            made.quantization.zeroPoint = np.array([0])
        return made

    type_ = getattr(schema.TensorType, kind.upper())
    graph = schema.SubGraphT()
    graph.tensors = [
        tensor("map", [1, 2, coarse, 1], type_),
        tensor("size", [2], schema.TensorType.INT32, 1),
        tensor("large", [1, 2, side, 1], type_),
    ]
    graph.inputs, graph.outputs = np.array([0], np.int32), np.array([2], np.int32)
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = np.array([0, 1], np.int32), np.array([2], np.int32)
    operator.builtinOptionsType = schema.BuiltinOptions.ResizeBilinearOptions
    operator.builtinOptions = schema.ResizeBilinearOptionsT()
    operator.builtinOptions.alignCorners, operator.builtinOptions.halfPixelCenters = align, not align
    graph.operators = [operator]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RESIZE_BILINEAR
    code.version = 3
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT(), schema.BufferT()]
    model.buffers[1].data = np.frombuffer(np.array([2, side], np.int32).tobytes(), np.uint8)
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def enlarged(kind, line, side, align, **settings):
    interpreter = Interpreter(model_content=network(kind, line.size, side, align), **settings)
    interpreter.allocate_tensors()
    values = np.broadcast_to(line * LARGEST[kind], (1, 2, line.size))[..., None].astype(kind)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0, 0, :, 0] / LARGEST[kind]


def by_numpy(line, side, align):
    pixels = np.arange(side)
    places = pixels * (line.size - 1) / (side - 1) if align else (pixels + 0.5) * line.size / side - 0.5
    return np.interp(places, np.arange(line.size), line)


def all_of(line, side, align):
    return {
        "NumPy": by_numpy(line, side, align),
        "float32": enlarged("float32", line, side, align),
        "int8": enlarged("int8", line, side, align),
        "int16": enlarged("int16", line, side, align),
        "plain int8": enlarged("int8", line, side, align, experimental_op_resolver_type=PLAIN),
    }


def middle(large):
    return (large * np.arange(large.size)).sum() / large.sum()


for align in False, True:
    print(f"middle of a scratch in the third column from the right, align_corners {align}:")
    for coarse, side in SIDES:
        line = np.zeros(coarse)
        line[-3] = 1
        places = {name: middle(large) for name, large in all_of(line, side, align).items()}
        right = places.pop("NumPy")
        moved = ", ".join(f"{name} {round(place - right, 1) + 0:+}" for name, place in places.items())
        print(f"    {coarse} columns to {side}: {right:.1f}, {moved}")
print("pixels above a half, first to last, of a defect in the last column:")
for coarse, side in (63, 1000), (77, 2448):
    line = np.zeros(coarse)
    line[-1] = 1
    found = {name: np.flatnonzero(large > 0.5) for name, large in all_of(line, side, False).items()}
    print(f"    {coarse} columns to {side}:", ", ".join(f"{name} {each[0]}-{each[-1]}" for name, each in found.items()))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    ai-edge-litert==2.3.0 flatbuffers==25.12.19 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" 2>"$scratch/log" | tee "$scratch/seen" ||
    cat "$scratch/log"

# Output seen on 2026-12-01.
diff - "$scratch/seen" <<'SEEN'
middle of a scratch in the third column from the right, align_corners False:
    7 columns to 224: 143.5, float32 +0.0, int8 +0.0, int16 +0.0, plain int8 +0.0
    16 columns to 512: 431.5, float32 +0.0, int8 +0.0, int16 +0.0, plain int8 +0.0
    50 columns to 1600: 1519.5, float32 +0.0, int8 +0.0, int16 +0.0, plain int8 +0.0
    64 columns to 2048: 1967.5, float32 +0.0, int8 +0.0, int16 +0.0, plain int8 +0.0
    25 columns to 200: 179.5, float32 +0.0, int8 +0.0, int16 +0.0, plain int8 +0.0
    32 columns to 1000: 921.4, float32 +0.0, int8 +0.0, int16 -6.5, plain int8 -6.5
    63 columns to 1000: 959.8, float32 +0.0, int8 +0.1, int16 -7.2, plain int8 -7.2
    34 columns to 1080: 1000.1, float32 +0.0, int8 -0.1, int16 +7.4, plain int8 +7.4
    77 columns to 2448: 2368.0, float32 +0.0, int8 +0.0, int16 +15.5, plain int8 +15.5
middle of a scratch in the third column from the right, align_corners True:
    7 columns to 224: 148.7, float32 +0.0, int8 +0.0, int16 -2.4, plain int8 -2.4
    16 columns to 512: 442.9, float32 +0.0, int8 +0.0, int16 +0.9, plain int8 +0.9
    50 columns to 1600: 1533.7, float32 +0.0, int8 +0.0, int16 +18.8, plain int8 +18.8
    64 columns to 2048: 1982.0, float32 +0.0, int8 +0.0, int16 -30.0, plain int8 -30.0
    25 columns to 200: 182.4, float32 +0.0, int8 +0.0, int16 +0.7, plain int8 +0.7
    32 columns to 1000: 934.5, float32 +0.0, int8 +0.0, int16 -6.5, plain int8 -6.5
    63 columns to 1000: 966.8, float32 +0.0, int8 +0.0, int16 -6.8, plain int8 -6.8
    34 columns to 1080: 1013.6, float32 +0.0, int8 +0.0, int16 +10.4, plain int8 +10.4
    77 columns to 2448: 2382.6, float32 +0.0, int8 +0.0, int16 -14.6, plain int8 -14.6
pixels above a half, first to last, of a defect in the last column:
    63 columns to 1000: NumPy 984-999, float32 984-999, int8 984-999, int16 977-999, plain int8 977-999
    77 columns to 2448: NumPy 2416-2447, float32 2416-2447, int8 2416-2447, int16 2432-2447, plain int8 2432-2447
SEEN
