"""The compiled prediction step, against the network itself."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_state import drawn_state
from flax import linen as nn
from jax.experimental.layout import Layout
from jax.sharding import NamedSharding, PartitionSpec
from own_network import OwnNetwork
from tiny_network import FIELDS

from dms_jax.inference import predict_step
from dms_jax.inference.predict_step import (
    PredictStep,
    make_predict_step,
    prepare_variables,
    trace_prepare,
)
from dms_jax.models import BDMS, SaliencyOutput
from dms_jax.models.folding import fold_batch_norm
from dms_jax.models.preprocessing import normalize
from dms_jax.runs.validation import make_eval_step
from dms_jax.runtime.cuda_graphs import jit_prediction, program
from dms_jax.runtime.devices import data_mesh, local_rows, replicate, shard_batch
from dms_jax.training.optimizer import OptimizerConfig, create_optimizer
from dms_jax.training.step import abstract_batch

BATCH = 8
OPTIMIZER = create_optimizer(OptimizerConfig(), 10)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (BATCH, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def variables() -> Any:
    return drawn_state(BDMS(**FIELDS), OPTIMIZER).inference_variables


def test_prediction_is_the_sigmoid_in_8_bits(variables: Any, images: np.ndarray) -> None:
    if jax.device_count() < 2:
        pytest.skip("two devices are needed")
    mesh = data_mesh(jax.devices()[:2])
    model = BDMS(**FIELDS)
    step = make_predict_step(model, mesh)
    maps, probabilities, finite = step(step.prepare(replicate(variables, mesh)), shard_batch(images, mesh))
    output = jax.jit(lambda v, x: model.apply(v, normalize(x), train=False))(variables, images)
    logits = np.stack([np.asarray(s, np.float64)[..., 0] for s in output.saliency], axis=1)
    expected = 255 / (1 + np.exp(-logits))
    assert maps.dtype == jnp.uint8
    # The halves round either way.
    np.testing.assert_allclose(local_rows(maps), expected, atol=0.501)
    np.testing.assert_allclose(local_rows(probabilities).sum(axis=2), 1, rtol=1e-5)
    assert local_rows(probabilities).shape == (BATCH, 6, 3)
    assert local_rows(finite).tolist() == [True] * BATCH


class Divides(OwnNetwork):
    """It divides by what is 0 in black images, in its map or for its classes."""

    in_map: bool = False
    in_classes: bool = False
    has_class_heads: bool = False

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> SaliencyOutput:
        shades = jnp.abs(images).max((1, 2, 3), keepdims=True)
        scale = self.param("scale", nn.initializers.ones, ())
        saliency, classes = (
            scale * (shades / shades if divides else 0 * shades) for divides in (self.in_map, self.in_classes)
        )
        heads = (jnp.broadcast_to(classes[:, 0, 0], (len(images), 2)),) if self.has_class_heads else ()
        return SaliencyOutput((0 * images[..., :1], saliency + 0 * images[..., :1]), heads * 2, {})


@pytest.mark.parametrize("final_only", [False, True])
@pytest.mark.parametrize(
    "fields",
    [{}, {"in_map": True}, {"has_class_heads": True, "in_map": True}, {"has_class_heads": True, "in_classes": True}],
)
def test_images_without_numbers_are_told(
    fields: dict[str, bool], final_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict_step, "normalize", lambda images: images / jnp.float32(255))
    mesh, model = data_mesh(jax.devices()[:1]), Divides(**fields)
    step = make_predict_step(model, mesh, final_only=final_only)
    images = np.zeros((3, 8, 8, 3), np.uint8)
    images[1, 2, 3] = 7
    prepared = step.prepare(model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)), train=False))
    for predict in (partial(step, prepared), step.freeze(prepared)):
        *_, finite = predict(shard_batch(images, mesh))
        assert local_rows(finite).tolist() == [not fields, True, not fields]


def test_prediction_reads_kernels_as_they_were_laid_out(variables: Any, images: np.ndarray) -> None:
    mesh = data_mesh(jax.devices()[:1])
    model = BDMS(**FIELDS)
    step = make_predict_step(model, mesh)
    variables = replicate(variables, mesh)
    sharding, by_output = NamedSharding(mesh, PartitionSpec()), Layout((3, 0, 1, 2))
    prepared = prepare_variables(variables, convert=fold_batch_norm, sharding=sharding, kernel_layout=by_output)
    images = shard_batch(images, mesh)
    (read, _), _ = program(step.run, prepared, images).input_formats
    for tree in (jax.tree.map(lambda x: x.format, prepared), read):
        kernel = tree["params"]["backbone"]["stage1_block1"]["conv2"]["kernel"]
        assert kernel.layout.major_to_minor == by_output.major_to_minor
    maps, probabilities, _ = step(prepared, images)
    expected_maps, expected_probabilities, _ = step(step.prepare(variables), images)
    np.testing.assert_allclose(local_rows(maps).astype(int), local_rows(expected_maps).astype(int), atol=1)
    np.testing.assert_allclose(local_rows(probabilities), local_rows(expected_probabilities), atol=1e-5)


def test_frozen_variables_are_in_the_program(variables: Any, images: np.ndarray) -> None:
    mesh = data_mesh(jax.devices()[:2])
    step = make_predict_step(BDMS(**FIELDS), mesh)
    prepared, images = step.prepare(replicate(variables, mesh)), shard_batch(images, mesh)
    predict = step.freeze(prepared)
    (maps, probabilities, _), (expected_maps, expected_probabilities, _) = predict(images), step(prepared, images)
    np.testing.assert_allclose(local_rows(maps).astype(int), local_rows(expected_maps).astype(int), atol=1)
    np.testing.assert_allclose(local_rows(probabilities), local_rows(expected_probabilities), atol=1e-5)
    inputs = jax.tree.leaves(program(predict.func, *predict.args, images).input_shardings)
    assert len(inputs) == 1


@pytest.mark.parametrize("gpu", [False, True])
def test_what_is_traced_ahead_is_not_traced_again(gpu: bool) -> None:
    """A CPU ignores what XLA is asked for a GPU."""
    platform = "gpu" if gpu else "cpu"
    mesh, traced = data_mesh(jax.devices()[:2]), []

    def fold(variables: Any) -> Any:
        traced.append("fold")
        return 2 * variables

    def predict(prepared: Any, images: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        traced.append("predict")
        maps = jnp.round(images[:, None, :, :, 0] * prepared).astype(jnp.uint8)
        return maps, jnp.ones((len(images), 1, 2)) / 2, images[:, 0, 0, 0] > 0

    def measure(*outputs: Any) -> Any:
        traced.append("measure")
        return eval_step.measure(*outputs)

    preparation = {"convert": fold, "sharding": NamedSharding(mesh, PartitionSpec()), "kernel_layout": None}
    parts = {"in_specs": (PartitionSpec(), PartitionSpec("data")), "out_specs": PartitionSpec("data")}
    made = PredictStep(
        prepare=partial(prepare_variables, **preparation),
        trace_prepare=partial(trace_prepare, **preparation),
        run=jit_prediction(jax.shard_map(predict, mesh=mesh, **parts), mesh, platform=platform),
        freeze=lambda prepared: None,
    )
    eval_step = make_eval_step(made, mesh)
    counting = replace(eval_step, measure=jax.jit(measure))
    truth = abstract_batch(BATCH, 8, mesh)
    truth = {**truth, "valid": truth["has_mask"]}
    variables = replicate(jnp.float32(0.5), mesh)
    counting.trace_ahead(jax.ShapeDtypeStruct((), jnp.float32, sharding=variables.sharding), truth)
    assert sorted(set(traced)) == ["fold", "measure", "predict"]
    traced.clear()
    batch = {name: shard_batch(np.ones(x.shape, x.dtype), mesh) for name, x in truth.items()}
    batch["content"] = shard_batch(np.array([[0, 0, 8, 8]] * BATCH, np.int32), mesh)
    sums = counting(made.prepare(variables), batch)
    assert (int(sums.everything.images), float(sums.everything.mae[0]), int(sums.not_finite.images)) == (BATCH, 0, 0)
    assert traced == []


@pytest.mark.slow
def test_prediction_without_class_heads_has_no_probabilities(images: np.ndarray) -> None:
    model = BDMS(**FIELDS, ablation="b")
    state = drawn_state(model, OPTIMIZER)
    mesh = data_mesh(jax.devices()[:1])
    step = make_predict_step(model, mesh)
    prepared = step.prepare(replicate(state.inference_variables, mesh))
    _, probabilities, _ = step(prepared, shard_batch(images, mesh))
    assert local_rows(probabilities).shape == (BATCH, 0, 3)
