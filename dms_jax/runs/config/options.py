"""What `model.options` may give SDMS, BDMS and the networks of the comparison: values of the kinds of their fields."""

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import Any

from dms_jax.errors import UsageError

# Fields of Flax, and of the network that predicts with what was trained.
_NOT_TO_SET = ("name", "parent", "folded")


def check_options(
    network: type[Any], options: Mapping[str, Any], of_model: Collection[str], of_run: Collection[str]
) -> None:
    """Refuse options that no field of a network of ours has, or of another kind, which its first call stumbles over.

    Args:
      network: SDMS, BDMS or one of the comparison.
      options: `model.options`.
      of_model: what `config.model` has fields for, where checks and results look for it.
      of_run: the fields that a run gives to every network.

    Raises:
      UsageError: one of them is that, or `config.model` has a field for it; the message names it.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(network) if field.name not in _NOT_TO_SET}
    for name, value in options.items():
        # A backbone is several fields of some networks.
        if name in of_model and name in {*defaults, "backbone"}:
            raise UsageError(f"config.model.options.{name}={value!r} cannot be set: use config.model.{name}.")
        if name not in defaults:
            known = ", ".join(sorted(defaults.keys() - {*of_model, *of_run}))
            raise UsageError(f"config.model.options.{name} is no field of {network.__name__}: known are {known}.")
        if kind := _kind_missed(name, value, defaults[name]):
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
        return "" if len(values) == len(default) and all(map(_is_count, values)) else f"counts, such as {default}"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
