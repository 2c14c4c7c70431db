"""Networks as pure functions: arrays in, arrays out."""

from dms_jax.models.compute import Compute
from dms_jax.models.dms import BDMS, DMS, SDMS
from dms_jax.models.network import Network, SaliencyOutput

__all__ = ["BDMS", "DMS", "SDMS", "Compute", "Network", "SaliencyOutput"]
