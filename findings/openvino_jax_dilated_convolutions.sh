#!/usr/bin/env bash
# OpenVINO: reading a JAX network directly, by openvino.convert_model of its jaxpr, without ONNX between.
#
# One would guess: what the reader cannot translate it refuses by name, as it does for most operations of JAX; what it
# takes computes the same to 1e-4.
# Seen: with openvino 2026.4.1 and jax 0.10.2, plain, strided and grouped convolutions are right to 1e-4. Of a dilated
# convolution (DeepLab's, a context module's) the dilation is left out, and a transposed one (the decoder's upsampling)
# becomes a convolution that is dilated instead: the reader takes lhs_dilation, which spreads the image, for the
# kernel's and passes over rhs_dilation, which is the kernel's. Nothing warns. A map comes out in another size, larger
# or not enlarged; where classes are told from the mean over the map, as in most classifiers, all shapes are right and
# only the scores are wrong. No issue was found that says so.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/measure.py" <<'PROGRAM'
import jax
import numpy as np
import openvino
from jax import lax

random = np.random.default_rng(0)
IMAGE = random.normal(size=(1, 32, 48, 4)).astype(np.float32)
KERNEL = random.normal(size=(3, 3, 4, 4)).astype(np.float32) / 6
AXES = "NHWC", "HWIO", "NHWC"
CPU = "CPU", {"INFERENCE_PRECISION_HINT": "f32"}


def convolution(strides=1, padding="SAME", kernel=KERNEL, **choices):
    return lambda image: lax.conv_general_dilated(
        image, kernel, (strides,) * 2, padding, dimension_numbers=AXES, **choices
    )


def classes(features):
    return lambda image: lax.max(features(image), np.float32(0)).mean((1, 2))


def by_jax(network):
    return np.asarray(jax.jit(network)(IMAGE))


def by_openvino(network):
    return openvino.compile_model(openvino.convert_model(jax.make_jaxpr(network)(IMAGE)), *CPU)(IMAGE)[0]


def show(name, network):
    expected, found = by_jax(network), by_openvino(network)
    if found.shape != expected.shape:
        return print(f"{name}: {found.shape[1:3]} instead of {expected.shape[1:3]} pixels")
    right = np.allclose(found, expected, atol=1e-4)
    scores = [" ".join(f"{score:.2f}" for score in each[0]) for each in (found, expected)] if expected.ndim == 2 else []
    print(f"{name}:", "right" if right else " instead of ".join(scores) or "wrong")


def upsampling(image):
    return lax.conv_transpose(image, KERNEL, (2, 2), "SAME")


show("convolution", convolution())
show("convolution, stride 2", convolution(2))
show("convolution, 4 groups", convolution(kernel=KERNEL[:, :, :1], feature_group_count=4))
show("convolution, kernel dilated 2 times", convolution(rhs_dilation=(2, 2)))
show("convolution, kernel dilated 4 times", convolution(rhs_dilation=(4, 4)))
show("transposed convolution, stride 2", upsampling)
show("classes by a convolution", classes(convolution()))
show("classes by a convolution, kernel dilated 2 times", classes(convolution(rhs_dilation=(2, 2))))
show("classes by a convolution, kernel dilated 4 times", classes(convolution(rhs_dilation=(4, 4))))
show("classes by a transposed convolution", classes(upsampling))
spread = by_openvino(convolution(padding=((4, 4),) * 2, lhs_dilation=(2, 2)))
dilated = by_jax(convolution(padding=((4, 4),) * 2, rhs_dilation=(2, 2)))
print("lhs_dilation in OpenVINO is rhs_dilation in JAX:", np.allclose(spread, dilated, atol=1e-4))
try:
    openvino.convert_model(jax.make_jaxpr(lambda image: lax.abs(image))(IMAGE))
except Exception as error:
    print("what it does not know it refuses:", "No conversion rule found for operations: abs" in str(error))
PROGRAM

"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" \
    openvino==2026.4.1 jax==0.10.2 jaxlib==0.10.2 numpy==2.3.4 packaging==26.0
JAX_PLATFORMS=cpu PYTHONPATH="$scratch/site" "${PYTHON:-python3}" "$scratch/measure.py" 2>"$scratch/log" |
    tee "$scratch/seen" || tail "$scratch/log"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
convolution: right
convolution, stride 2: right
convolution, 4 groups: right
convolution, kernel dilated 2 times: (34, 50) instead of (32, 48) pixels
convolution, kernel dilated 4 times: (38, 54) instead of (32, 48) pixels
transposed convolution, stride 2: (31, 47) instead of (64, 96) pixels
classes by a convolution: right
classes by a convolution, kernel dilated 2 times: 0.43 0.46 0.42 0.42 instead of 0.39 0.41 0.40 0.40
classes by a convolution, kernel dilated 4 times: 0.43 0.46 0.42 0.42 instead of 0.38 0.41 0.38 0.37
classes by a transposed convolution: 0.09 0.10 0.10 0.10 instead of 0.19 0.20 0.19 0.19
lhs_dilation in OpenVINO is rhs_dilation in JAX: True
what it does not know it refuses: True
SEEN
