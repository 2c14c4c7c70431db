"""A tree as a few vectors, and back."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dms_jax.training.packing import layout_of, pack, pack_on_devices, unpack


def tree() -> dict[str, object]:
    return {
        "count": jnp.int32(7),
        "params": {"b": jnp.arange(6.0).reshape(2, 3), "a": (jnp.ones(0), jnp.arange(2), jnp.full((1, 1), 0.5))},
    }


def test_one_vector_for_each_part_and_type() -> None:
    vectors = pack(tree())
    assert {part: {dtype: v.tolist() for dtype, v in types.items()} for part, types in vectors.items()} == {
        "count": {"int32": [7]},
        "params": {"int32": [0, 1], "float32": [0.5, 0, 1, 2, 3, 4, 5]},
    }


def test_there_and_back_through_json() -> None:
    layout = json.loads(json.dumps(layout_of(tree())))
    assert layout[1:3] == [["params/a/0", [0], "float32"], ["params/a/1", [2], "int32"]]
    like = jax.eval_shape(tree)
    for joined in (pack(tree()), jax.device_get(pack_on_devices(tree()))):
        jax.tree.map(np.testing.assert_array_equal, unpack(joined, like), tree())
    jax.tree.map(np.testing.assert_array_equal, unpack(pack(tree()), like, layout=layout), tree())


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"count": jnp.int32(7)}, r"params/a/0 \[0\] float32 instead of nothing"),
        (tree() | {"zeros": jnp.ones(3)}, r"nothing .* instead of zeros \[3\] float32"),
        (tree() | {"count": jnp.float32(7)}, r"count \[\] int32 instead of count \[\] float32"),
        ({"count": jnp.int32(7), "params": {"c": jnp.ones((2, 3)), **tree()["params"]}}, r"nothing .* params/c"),
        ({"count": jnp.int32(7), "params": {**tree()["params"], "b": jnp.ones((3, 2))}}, r"\[2, 3\] .* \[3, 2\]"),
    ],
)
def test_another_tree_is_refused(other: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        unpack(pack(tree()), other, layout=layout_of(tree()))
