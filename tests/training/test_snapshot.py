"""Snapshots of trees of arrays."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dms_jax.training import snapshot as module
from dms_jax.training.snapshot import fetched, prepare_snapshots, snapshot

TREE = {
    "a": {"x": np.arange(6.0, dtype=np.float32).reshape(2, 3), "y": np.float32(7)},
    "b": np.arange(2, dtype=np.int32),
}
JOINED = {"a": {"float32": [0, 1, 2, 3, 4, 5, 7]}, "b": {"int32": [0, 1]}}


def listed(vectors: Any) -> Any:
    assert all(isinstance(vector, np.ndarray) for vector in jax.tree.leaves(vectors))
    return jax.tree.map(np.ndarray.tolist, vectors)


@pytest.fixture
def on_devices(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The tree on two devices, which are not taken for CPUs."""
    monkeypatch.setattr(module, "_are_on_cpu", lambda tree: False)
    mesh = Mesh(np.array(jax.devices()[:2]), "data")
    return jax.device_put(TREE, NamedSharding(mesh, PartitionSpec()))


def test_a_snapshot_on_the_host() -> None:
    assert listed(fetched(snapshot(jax.tree.map(jnp.asarray, TREE)))) == JOINED


def test_a_snapshot_on_devices_comes_through_their_own_memory_of_the_host_once(
    on_devices: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = snapshot(on_devices)
    assert all(isinstance(vector, jax.Array) for vector in jax.tree.leaves(taken))
    got = []
    real = jax.device_get
    monkeypatch.setattr(jax, "device_get", lambda tree: got.extend(jax.tree.leaves(tree)) or real(tree))
    assert listed(fetched(taken)) == JOINED
    assert [(len(x.sharding.device_set), x.sharding.memory_kind) for x in got] == [(1, "pinned_host")] * 2


@pytest.mark.parametrize("error", [jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED"), ValueError("no memory kind")])
def test_a_snapshot_is_fetched_where_no_memory_can_be_pinned(
    error: Exception, on_devices: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise error

    monkeypatch.setattr(jax, "device_put", fails)
    prepare_snapshots(on_devices)
    assert listed(fetched(snapshot(on_devices))) == JOINED


def test_snapshots_are_prepared_for_abstract_trees(on_devices: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put = []
    real = jax.device_put
    monkeypatch.setattr(jax, "device_put", lambda *given: put.append(given) or real(*given))
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), on_devices)
    prepare_snapshots(abstract, abstract["a"])
    ((zeros, place),) = put
    assert listed(zeros) == [
        {"a": {"float32": [0] * 7}, "b": {"int32": [0, 0]}},
        {"x": {"float32": [0] * 6}, "y": {"float32": [0]}},
    ]
    assert place.memory_kind == "pinned_host"
