"""Networks as pure functions: arrays in, arrays out."""

from dms_jax.models.dms import BDMS, SDMS, DMSOutput
from dms_jax.models.dms import DMS as DMS

__all__ = ["BDMS", "DMS", "SDMS", "DMSOutput"]
