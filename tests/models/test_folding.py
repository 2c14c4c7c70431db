"""Networks with BatchNorm folded predict what they were folded from predicts."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import twins

from dms_jax.models import BDMS, SDMS
from dms_jax.models.folding import fold_batch_norm

TINY = {
    "num_classes": 3,
    "stage_sizes": (1, 1, 1, 1),
    "groups": 2,
    "width_per_group": 32,
    "base_channels": 4,
    "side_channels": 8,
    "residual_channels": 6,
}


@pytest.mark.parametrize(("network", "ablation"), [(BDMS, ""), (SDMS, "c"), (SDMS, "baseline")])
def test_the_folded_network_predicts_the_same(network: type, ablation: str) -> None:
    (images,) = twins.drawn_single((1, 33, 40, 3))
    model = network(**TINY, ablation=ablation)
    variables = jax.tree.map(jnp.float32, twins.random_variables(model, images))
    folded = fold_batch_norm(variables)
    assert set(folded) == {"params"}
    predictor, fold = model.for_prediction()
    assert predictor == model.clone(folded=True)
    jax.tree.map(np.testing.assert_array_equal, fold(variables), folded)
    assert not [path for path, _ in jax.tree_util.tree_leaves_with_path(folded) if "norm" in str(path)]
    expected = jax.jit(lambda v: model.apply(v, images, train=False))(variables)
    result = jax.jit(lambda v: model.clone(folded=True).apply(v, images, train=False))(folded)
    for ours, reference in zip(jax.tree.leaves(result), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, reference, atol=1e-4 * float(jnp.max(jnp.abs(reference))))


def test_a_backbone_without_parameters_is_left_as_it_is() -> None:
    class Averages(nn.Module):
        @nn.compact
        def __call__(self, images: jax.Array, *, train: bool) -> tuple[jax.Array, ...]:
            return tuple(nn.avg_pool(images, (s, s), (s, s), padding="SAME") for s in (4, 4, 8, 16, 32))

    (images,) = twins.drawn_single((1, 33, 40, 3))
    model = SDMS(num_classes=3, side_channels=4, residual_channels=4, backbone=Averages())
    variables = model.init(jax.random.key(0), images, train=False)
    predictor, fold = model.for_prediction()
    expected = model.apply(variables, images, train=False).saliency[-1]
    np.testing.assert_allclose(predictor.apply(fold(variables), images, train=False).saliency[-1], expected, atol=1e-6)


def test_kernels_are_kept_in_the_type_that_the_network_computes_in() -> None:
    images = jnp.zeros((1, 32, 32, 3))

    def folded_variables() -> Any:
        return fold_batch_norm(SDMS(**TINY).init(jax.random.key(0), images, train=False), jnp.bfloat16)

    folded = jax.eval_shape(folded_variables)
    assert folded["params"]["backbone"]["stem_conv"]["kernel"].dtype == jnp.bfloat16
    assert folded["params"]["step0"]["saliency"]["kernel"].dtype == jnp.float32
    model = SDMS(**TINY, folded=True, dtype=jnp.bfloat16)
    output = jax.eval_shape(lambda: model.apply(folded_variables(), images, train=False))
    assert output.features["F0"].dtype == jnp.bfloat16
    assert output.saliency[-1].dtype == jnp.float32


def test_a_folded_network_does_not_train() -> None:
    images = jnp.zeros((1, 32, 32, 3))
    model = SDMS(**TINY, folded=True)
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    with pytest.raises(ValueError, match="predicts only"):
        jax.eval_shape(lambda variables: model.apply(variables, images, train=True), variables)
