"""Which of two formulations of the same a program computes."""

from collections.abc import Callable
from typing import TypeVar

import jax
from jax import Array

Result = TypeVar("Result")


def by_platform(*arrays: Array, cpu: Callable[..., Result], default: Callable[..., Result]) -> Result:
    """`cpu` of the arrays on a CPU, `default` of them elsewhere: `jax.lax.platform_dependent`.

    Inside of a `jax.shard_map` over other devices than CPUs, what a CPU would compute is not even traced, which is a
    third of what it takes to trace a training step. A program exported from there has the same results on a CPU, but is
    slow on it.
    """
    device = getattr(jax.sharding.get_abstract_mesh(), "abstract_device", None)
    if getattr(device, "platform", "cpu") != "cpu":
        return default(*arrays)
    return jax.lax.platform_dependent(*arrays, cpu=cpu, default=default)
