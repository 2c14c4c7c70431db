"""An ONNX file computes what the live network does: each ablation, schedule and size, also on real images."""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from real_images import mtdd_images
from realistic_variables import live_outputs, realistic_variables
from tiny_network import FIELDS

from dms_jax.data.framing import Framing
from dms_jax.errors import UserError
from dms_jax.inference.description import ModelDescription, OperatingPoint
from dms_jax.inference.exported.onnx_file import make_onnx_model, metadata_of, save_onnx_model
from dms_jax.inference.exported.onnx_session import OnnxPredictor
from dms_jax.models.dms import ABLATIONS, BDMS, BDMS_SCHEDULE, DMS, SDMS, SDMS_SCHEDULE, SIZES
from dms_jax.models.resnext import BACKBONES

DESCRIPTION = ModelDescription(
    ("free", "crack, open", "Löcher"), "free", Framing("letterbox", size=64), OperatingPoint(90, "given")
)
RANDOM = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
# Sizes that no stride divides, others that all do, and smaller than the last stride.
SHAPES = ((1, 64, 64), (3, 65, 97), (1, 20, 33))


def images_of(batch: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (batch, height, width, 3), np.uint8)


def predictor_of(model: DMS, variables: Any, outputs: Any = "all") -> OnnxPredictor:
    return OnnxPredictor(make_onnx_model(model, variables, DESCRIPTION, outputs).SerializeToString(), threads=2)


def differences(predictor: OnnxPredictor, model: DMS, variables: Any, images: np.ndarray) -> Iterator[float]:
    saliency, probabilities = predictor(images)
    own_saliency, own_probabilities = live_outputs(model, variables, images)
    assert saliency.shape == own_saliency.shape
    # A graph that says the same whatever it is shown would agree with a network that does.
    assert own_saliency.std() > 0.03
    yield np.abs(saliency - own_saliency).max()
    if own_probabilities is None:
        assert probabilities.shape == (len(images), 0, 3)
    else:
        assert probabilities.shape == own_probabilities.shape
        yield np.abs(probabilities - own_probabilities).max()


NETWORKS = [
    BDMS(**FIELDS),
    *(DMS(**FIELDS, schedule=("HF", "MF"), ablation=ablation) for ablation in ABLATIONS if ablation),
    SDMS(**FIELDS, ablation="c", feature_growth="reduce"),
    BDMS(**FIELDS, feature_growth="reduce"),
    DMS(**FIELDS, schedule=("LF", "HF", "reset MF", "LF")),
    DMS(**FIELDS, schedule=("HF", "LF", "MF"), ablation="d"),
    DMS(**FIELDS, schedule=("HF", "reset HF", "LF")),
    SDMS(**FIELDS, class_pooling="saliency"),
    SDMS(**FIELDS, class_pooling="blend"),
]


@pytest.mark.parametrize("model", NETWORKS, ids=lambda m: f"{m.ablation}-{m.feature_growth}-{'-'.join(m.schedule)}")
def test_the_graph_computes_what_the_network_does(model: DMS) -> None:
    variables = realistic_variables(model, RANDOM)
    predictor = predictor_of(model, variables)
    for shape in SHAPES if model is NETWORKS[0] else SHAPES[1:2]:
        assert max(differences(predictor, model, variables, images_of(*shape))) < 1e-4


def test_the_final_output_alone_is_the_last_of_all() -> None:
    model = SDMS(**FIELDS)
    variables = realistic_variables(model, RANDOM)
    images = images_of(2, 64, 96)
    every, final = (predictor_of(model, variables, outputs)(images) for outputs in ("all", "final"))
    for a, b in zip(every, final, strict=True):
        assert a[:, -1:].shape == b.shape
        np.testing.assert_allclose(a[:, -1:], b, atol=1e-6)


def test_real_images() -> None:
    images = mtdd_images(96, 6)
    model = BDMS(**{**FIELDS, **SIZES["small"], "num_classes": 3})
    variables = realistic_variables(model, images)
    assert max(differences(predictor_of(model, variables), model, variables, images)) < 1e-4


@pytest.mark.full
def test_real_images_at_full_size() -> None:
    images = mtdd_images(300, 2)
    model = BDMS(num_classes=3)
    variables = realistic_variables(model, images)
    predictor = predictor_of(model, variables)
    assert max(differences(predictor, model, variables, images)) < 1e-4
    # Another size and batch.
    assert max(differences(predictor, model, variables, images[:1, :160, :224])) < 1e-4


def test_openvino_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    # Else its first import sends usage data from a forked process, of which JAX warns at whatever moment that is.
    monkeypatch.setitem(sys.modules, "openvino_telemetry", None)
    openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")
    model = BDMS(**FIELDS)
    variables = realistic_variables(model, RANDOM)
    core = openvino.Core()
    exported = core.read_model(make_onnx_model(model, variables, DESCRIPTION, "all").SerializeToString())
    # Its default on some processors is bfloat16, of two or three digits.
    compiled = core.compile_model(exported, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for shape in SHAPES[:2]:
        images = images_of(*shape)
        results = compiled({"images": images})
        for name, own in zip(("saliency", "probabilities"), live_outputs(model, variables, images), strict=True):
            assert np.abs(results[name] - own).max() < 1e-4


@pytest.mark.parametrize("backbone", ["resnext101_32x4d", "resnet50"])
def test_backbones_of_many_groups_and_of_one(backbone: str) -> None:
    model = SDMS(**{**FIELDS, **BACKBONES[backbone], "stage_sizes": (1, 1, 1, 1)})
    images = images_of(1, 64, 64)
    variables = realistic_variables(model, images)
    assert max(differences(predictor_of(model, variables), model, variables, images)) < 1e-4


@pytest.mark.parametrize("schedule", [SDMS_SCHEDULE, BDMS_SCHEDULE])
def test_a_file_says_what_it_predicts(schedule: Any, tmp_path: Path) -> None:
    model = DMS(**FIELDS, schedule=schedule)
    made = make_onnx_model(model, realistic_variables(model, RANDOM), DESCRIPTION, "all")
    save_onnx_model(made, tmp_path / "model.onnx")
    read = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(read, full_check=True)
    assert metadata_of(read).description == DESCRIPTION
    assert OnnxPredictor(tmp_path / "model.onnx").metadata == metadata_of(made)
    texts = {entry.key: entry.value for entry in read.metadata_props}
    assert json.loads(texts["dms_jax"])["class_names"] == list(DESCRIPTION.class_names)
    assert texts["form"] == "ONNX, opset 17"
    assert len(texts["written"].split("-")) == 3
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*read.graph.input, *read.graph.output)
    }
    outputs = len(schedule)
    assert shapes == {
        "images": ["B", "H", "W", 3],
        "saliency": ["B", outputs, "H", "W"],
        "probabilities": ["B", outputs, 3],
    }


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    page = (Path(__file__).parents[3] / "docs" / "export.md").read_text()
    (example,) = re.findall(r"```python\n(import json\n.*?model\.onnx.*?)```", page, re.DOTALL)
    model = SDMS(**FIELDS)
    save_onnx_model(make_onnx_model(model, realistic_variables(model, RANDOM), DESCRIPTION), tmp_path / "model.onnx")
    Image.fromarray(RANDOM[0]).save(tmp_path / "image.png")
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    assert capsys.readouterr().out.startswith(DESCRIPTION.class_names)


class Backbone(nn.Module):
    """Somebody's own."""


def test_no_image_is_predicted_as_none() -> None:
    model = SDMS(**FIELDS)
    saliency, probabilities = predictor_of(model, realistic_variables(model, RANDOM), "final")(images_of(0, 32, 40))
    assert saliency.shape == (0, 1, 32, 40)
    assert probabilities.shape == (0, 1, 3)


@pytest.mark.parametrize("ablation", ["", "b"])
def test_maps_without_numbers_are_told(ablation: str) -> None:
    """And NumPy warns of none of them, which it would where a NaN is cast."""
    model = SDMS(**FIELDS, ablation=ablation)
    variables = realistic_variables(model, RANDOM)
    for value in (0.0, np.nan):
        head = jax.tree.map(lambda x, value=value: x + np.float32(value), variables["params"]["step0"]["saliency"])
        step = {**variables["params"]["step0"], "saliency": head}
        broken = {**variables, "params": {**variables["params"], "step0": step}}
        maps, _, finite = predictor_of(model, broken, "final").maps(RANDOM)
        assert (maps.dtype, finite.tolist()) == (np.uint8, [not np.isnan(value)] * len(RANDOM))


def test_what_is_not_ours_is_refused() -> None:
    model = BDMS(**FIELDS, backbone=Backbone())
    with pytest.raises(
        UserError, match=r"^Backbone cannot be written as ONNX, only SDMS and BDMS.*--output model\.jaxexport\.$"
    ):
        make_onnx_model(model, {}, DESCRIPTION)


def test_what_is_no_file_of_ours_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(UserError, match="is not there"):
        OnnxPredictor(path)
    path.write_bytes(b"nothing")
    with pytest.raises(UserError, match="is no ONNX file that this version of onnxruntime runs"):
        OnnxPredictor(path)
    model = SDMS(**FIELDS)
    made = make_onnx_model(model, realistic_variables(model, RANDOM), DESCRIPTION)
    del made.metadata_props[:]
    save_onnx_model(made, path)
    with pytest.raises(UserError, match="does not say what it predicts"):
        OnnxPredictor(path)


@pytest.mark.parametrize("damaged", [{"plain": []}, {"gated": {**asdict(DESCRIPTION.plain), "normal_maxima": None}}])
def test_what_does_not_say_its_threshold_is_refused(damaged: dict[str, Any]) -> None:
    model = SDMS(**FIELDS)
    made = make_onnx_model(model, realistic_variables(model, RANDOM), DESCRIPTION)
    (text,) = (text for text in made.metadata_props if text.key == "dms_jax")
    text.value = json.dumps({**json.loads(text.value), **damaged})
    with pytest.raises(UserError, match=r"^the model does not say what it predicts: name"):
        OnnxPredictor(made.SerializeToString())


@pytest.mark.parametrize("size", [20, 33, 80])
def test_resize_of_onnx_is_that_of_pillow_where_it_leaves_out_what_is_outside(size: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (61, 40, 3), np.uint8)
    wanted = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)).astype(int)

    def largest_difference(**attributes: int) -> int:
        resize = helper.make_node("Resize", ["images", "", "", "size"], ["resized"], mode="linear", **attributes)
        value = partial(helper.make_tensor_value_info, elem_type=TensorProto.UINT8, shape=[None, None, None, 3])
        sizes = numpy_helper.from_array(np.array([1, size, size, 3]), "size")
        graph = helper.make_graph([resize], "resize", [value("images")], [value("resized")], [sizes])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        (resized,) = session.run(None, {"images": image[None]})
        return int(np.abs(resized[0] - wanted).max())

    assert largest_difference(antialias=1, exclude_outside=1) <= 1
    if size < 40:  # `docs/export.md` says what these cost
        assert largest_difference(antialias=1) > 2
        assert largest_difference() > 30
