"""SDMS on MTDD and its ablations (the paper's Tables 2 and 3).

    python train.py --config=configs/sdms.py
    python train.py --config=configs/sdms.py:ablation=baseline

The arguments are those of `configs/bdms.py`.
"""

from ml_collections import ConfigDict

from dms_jax.runs.config.defaults import network_config


def get_config(argument: str | None = None) -> ConfigDict:
    """SDMS with the paper's settings, but for what the argument changes."""
    return network_config("sdms", argument)
