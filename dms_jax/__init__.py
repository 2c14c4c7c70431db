"""Deeper and mixed supervision networks (SDMS, BDMS) for automated surface inspection, in JAX/Flax."""

__version__ = "0.1.0"
