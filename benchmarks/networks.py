"""The networks that are timed, by name, and the device that they are timed on."""

from collections.abc import Mapping

import jax

from dms_jax.comparison.deep import DEEP_NETWORKS, ComparisonNetwork
from dms_jax.models.dms import DMS, NETWORKS
from dms_jax.runtime.cores import usable_cores

TIMED: Mapping[str, type[DMS] | type[ComparisonNetwork]] = {**NETWORKS, **DEEP_NETWORKS}


def device_name() -> str:
    """The kind of JAX's first device; of a CPU its cores, as its devices are what XLA_FLAGS says."""
    return f"{usable_cores()} CPU cores" if jax.default_backend() == "cpu" else jax.devices()[0].device_kind
