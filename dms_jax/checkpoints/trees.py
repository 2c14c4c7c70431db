"""Nested dictionaries of arrays in folders, as Orbax writes them."""

from itertools import zip_longest
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from dms_jax.checkpoints.background import leaving_no_tasks
from dms_jax.errors import UserError, first_words

_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError)


def is_damage(error: Exception) -> bool:
    """Whether what Orbax has raised may come from a damaged checkpoint.

    Damage shows in many places; what TensorStore cannot read of an array, Orbax raises as `Exception` itself.
    """
    return isinstance(error, _DAMAGE) or type(error) is Exception


def write_tree(folder: Path, tree: Any) -> None:
    """Write nested dictionaries of arrays to a folder that does not exist yet."""
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder.absolute(), tree)


def read_tree(folder: Path) -> Any:
    """Read what `write_tree` or a checkpoint's item holds, as NumPy arrays, whatever devices it was written from.

    Raises:
      UserError: the folder is damaged.
    """
    try:
        tree = metadata_of(folder)
        with ocp.PyTreeCheckpointer() as checkpointer:
            kinds = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
            with leaving_no_tasks():
                return checkpointer.restore(folder.absolute(), restore_args=kinds)
    except Exception as error:
        if not is_damage(error):
            raise
        raise UserError(f"{folder} is damaged: make it anew ({first_words(error)}).") from error


def metadata_of(folder: Path) -> Any:
    """The tree that a folder holds, with the shape and the type of each array instead of the array."""
    # Asked of the handler: the checkpointer warns that an item of a larger checkpoint has no metadata of its own.
    return ocp.PyTreeCheckpointHandler().metadata(folder.absolute()).tree


def first_difference(saved: Any, wanted: Any) -> str | None:
    """Where two trees of arrays, which may be abstract, differ first; None where they do not."""
    missing = ("nothing", "")
    for held, expected in zip_longest(sorted(_layout(saved).items()), sorted(_layout(wanted).items())):
        if held != expected:
            return "it holds {} {} instead of {} {}".format(*(held or missing), *(expected or missing))
    return None


def _layout(tree: Any) -> dict[str, str]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{list(leaf.shape)} {jax.numpy.dtype(leaf.dtype)}"
        for path, leaf in leaves
    }


def abstract_tree(tree: Any) -> Any:
    """The shapes, types and shardings of a tree's arrays."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)
