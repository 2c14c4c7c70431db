"""A refinement step and its heads by themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dms_jax.models.refinement import RefinementState, RefinementStep, SaliencyHead


def test_a_step_runs_alone_on_any_state() -> None:
    step = RefinementStep(num_classes=None, transition="none", residual_channels=4)
    state = RefinementState(feature=jnp.ones((1, 6, 5, 7)), saliency=jnp.zeros((1, 3, 3, 1)))
    side = jnp.ones((1, 3, 5, 2))
    (state, output), _ = step.init_with_output(jax.random.key(0), state, side, train=False)
    assert state.feature.shape == (1, 6, 5, 9)
    assert output.saliency.shape == (1, 6, 5, 1)
    assert output.classes is None


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
