"""Which devices there are, and what lies on which of them."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Batch = Mapping[str, Any]
DATA_AXIS = "data"


def cpu_device() -> jax.Device | None:
    """The first CPU device of this process; None where JAX_PLATFORMS leaves the CPU out."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh of all devices (of all processes), or of the given ones, along the one axis "data"."""
    devices = jax.devices() if devices is None else devices
    # Explicit axes, the default of `make_mesh`, would ask for the sharding of every array.
    return jax.make_mesh((len(devices),), (DATA_AXIS,), (jax.sharding.AxisType.Auto,), devices=devices)


def platform_of(mesh: Mesh) -> str:
    """The platform of a mesh's devices: "cpu", "gpu" and so on."""
    return mesh.devices.flat[0].platform


def is_gpu(mesh: Mesh) -> bool:
    """Whether the devices of a mesh are GPUs."""
    return platform_of(mesh) == "gpu"


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of what is whole on every device of the mesh."""
    return NamedSharding(mesh, PartitionSpec())


def replicate(tree: Any, mesh: Mesh) -> Any:
    """The same values on every device of the mesh, where every process has them all."""
    return put_whole(tree, jax.tree.map(lambda _: replicated(mesh), tree))


def put_whole(tree: Any, shardings: Any) -> Any:
    """Arrays that every process has whole, on the devices of their shardings, a tree like theirs."""
    if all(sharding.is_fully_addressable for sharding in jax.tree.leaves(shardings)):
        return jax.device_put(tree, shardings)

    def put(x: Any, sharding: jax.sharding.Sharding) -> jax.Array:
        # `device_put` would compare the processes' values, by a program for each shape.
        x = np.asarray(x)
        return jax.make_array_from_process_local_data(sharding, x, x.shape)

    return jax.tree.map(put, tree, shardings)


def abstract_replicated(tree: Any, mesh: Mesh) -> Any:
    """The shapes and types of a tree's arrays, replicated over the mesh."""
    sharding = replicated(mesh)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding of a batch, whose rows are divided among the devices of the mesh."""
    return NamedSharding(mesh, PartitionSpec(DATA_AXIS))


def shard_batch(batch: Any, mesh: Mesh) -> Any:
    """Divide arrays [b, ...], this process's rows of the global batch, among the devices of the mesh."""
    return jax.tree.map(partial(jax.make_array_from_process_local_data, batch_sharding(mesh)), batch)


def local_rows(array: jax.Array) -> np.ndarray:
    """The rows of a batch that lie on this process's devices, in their order."""
    shards = {shard.index[0].start or 0: shard for shard in array.addressable_shards}
    return np.concatenate([np.asarray(shards[start].data) for start in sorted(shards)])
