"""What `model.options` may give SDMS, BDMS and the networks of the comparison: values of the kinds of their fields."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from dms_jax.errors import UsageError


def check_options(network: type[Any], options: Mapping[str, Any]) -> None:
    """Refuse options of another kind than the fields of a network of ours; only its first call would stumble over them.

    Raises:
      UsageError: one of them is; the message names it.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(network)}
    for name, value in options.items():
        if name == "backbone":
            raise UsageError(f"config.model.options.{name}={value!r} cannot be set: name it by config.model.backbone.")
        if name in defaults and (kind := _kind_missed(name, value, defaults[name])):
            raise UsageError(f"config.model.options.{name}={value!r} must be {kind}.")


def _kind_missed(name: str, value: Any, default: Any) -> str:
    """What a network's field holds, where the value is something else; which texts it knows, a network says itself."""
    if name == "saliency_prior":
        return "" if value is None or (_is_number(value) and 0 <= value <= 1) else "in 0..1, or None"
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "True or False"
    if isinstance(default, int):
        return "" if _is_count(value) else "a whole number of at least 1"
    if isinstance(default, float):
        return "" if _is_number(value) else "a number"
    if isinstance(default, tuple):
        values = value if isinstance(value, list | tuple) else ()
        if isinstance(default[0], str):
            return "" if values and all(isinstance(each, str) for each in values) else "texts, such as ('HF', 'MF')"
        return "" if len(values) == len(default) and all(map(_is_count, values)) else f"counts, such as {default}"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
