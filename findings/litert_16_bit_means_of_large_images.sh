#!/usr/bin/env bash
# LiteRT: the mean over an image or a map in a network with 16-bit activations (static_wi8_ai16 of ai-edge-quantizer
# 0.10.0, TFLite's 16x8): the brightness, to subtract it, or the share of defective pixels.
#
# One would guess: the mean of any image is right to a step of 16 bits, as its sums are kept in 64 bits as those of
# convolutions are in 16x8 networks; at least it is no worse than that of 8 bits.
# Seen: with ai-edge-litert 2.3.0, MEAN and AVERAGE_POOL_2D sum up in 32 bits, which overflow above 65538 pixels for an
# image that is as bright as its type allows, and above thrice as many for a third of that. An image of 400 x 400 pixels
# whose mean is 0.5 has -0.32, so that less its own mean it lies at 0.82 instead of 0. Of 512 x 512 pixels a mean of 0.3
# is -0.2, and one of 0.5 or 1 is 0, as of 1024 x 1024 and more, where one of 0.3 is 0.05 or -0.01. It is so with
# OpResolverType.BUILTIN_REF too, and nothing warns. 8 bits are right up to 2048 x 2048, and 16 bits up to 256 x 256,
# with which one tests. A mean of the columns and then of the rows is right, as no sum is large. A sum of 8 bits that is
# wrong because it is read as uint8 is known (102490 of tensorflow/tensorflow); no issue was found of this.
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

LARGEST = {"int16": 32767, "int8": 127}


def network(kind, side, way):
    """A file that takes the mean of an image by MEAN, AVERAGE_POOL_2D, or MEAN of columns and then of rows."""
    graph, model, pooled = schema.SubGraphT(), schema.ModelT(), way == "AVERAGE_POOL_2D"
    axes = {"MEAN": [[1, 2]], "AVERAGE_POOL_2D": [None], "MEAN twice": [[1], [1]]}[way]
    graph.tensors, graph.operators, model.buffers = [], [], [schema.BufferT()]

    def tensor(name, shape, integers=None):
        made = schema.TensorT()
        made.name, made.shape, made.buffer = name, np.array(shape, np.int32), 0
        if integers is None:
            made.type = getattr(schema.TensorType, kind.upper())
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale = np.array([1 / LARGEST[kind]], np.float32)
            made.quantization.zeroPoint = np.array([0])
        else:
            made.type, made.buffer = schema.TensorType.INT32, len(model.buffers)
            model.buffers.append(schema.BufferT())
            model.buffers[-1].data = np.frombuffer(np.array(integers, np.int32).tobytes(), np.uint8)
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    shape = [1, side, side, 1]
    given = first = tensor("image", shape)
    for each in axes:
        operator = schema.OperatorT()
        if pooled:
            shape, taken = [1, 1, 1, 1], [given]
            options = schema.Pool2DOptionsT()
            options.filterHeight = options.filterWidth = side
            options.strideH = options.strideW = 1
            options.padding = schema.Padding.VALID
            operator.builtinOptionsType = schema.BuiltinOptions.Pool2DOptions
        else:
            taken = [given, tensor("axes", [len(each)], each)]
            shape = [length for axis, length in enumerate(shape) if axis not in each]
            options = schema.ReducerOptionsT()
            operator.builtinOptionsType = schema.BuiltinOptions.ReducerOptions
        given = tensor("mean", shape)
        operator.builtinOptions, operator.inputs = options, np.array(taken, np.int32)
        operator.outputs = np.array([given], np.int32)
        graph.operators.append(operator)
    graph.inputs, graph.outputs = np.array([first], np.int32), np.array([given], np.int32)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, way.split()[0])
    code.version = 3 if pooled else 2
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def mean(kind, way, image, **settings):
    interpreter = Interpreter(model_content=network(kind, image.shape[1], way), **settings)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.round(image * LARGEST[kind]).astype(kind))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).item() / LARGEST[kind]


for side in 256, 257, 400, 512, 1024, 2048:
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, (1, side, side, 1))
    noise -= noise.mean()
    print(f"images of {side} x {side} pixels:")
    for brightness in 0.3, 0.5, 1:
        image = np.clip(brightness + noise * (brightness < 1), 0, 1)
        told = []
        for kind, way in ("int8", "MEAN"), ("int16", "MEAN"), ("int16", "AVERAGE_POOL_2D"), ("int16", "MEAN twice"):
            found = mean(kind, way, image)
            assert found == mean(kind, way, image, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
            told.append(f"{way} of {kind} {round(found, 2) + 0:.2f}")
        print(f"    mean of {image.mean():.2f}: {', '.join(told)}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    ai-edge-litert==2.3.0 flatbuffers==25.12.19 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" 2>"$scratch/log" | tee "$scratch/seen" ||
    cat "$scratch/log"

# Output seen on 2026-12-01.
diff - "$scratch/seen" <<'SEEN'
images of 256 x 256 pixels:
    mean of 0.30: MEAN of int8 0.30, MEAN of int16 0.30, AVERAGE_POOL_2D of int16 0.30, MEAN twice of int16 0.30
    mean of 0.50: MEAN of int8 0.50, MEAN of int16 0.50, AVERAGE_POOL_2D of int16 0.50, MEAN twice of int16 0.50
    mean of 1.00: MEAN of int8 1.00, MEAN of int16 1.00, AVERAGE_POOL_2D of int16 1.00, MEAN twice of int16 1.00
images of 257 x 257 pixels:
    mean of 0.30: MEAN of int8 0.30, MEAN of int16 0.30, AVERAGE_POOL_2D of int16 0.30, MEAN twice of int16 0.30
    mean of 0.50: MEAN of int8 0.50, MEAN of int16 0.50, AVERAGE_POOL_2D of int16 0.50, MEAN twice of int16 0.50
    mean of 1.00: MEAN of int8 1.00, MEAN of int16 -0.98, AVERAGE_POOL_2D of int16 -0.98, MEAN twice of int16 1.00
images of 400 x 400 pixels:
    mean of 0.30: MEAN of int8 0.30, MEAN of int16 0.30, AVERAGE_POOL_2D of int16 0.30, MEAN twice of int16 0.30
    mean of 0.50: MEAN of int8 0.50, MEAN of int16 -0.32, AVERAGE_POOL_2D of int16 -0.32, MEAN twice of int16 0.50
    mean of 1.00: MEAN of int8 1.00, MEAN of int16 0.18, AVERAGE_POOL_2D of int16 0.18, MEAN twice of int16 1.00
images of 512 x 512 pixels:
    mean of 0.30: MEAN of int8 0.30, MEAN of int16 -0.20, AVERAGE_POOL_2D of int16 -0.20, MEAN twice of int16 0.30
    mean of 0.50: MEAN of int8 0.50, MEAN of int16 0.00, AVERAGE_POOL_2D of int16 0.00, MEAN twice of int16 0.50
    mean of 1.00: MEAN of int8 1.00, MEAN of int16 0.00, AVERAGE_POOL_2D of int16 0.00, MEAN twice of int16 1.00
images of 1024 x 1024 pixels:
    mean of 0.30: MEAN of int8 0.30, MEAN of int16 0.05, AVERAGE_POOL_2D of int16 0.05, MEAN twice of int16 0.30
    mean of 0.50: MEAN of int8 0.50, MEAN of int16 0.00, AVERAGE_POOL_2D of int16 0.00, MEAN twice of int16 0.50
    mean of 1.00: MEAN of int8 1.00, MEAN of int16 0.00, AVERAGE_POOL_2D of int16 0.00, MEAN twice of int16 1.00
images of 2048 x 2048 pixels:
    mean of 0.30: MEAN of int8 0.30, MEAN of int16 -0.01, AVERAGE_POOL_2D of int16 -0.01, MEAN twice of int16 0.30
    mean of 0.50: MEAN of int8 0.50, MEAN of int16 0.00, AVERAGE_POOL_2D of int16 0.00, MEAN twice of int16 0.50
    mean of 1.00: MEAN of int8 1.00, MEAN of int16 0.00, AVERAGE_POOL_2D of int16 0.00, MEAN twice of int16 1.00
SEEN
