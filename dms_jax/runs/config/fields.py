"""The fields of a configuration by their dotted names."""

from typing import Any

from ml_collections import ConfigDict


def flatten(config: ConfigDict | dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The fields of a configuration with their dotted names."""
    fields: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, (ConfigDict, dict)):
            fields |= flatten(value, f"{prefix}{name}.")
        else:
            fields[prefix + name] = value
    return fields
