"""A tree of many arrays as a few long ones, and back.

What a checkpoint costs goes by the number of its arrays: to fetch one from a device and to hand it to Orbax takes a
millisecond of Python, and while Python does that, no step is started.
"""

from collections.abc import Sequence
from functools import partial
from itertools import zip_longest
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Vectors = dict[str, dict[str, np.ndarray | jax.Array]]


def layout_of(tree: Any) -> list[list[Any]]:
    """What a tree holds, in order, as JSON has it: [path, shape, type] of each array."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [[_path(keys), list(leaf.shape), str(leaf.dtype)] for keys, leaf in leaves]


def pack(tree: Any, numpy: ModuleType = np) -> Vectors:
    """Join a tree's arrays, in order, in new memory: {part: {type: [n]}}, the parts being what the tree consists of.

    Args:
      tree: of at least one level.
      numpy: what joins them.
    """
    parts: dict[str, dict[str, list[Any]]] = {}
    for keys, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        parts.setdefault(_path(keys[:1]), {}).setdefault(str(leaf.dtype), []).append(numpy.ravel(leaf))
    return {
        part: {dtype: numpy.concatenate(leaves) for dtype, leaves in types.items()} for part, types in parts.items()
    }


pack_on_devices = jax.jit(partial(pack, numpy=jnp))


def unpack(vectors: Vectors, like: Any, *, layout: Sequence[Sequence[Any]] | None = None) -> Any:
    """Part what `pack` has joined.

    Args:
      vectors: of `pack`, as NumPy's arrays.
      like: a tree of the same, whose arrays may be abstract.
      layout: `layout_of` the tree that was packed, if that is to be compared.

    Returns:
      A tree of NumPy arrays, views of the vectors.

    Raises:
      ValueError: the tree that was packed held something else.
    """
    if layout is not None:
        for held, wanted in zip_longest(layout, layout_of(like), fillvalue=("nothing", "", "")):
            if tuple(held) != tuple(wanted):
                raise ValueError("it holds {} {} {} instead of {} {} {}".format(*held, *wanted))
    starts: dict[tuple[str, str], int] = {}

    def view(keys: Any, leaf: Any) -> np.ndarray:
        part, dtype = _path(keys[:1]), str(leaf.dtype)
        start = starts.get((part, dtype), 0)
        starts[part, dtype] = start + leaf.size
        return vectors[part][dtype][start : start + leaf.size].reshape(leaf.shape)

    return jax.tree_util.tree_map_with_path(view, like)


def _path(keys: Any) -> str:
    return jax.tree_util.keystr(keys, simple=True, separator="/")
