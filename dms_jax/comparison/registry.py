"""The methods that `dms-jax compare` can compute, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dms_jax.comparison.classical import methods as classical
from dms_jax.comparison.method import Method
from dms_jax.errors import UsageError

METHODS: Mapping[str, Method] = MappingProxyType({method.name: method for method in classical.METHODS})


def choose(text: str) -> list[Method]:
    """The methods that a list names: `all`, or names with commas between, in upper or lower case.

    Raises:
      UsageError: a name is unknown or comes twice.
    """
    if text.strip().lower() == "all":
        return list(METHODS.values())
    by_name = {name.lower(): method for name, method in METHODS.items()}
    chosen: list[Method] = []
    for name in filter(None, (part.strip() for part in text.split(","))):
        method = by_name.get(name.lower())
        if method is None:
            raise UsageError(f"--methods={text}: {name} is unknown: give all, or some of {', '.join(METHODS)}.")
        if method in chosen:
            raise UsageError(f"--methods={text} names {name} twice: name it once.")
        chosen.append(method)
    if not chosen:
        raise UsageError(f"--methods={text} names no method: give all, or some of {', '.join(METHODS)}.")
    return chosen
