"""Configurations for tests: those of `configs/`, and the default one with other values."""

import importlib
from typing import Any

from ml_collections import ConfigDict

from dms_jax.runs.config import defaults


def get_config(name: str, argument: str | None = None) -> ConfigDict:
    """That of `configs/NAME.py`."""
    return importlib.import_module(f"configs.{name}").get_config(argument)


def changed(**fields: Any) -> ConfigDict:
    """The default configuration with other values, for names with __ for dots."""
    config = defaults.default_config()
    with config.unlocked():
        for name, value in fields.items():
            config.update_from_flattened_dict({name.replace("__", "."): value})
    return config
