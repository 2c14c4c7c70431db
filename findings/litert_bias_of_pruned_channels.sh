#!/usr/bin/env bash
# LiteRT: post-training quantisation of a network of which some channels have weights of 0, or nearly so, and a bias:
# those that pruning or a decay of BatchNorm's scales has emptied, or a class whose score has become a constant.
#
# One would guess: such a channel is the easiest to quantise, as it is its bias whatever the image; with weights by
# channel, and biases of 32 or 64 bits, it stays what it was to a step of the output, as with ONNX Runtime's
# quantize_static.
# Seen: with litert-quantizer 0.11.0 (ai-edge-quantizer 0.10.0 alike) and ai-edge-litert 2.3.0 the bias of a channel
# with weights of 0 is lost, in convolutions and fully connected layers. Where the sound surface's score is 2 for every
# pixel and the defect's is taken from the image, so that pixels above 2 are defective, static_wi8_ai8 and
# static_wi8_ai16 call everything above 0 defective: 256 pixels for 9. It is so as well where the bias is more than some
# 66000 times the largest weight times the input's range, or with 16-bit activations, which one takes for more
# precision, more than 516 times. What is left of it then has the other sign. All that is said is NumPy's "invalid value
# encountered in cast". By its source (uniform_quantize_tensor.py), the step of the bias is that of the input times that
# of the weights, of which 32 bits hold no more than 2^31, also where they are then kept as 64; it is clipped to that,
# as float32, where the largest number is rounded up and turns negative, and the check that would raise an error
# (check_error) is off. dynamic_wi8_afp32, which leaves the bias as it is, is right. ONNX Runtime had the like (issue
# 21000 of microsoft/onnxruntime, mended by pull request 22020); that blocks of small weights of 4 bits get steps of 0
# is known (678 of google-ai-edge/ai-edge-quantizer), and of biases no issue was found.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from litert_quantizer import quantizer, recipe

SIDE = 16
RECIPES = "dynamic_wi8_afp32", "static_wi8_ai8", "static_wi8_ai16"


def network(weight, pixelwise):
    """A file with one layer, which gives two scores, [weight * pixel + 2, pixel], for each pixel or for one alone."""
    kernel = np.array([weight, 1], np.float32)
    inputs, outputs = ([1, SIDE, SIDE, 1], [1, SIDE, SIDE, 2]) if pixelwise else ([1, 1], [1, 2])
    shapes = {"image": inputs, "kernel": [2, 1, 1, 1] if pixelwise else [2, 1], "bias": [2], "scores": outputs}
    model, graph, operator, code = schema.ModelT(), schema.SubGraphT(), schema.OperatorT(), schema.OperatorCodeT()
    model.buffers = [schema.BufferT() for _ in shapes]
    for number, array in (1, kernel), (2, np.array([2, 0], np.float32)):
        model.buffers[number].data = np.frombuffer(array.tobytes(), np.uint8)
    graph.tensors = []
    for number, (name, shape) in enumerate(shapes.items()):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, np.array(shape, np.int32), schema.TensorType.FLOAT32
        tensor.buffer = number if number in (1, 2) else 0
        graph.tensors.append(tensor)
    kind = "CONV_2D" if pixelwise else "FULLY_CONNECTED"
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
    code.version = 1
    operator.inputs, operator.outputs = np.array([0, 1, 2], np.int32), np.array([3], np.int32)
    if pixelwise:
        operator.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
        operator.builtinOptions = schema.Conv2DOptionsT()
        operator.builtinOptions.strideH = operator.builtinOptions.strideW = 1
    else:
        operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        operator.builtinOptions = schema.FullyConnectedOptionsT()
    graph.operators = [operator]
    graph.inputs, graph.outputs = np.array([0], np.int32), np.array([3], np.int32)
    signature = schema.SignatureDefT()
    signature.signatureKey = "serving_default"
    signature.inputs, signature.outputs = [schema.TensorMapT()], [schema.TensorMapT()]
    signature.inputs[0].name, signature.inputs[0].tensorIndex = "image", 0
    signature.outputs[0].name, signature.outputs[0].tensorIndex = "scores", 3
    model.version, model.operatorCodes, model.subgraphs, model.signatureDefs = 3, [code], [graph], [signature]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def scores(file, image):
    interpreter = Interpreter(model_content=file)
    interpreter.allocate_tensors()
    given, taken = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    if given["dtype"] != np.float32:
        step, zero = given["quantization"]
        limits = np.iinfo(given["dtype"])
        image = np.clip(np.round(image / step) + zero, limits.min, limits.max).astype(given["dtype"])
    interpreter.set_tensor(given["index"], image)
    interpreter.invoke()
    found = interpreter.get_tensor(taken["index"])
    if taken["dtype"] != np.float32:
        step, zero = taken["quantization"]
        found = (found - float(zero)) * step
    return found


def all_of(weight, image, images):
    file = network(weight, image.ndim == 4)
    yield "float", scores(file, image)
    for name in RECIPES:
        made = quantizer.Quantizer(file, getattr(recipe, name)())
        calibrated = made.calibrate({"serving_default": [{"image": each} for each in images]})
        yield name.replace("_wi8", ""), scores(bytes(made.quantize(calibrated).quantized_model), image)


image = np.random.default_rng(0).uniform(0.2, 1, (1, SIDE, SIDE, 1)).astype(np.float32)
image[0, 7, 3:12] = 4  # a scratch of 9 pixels
print("seen: mean score of sound, and defective pixels:")
for weight in 0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2:
    told = []
    for name, found in all_of(weight, image, [image]):
        defective = (found[..., 1] > found[..., 0]).sum()
        told.append(f"{name} {found[..., 0].mean() + 0:.3f} and {defective}")
    print(f"seen:     weight {weight}: {', '.join(told)}")
lines = [np.array([[value]], np.float32) for value in (0, 4)]
told = [f"{name} {found[0, 0] + 0:.3f}" for name, found in all_of(0, lines[1], lines)]
print(f"seen: fully connected, weight 0, score of sound: {', '.join(told)}")
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    litert-quantizer==0.11.0 ai-edge-litert==2.3.0 flatbuffers==25.12.19 numpy==2.3.4
PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" >"$scratch/log" 2>&1 || tail "$scratch/log"
sed -n 's/^seen: //p' "$scratch/log" | tee "$scratch/seen"

# Output seen on 2026-12-01.
diff - "$scratch/seen" <<'SEEN'
mean score of sound, and defective pixels:
    weight 0: float 2.000 and 9, dynamic_afp32 2.000 and 9, static_ai8 0.000 and 256, static_ai16 0.000 and 256
    weight 1e-06: float 2.000 and 9, dynamic_afp32 2.000 and 9, static_ai8 0.000 and 256, static_ai16 -0.002 and 256
    weight 1e-05: float 2.000 and 9, dynamic_afp32 2.000 and 9, static_ai8 2.008 and 9, static_ai16 -0.021 and 256
    weight 0.0001: float 2.000 and 9, dynamic_afp32 2.000 and 9, static_ai8 2.008 and 9, static_ai16 -0.206 and 256
    weight 0.001: float 2.001 and 9, dynamic_afp32 2.001 and 9, static_ai8 2.008 and 9, static_ai16 2.001 and 9
    weight 0.01: float 2.007 and 9, dynamic_afp32 2.007 and 9, static_ai8 2.009 and 9, static_ai16 2.008 and 9
fully connected, weight 0, score of sound: float 2.000, dynamic_afp32 2.000, static_ai8 0.000, static_ai16 0.000
SEEN
