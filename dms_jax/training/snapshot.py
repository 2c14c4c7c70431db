"""The arrays of a tree as they are at one moment, taken without keeping a device from its next steps."""

import logging
from typing import Any

import jax
import numpy as np
from jax.sharding import Sharding, SingleDeviceSharding

from dms_jax.training.packing import Vectors, pack, pack_on_devices

_LOG = logging.getLogger(__name__)
# There is not enough of it, or the devices have no such memory.
_NO_PINNED_MEMORY = (jax.errors.JaxRuntimeError, ValueError)


def snapshot(tree: Any) -> Vectors:
    """The arrays of a tree, joined (see `pack`), as they are now: the next steps may write to their memory."""
    if not _are_on_cpu(tree):
        try:
            # A millisecond, in which the device writes them once more; they are fetched in the background.
            return jax.block_until_ready(pack_on_devices(tree))
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
    return pack(jax.device_get(tree))


def fetched(vectors: Vectors) -> Vectors:
    """What `snapshot` has taken, as NumPy's arrays.

    By way of memory that the device can write to by itself. To fetch an array to other memory takes ten times as long,
    in which no thread gets a turn in Python.
    """
    if not all(isinstance(vector, jax.Array) for vector in jax.tree.leaves(vectors)):
        return vectors
    try:
        # One copy of what is on every device.
        here = jax.tree.map(lambda x: x.addressable_data(0), vectors)
        place = _host_memory(jax.tree.leaves(here)[0].sharding)
        vectors = jax.block_until_ready(jax.device_put(here, place))
    except _NO_PINNED_MEMORY as error:
        _LOG.info("A checkpoint is fetched more slowly: %s", error)
    return jax.device_get(vectors)


def prepare_snapshots(*trees: Any) -> None:
    """Do ahead what `snapshot` and `fetched` of such trees, which may be abstract, would wait for the first time.

    What joins the arrays is compiled, and the memory taken through which those of all trees pass: a second for each.
    """
    if _are_on_cpu(trees):
        return
    zeros = []
    for tree in trees:
        lowered = pack_on_devices.lower(tree)
        lowered.compile()
        zeros.append(jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), lowered.out_info))
    try:
        jax.block_until_ready(jax.device_put(zeros, _host_memory(jax.tree.leaves(trees)[0].sharding)))
    except _NO_PINNED_MEMORY as error:
        _LOG.info("Checkpoints will be fetched more slowly: %s", error)


def _are_on_cpu(tree: Any) -> bool:
    """Whether the arrays of a tree, which may be abstract, are NumPy's or on a CPU."""
    devices = {device for x in jax.tree.leaves(tree) if hasattr(x, "sharding") for device in x.sharding.device_set}
    return all(device.platform == "cpu" for device in devices)


def _host_memory(sharding: Sharding) -> SingleDeviceSharding:
    """The host's memory that the first of this process's devices of a sharding can write to."""
    device = min(sharding.addressable_devices, key=lambda device: device.id)
    return SingleDeviceSharding(device, memory_kind="pinned_host")
