#!/usr/bin/env bash
# OpenCV: an ONNX MatMul of a batch of images by a stack of fixed matrices, one for each head of an attention or one for
# each place of the image, as the inverse covariances of PaDiM's distances are.
#
# One would guess: as in NumPy and ONNX Runtime, the stack is taken again for each image of the batch, and a batch gives
# what its images give one by one.
# Seen: with opencv-python-headless 5.0.0.93 and 4.13.0.92, one image gives the right products. With two or more, only
# those with the first matrix of the stack are right, in the first image as well as in the others; all others are some
# numbers of the same kind, at all sizes tried. It is the place of the matrices that is wrong: OpenCV keeps them packed,
# with other distances than those it counts by where one of both stacks is repeated. With the same matrices as an input
# of the network, everything is right. Of PaDiM's distances in batches, those of all places but the first are wrong, and
# squares come out negative. Nothing warns, both engines of 5.0 agree, and no issue was found that says so.
#
# Needs Python 3.11 or later.
set -euo pipefail

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/products.py" <<'PROGRAM'
import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

IMAGES, PLACES, HEADS, WIDTH = 3, 49, 4, 16
random = np.random.default_rng(0)
engines = {"classic": cv2.dnn.ENGINE_CLASSIC, "new": cv2.dnn.ENGINE_NEW} if cv2.__version__ >= "5" else {"only": None}


def network(nodes, inputs, constants, rank):
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, x.shape) for name, x in inputs.items()]
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, [None] * rank)
    fixed = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "network", values, [result], fixed)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def by_opencv(model, inputs, engine):
    net = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8), *([] if engine is None else [engine]))
    for name, array in inputs.items():
        net.setInput(array, name)
    return net.forward()


def by_onnxruntime(model, inputs):
    return onnxruntime.InferenceSession(model).run(None, inputs)[0]


def right(found, expected):
    return np.isclose(found, expected, rtol=1e-3, atol=1e-3)


def show_heads(images, engine, given=False):
    heads = {"heads": random.normal(size=(HEADS, WIDTH, 8)).astype(np.float32)}
    inputs = {"features": random.normal(size=(images, 1, PLACES, WIDTH)).astype(np.float32)}
    expected = inputs["features"].astype(np.float64) @ heads["heads"]
    inputs |= heads if given else {}
    product = [helper.make_node("MatMul", ["features", "heads"], ["result"])]
    model = network(product, inputs, {} if given else heads, 4)
    assert right(by_onnxruntime(model, inputs), expected).all()
    of_each = right(by_opencv(model, inputs, engine), expected).all((2, 3))
    kind = "given as an input" if given else "fixed"
    signs = ["".join(np.where(row, "+", "-")) for row in of_each]
    print(f"  {images} x {HEADS} products, heads {kind}:", *signs)


def show_distances(features, precisions, engine):
    nodes = [
        helper.make_node("MatMul", ["features", "precisions"], ["weighted"]),
        helper.make_node("Mul", ["weighted", "features"], ["products"]),
        helper.make_node("ReduceSum", ["products", "axes"], ["result"], keepdims=0),
    ]
    constants = {"precisions": precisions, "axes": np.array([2, 3])}
    expected = np.einsum("npic,pcd,npid->np", *(x.astype(np.float64) for x in (features, precisions, features)))
    together = network(nodes, {"features": features}, constants, 2)
    assert right(by_onnxruntime(together, {"features": features}), expected).all()
    found = by_opencv(together, {"features": features}, engine)
    single = network(nodes, {"features": features[:1]}, constants, 2)
    singly = np.concatenate([by_opencv(single, {"features": image[None]}, engine) for image in features])
    for name, distances in ("one by one", singly), (f"{IMAGES} at a time", found):
        count = right(distances, expected).sum()
        print(f"  distances {name}: {count} of {expected.size} right, some negative: {bool((distances < 0).any())}")


scales = random.normal(size=(PLACES, WIDTH, WIDTH))
covariances = scales @ scales.swapaxes(1, 2) / WIDTH + 0.1 * np.eye(WIDTH)
features = np.einsum("pcd,npid->npic", np.linalg.cholesky(covariances), random.normal(size=(IMAGES, PLACES, 1, WIDTH)))
for engine in engines.items():
    print(f"OpenCV {cv2.__version__}, {engine[0]} engine")
    for images in 1, 2, 3:
        show_heads(images, engine[1])
    show_heads(3, engine[1], given=True)
    show_distances(features.astype(np.float32), np.linalg.inv(covariances).astype(np.float32), engine[1])
PROGRAM

common=(onnx==1.23.2 onnxruntime==1.32.0 numpy==2.3.4)
"${PYTHON:-python3}" -m pip install --quiet --target "$scratch/site" "${common[@]}"
for version in 4.13.0.92 5.0.0.93; do
    "${PYTHON:-python3}" -m pip install --quiet --no-deps --target "$scratch/$version" \
        "opencv-python-headless==$version"
    PYTHONPATH="$scratch/$version:$scratch/site" "${PYTHON:-python3}" "$scratch/products.py" 2>"$scratch/log" ||
        tail "$scratch/log"
done | tee "$scratch/seen"

# Output seen on 2026-11-30.
diff - "$scratch/seen" <<'SEEN'
OpenCV 4.13.0, only engine
  1 x 4 products, heads fixed: ++++
  2 x 4 products, heads fixed: +--- +---
  3 x 4 products, heads fixed: +--- +--- +---
  3 x 4 products, heads given as an input: ++++ ++++ ++++
  distances one by one: 147 of 147 right, some negative: False
  distances 3 at a time: 3 of 147 right, some negative: True
OpenCV 5.0.0, classic engine
  1 x 4 products, heads fixed: ++++
  2 x 4 products, heads fixed: +--- +---
  3 x 4 products, heads fixed: +--- +--- +---
  3 x 4 products, heads given as an input: ++++ ++++ ++++
  distances one by one: 147 of 147 right, some negative: False
  distances 3 at a time: 3 of 147 right, some negative: True
OpenCV 5.0.0, new engine
  1 x 4 products, heads fixed: ++++
  2 x 4 products, heads fixed: +--- +---
  3 x 4 products, heads fixed: +--- +--- +---
  3 x 4 products, heads given as an input: ++++ ++++ ++++
  distances one by one: 147 of 147 right, some negative: False
  distances 3 at a time: 3 of 147 right, some negative: True
SEEN
