"""What networks compute on, and what they refuse."""

from typing import Any

import jax
import numpy as np
import pytest

from dms_jax.comparison.deep import DEEP_NETWORKS
from dms_jax.models.dms import NETWORKS

BUILT_IN: dict[str, Any] = {**NETWORKS, **DEEP_NETWORKS}


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((1, 32, 32, 3), np.uint8, r"images are integers \(uint8\): .*dms_jax\.models\.preprocessing\.normalize\."),
        ((1, 32, 32, 3), np.int32, r"images are integers \(int32\)"),
        ((32, 32, 3), np.float32, r"images are \[32, 32, 3\]: they must be \[B, H, W, 3\]"),
        ((1, 32, 32, 1), np.float32, r"images are \[1, 32, 32, 1\]: "),
        ((1, 3, 32, 32), np.float32, r"images are \[1, 3, 32, 32\]: "),
    ],
)
def test_what_is_no_normalised_image_is_refused_while_jax_traces(
    name: str, shape: tuple[int, ...], dtype: Any, message: str
) -> None:
    model = BUILT_IN[name](num_classes=3)
    images = jax.ShapeDtypeStruct(shape, dtype)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), images)
