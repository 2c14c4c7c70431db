"""The initial state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dms_jax.models import BDMS
from dms_jax.training.optimizer import OptimizerConfig, create_optimizer
from dms_jax.training.state import TrainState, abstract_state, create_state, metric_names, with_saliency_prior
from dms_jax.training.step import data_mesh

FIELDS = {
    "num_classes": 3,
    "stage_sizes": (1, 1, 1, 1),
    "groups": 1,
    "width_per_group": 64,
    "base_channels": 8,
    "side_channels": 8,
    "residual_channels": 4,
}


# One for all: the drawing of weights is compiled for each.
OPTIMIZER = create_optimizer(OptimizerConfig(), 10)


def new_state(seed: int = 0, **options: object) -> TrainState:
    return create_state(BDMS(**FIELDS), OPTIMIZER, seed=seed, **options)


def test_the_seed_decides_the_parameters() -> None:
    first, again, other = (new_state(seed).params for seed in (0, 0, 1))
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, first, again)))
    kernels = [tree["backbone"]["stem_conv"]["kernel"] for tree in (first, other)]
    assert not np.array_equal(*kernels)


def test_the_average_begins_at_the_variables_in_memory_of_its_own() -> None:
    state = new_state(average=True)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    for ours, theirs in zip(jax.tree.leaves(state.averaged), jax.tree.leaves(variables), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.unsafe_buffer_pointer() != theirs.unsafe_buffer_pointer()
        assert ours.devices() == theirs.devices()


def test_sizes_and_schedule_may_be_lists() -> None:
    fields = FIELDS | {"stage_sizes": [1, 1, 1, 1], "schedule": ["HF", "MF", "LF"]}
    state = create_state(BDMS(**fields), OPTIMIZER, seed=0)
    shapes = abstract_state(BDMS(**fields), OPTIMIZER, data_mesh(jax.devices()[:1]))
    assert jax.tree.map(lambda x: x.shape, state) == jax.tree.map(lambda x: x.shape, shapes)
    assert "step2" in state.params
    assert "step3" not in state.params


def test_saliency_begins_at_the_share_of_defective_pixels() -> None:
    state = new_state(defective_share=0.02)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    images = jax.random.normal(jax.random.key(0), (1, 64, 64, 3))
    output = jax.jit(lambda v, x: BDMS(**FIELDS).apply(v, x, train=False))(variables, images)
    assert float(state.params["step0"]["saliency"]["bias"][0]) == pytest.approx(np.log(0.02 / 0.98))
    averaged = new_state(defective_share=0.02, average=True).averaged["params"]["step0"]["saliency"]["bias"]
    assert float(averaged[0]) == pytest.approx(np.log(0.02 / 0.98))
    # Each map is the one before with a random residual that is small against the bias of -3.9.
    for logits in output.saliency:
        assert float(jnp.median(logits)) < -1


def test_without_refinement_every_map_has_the_prior() -> None:
    params = {
        "step0": {"saliency": {"bias": jnp.zeros(1)}, "classes": {"bias": jnp.zeros(3)}},
        "step1": {"residual": {"saliency": {"bias": jnp.zeros(1)}}},
    }
    one = with_saliency_prior(params, 0.5**10)
    assert float(one["step0"]["saliency"]["bias"][0]) == pytest.approx(np.log(1 / 1023), rel=1e-5)
    assert float(one["step1"]["residual"]["saliency"]["bias"][0]) == 0
    assert not one["step0"]["classes"]["bias"].any()
    every = with_saliency_prior(params, 0.5**10, every_step=True)
    assert float(every["step1"]["residual"]["saliency"]["bias"][0]) == pytest.approx(np.log(1 / 1023), rel=1e-5)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_at_either_end_gives_a_finite_bias(share: float) -> None:
    params = with_saliency_prior({"step0": {"saliency": {"bias": jnp.zeros(1)}}}, share)
    assert 5 < abs(float(params["step0"]["saliency"]["bias"][0])) < 10


def test_the_average_begins_as_a_copy_of_the_variables() -> None:
    state = new_state(average=True)
    assert state.inference_variables is state.averaged
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, state.averaged["params"], state.params)))
    pointers = {leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state.params)}
    assert pointers.isdisjoint(leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state.averaged["params"]))


def test_networks_without_class_heads_have_no_figures_of_classes() -> None:
    assert "accuracy" in metric_names(BDMS(**FIELDS))
    names = metric_names(BDMS(**FIELDS, ablation="b"))
    assert not {"accuracy", "class_loss"} & set(names)
    assert [name for name in names if "/" in name] == [f"saliency_loss/{i}" for i in range(6)]
