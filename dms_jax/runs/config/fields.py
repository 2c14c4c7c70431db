"""The fields of a configuration by their dotted names."""

from typing import Any

from ml_collections import ConfigDict

# Of a network's own fields: which there are, only the network knows.
OPTIONS = "model.options."


def flatten(config: ConfigDict | dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The fields of a configuration with their dotted names."""
    fields: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, (ConfigDict, dict)):
            fields |= flatten(value, f"{prefix}{name}.")
        else:
            fields[prefix + name] = value
    return fields


def is_option(name: str) -> bool:
    """Whether a dotted name is that of a network's own field, and not of something in its value."""
    return name.startswith(OPTIONS) and name.removeprefix(OPTIONS).isidentifier()


def with_tuples(value: Any) -> Any:
    """A value with tuples where it has lists, as JSON has for both."""
    if isinstance(value, dict):
        return {name: with_tuples(entry) for name, entry in value.items()}
    return tuple(map(with_tuples, value)) if isinstance(value, (list, tuple)) else value
