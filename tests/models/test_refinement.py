"""A refinement step and its heads by themselves."""

from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dms_jax.models.dms import CLASS_POOLINGS
from dms_jax.models.refinement import RefinementState, RefinementStep, SaliencyHead, pool_by_saliency


def test_a_step_runs_alone_on_any_state() -> None:
    step = RefinementStep(num_classes=None, transition="none", residual_channels=4)
    state = RefinementState(feature=jnp.ones((1, 6, 5, 7)), saliency=jnp.zeros((1, 3, 3, 1)))
    side = jnp.ones((1, 3, 5, 2))
    (state, output), _ = step.init_with_output(jax.random.key(0), state, side, train=False)
    assert state.feature.shape == (1, 6, 5, 9)
    assert output.saliency.shape == (1, 6, 5, 1)
    assert output.classes is None


def test_a_step_that_keeps_the_channels_is_repeated_on_its_own_state() -> None:
    step = RefinementStep(num_classes=3, residual_channels=4, transition_features=8)
    state, side = RefinementState(jnp.ones((1, 6, 6, 8)), jnp.zeros((1, 6, 6, 1))), jnp.ones((1, 3, 3, 8))
    variables = step.init(jax.random.key(0), state, side, train=False)
    last, outputs = jax.lax.scan(lambda s, _: step.apply(variables, s, side, train=False), state, length=3)
    assert last.feature.shape == (1, 6, 6, 8)
    assert outputs.saliency.shape == (3, 1, 6, 6, 1)


def test_a_refinement_adds_to_the_map_before_it() -> None:
    """Eq. 2: S_i = S_{i-1} + R_i: a constant added to S_{i-1} and not seen by r arrives in S_i."""
    step = RefinementStep(num_classes=None, transition="none", residual_channels=4)
    state = RefinementState(feature=jnp.ones((1, 4, 4, 3)), saliency=jnp.full((1, 4, 4, 1), 2.0))
    side = jnp.ones((1, 4, 4, 2))
    variables = step.init(jax.random.key(0), state, side, train=False)
    silent = jax.tree.map(jnp.zeros_like, variables["params"])
    _, output = step.apply({**variables, "params": silent}, state, side, train=False)
    np.testing.assert_array_equal(output.saliency, state.saliency)


@pytest.mark.parametrize(
    ("prior", "logit"),
    [(None, 0.0), (0.5, 0.0), (0.02, np.log(0.02 / 0.98)), (0.0, np.log(1e-4)), (1.0, -np.log(1e-4))],
)
def test_a_map_begins_at_the_logit_of_its_prior_which_is_finite(prior: float | None, logit: float) -> None:
    x = jax.random.normal(jax.random.key(1), (1, 4, 4, 3))
    result, variables = SaliencyHead(prior).init_with_output(jax.random.key(0), x)
    assert variables["params"]["bias"].tolist() == pytest.approx([logit], abs=2e-4)
    assert float(jnp.mean(result)) == pytest.approx(logit, abs=0.1)


@pytest.mark.parametrize("is_first", [False, True])
@pytest.mark.parametrize("refine", [False, True])
def test_a_prior_is_that_of_the_head_of_any_step(refine: bool, is_first: bool) -> None:
    state = None if is_first else RefinementState(jnp.ones((1, 4, 4, 3)), jnp.zeros((1, 4, 4, 1)))
    step = RefinementStep(num_classes=2, residual_channels=4, refine=refine, saliency_prior=0.02)
    params = step.init(jax.random.key(0), state, jnp.ones((1, 4, 4, 2)), train=False)["params"]
    head = params["saliency"] if is_first else params["residual"]["saliency"]
    assert head["bias"].tolist() == pytest.approx([np.log(0.02 / 0.98)])
    assert not params["classes"]["bias"].any()


def test_a_class_head_sees_the_feature_where_the_map_is() -> None:
    feature, logits = jnp.full((2, 8, 8, 3), 5.0), jnp.full((2, 8, 8, 1), -50.0)
    feature = feature.at[0, 2, 3].set(jnp.array([1.0, 2.0, 3.0])).at[0, 2, 4].set(jnp.array([3.0, 2.0, 1.0]))
    logits = logits.at[0, 2, 3:5].set(50.0)
    # Two pixels and the one that stands for nothing; of the second image, whose map is black, nothing is seen.
    np.testing.assert_allclose(pool_by_saliency(feature, logits), [[4 / 3, 4 / 3, 4 / 3], [0, 0, 0]], atol=1e-6)


def test_what_is_seen_by_the_map_teaches_the_feature_alone() -> None:
    feature, logits = jnp.ones((1, 4, 4, 2)), jnp.zeros((1, 4, 4, 1))
    by_feature, by_map = jax.grad(lambda f, s: pool_by_saliency(f, s).sum(), argnums=(0, 1))(feature, logits)
    np.testing.assert_allclose(by_feature, np.full((1, 4, 4, 2), 0.5 / (1 + 8)), rtol=1e-6)
    assert not by_map.any()


def test_the_average_stands_in_where_the_map_shows_nothing() -> None:
    feature = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    average = feature.mean((1, 2))
    black, white = jnp.full((2, 4, 4, 1), -40.0), jnp.full((2, 4, 4, 1), 40.0)
    np.testing.assert_allclose(pool_by_saliency(feature, black, average), average, rtol=1e-6)
    np.testing.assert_allclose(pool_by_saliency(feature, black), np.zeros((2, 3)), atol=1e-6)
    # The average of all and itself once more.
    np.testing.assert_allclose(pool_by_saliency(feature, white, average), average, rtol=1e-5)
    # One pixel of the defect and the average weigh the same.
    pixel = black.at[:, 1, 2].set(40.0)
    np.testing.assert_allclose(pool_by_saliency(feature, pixel, average), (feature[:, 1, 2] + average) / 2, rtol=1e-5)


def test_the_same_parameters_serve_every_class_head() -> None:
    state, side = RefinementState(jnp.ones((1, 4, 4, 3)), jnp.zeros((1, 4, 4, 1))), jnp.ones((1, 4, 4, 2))
    steps = {pooling: RefinementStep(2, class_pooling=pooling, residual_channels=4) for pooling in CLASS_POOLINGS}
    variables = steps["average"].init(jax.random.key(0), state, side, train=False)
    head = jax.device_get(variables["params"]["classes"])
    for pooling, step in steps.items():
        following, output = step.apply(variables, state, side, train=False)
        by_average = np.asarray(following.feature).mean((1, 2))
        by_map = np.asarray(pool_by_saliency(following.feature, following.saliency))
        blended = np.asarray(pool_by_saliency(following.feature, following.saliency, by_average))
        seen = {"average": by_average, "saliency": by_map, "blend": blended}
        assert not any(np.allclose(seen[a], seen[b], rtol=1e-2) for a, b in combinations(seen, 2))
        np.testing.assert_allclose(output.classes, seen[pooling] @ head["kernel"] + head["bias"], rtol=1e-5)
