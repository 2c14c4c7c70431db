"""The initial state."""

import jax
import jax.numpy as jnp
import numpy as np
from drawn_state import drawn_state

from dms_jax.models import BDMS
from dms_jax.runtime.devices import data_mesh
from dms_jax.training.optimizer import OptimizerConfig, create_optimizer
from dms_jax.training.state import (
    TrainState,
    abstract_state,
    add_metrics,
    create_state,
    empty_metrics,
    metric_names,
    read_averages,
)

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
    # Averaged, as below: compiled once for both.
    first, again, other = (new_state(seed, average=True).params for seed in (0, 0, 1))
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, first, again)))
    kernels = [tree["backbone"]["stem_conv"]["kernel"] for tree in (first, other)]
    assert not np.array_equal(*kernels)


def test_the_average_begins_at_the_variables_in_memory_of_its_own() -> None:
    state = new_state(average=True)
    assert state.inference_variables is state.averaged
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


def test_the_tests_draw_such_states_by_numpy() -> None:
    states = new_state(average=True), drawn_state(BDMS(**FIELDS), OPTIMIZER, average=True)
    ours, theirs = jax.device_get(states)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    pairs = zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True)
    for (path, one), other in pairs:
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        if "kernel" in jax.tree_util.keystr(path) and np.any(one):
            # Saliency maps' have four values, and are larger here.
            assert one.size < 10 or 0.5 < np.std(other) / np.std(one) < 2, jax.tree_util.keystr(path)
        else:
            np.testing.assert_array_equal(one, other, jax.tree_util.keystr(path))


def test_steps_without_a_label_are_left_out_of_the_accuracy() -> None:
    averages = empty_metrics(("loss", "accuracy"))
    measured = {"loss": jnp.float32(1), "accuracy": jnp.float32(0), "labelled": jnp.float32(0)}
    averages = add_metrics(averages, measured, jnp.bool_(True))
    assert read_averages(jax.device_get(averages)) == {"loss": 1.0, "accuracy": None}
    measured |= {"accuracy": jnp.float32(0.75), "labelled": jnp.float32(1)}
    averages = add_metrics(averages, measured, jnp.bool_(True))
    assert read_averages(jax.device_get(averages)) == {"loss": 1.0, "accuracy": 0.75}


def test_networks_without_class_heads_have_no_metrics_of_classes() -> None:
    assert "accuracy" in metric_names(BDMS(**FIELDS))
    names = metric_names(BDMS(**FIELDS, ablation="b"))
    assert not {"accuracy", "class_loss"} & set(names)
    assert [name for name in names if "/" in name] == [f"saliency_loss/{i}" for i in range(6)]
