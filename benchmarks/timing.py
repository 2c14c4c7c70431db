"""How long a compiled function takes, and how fast the device multiplies matrices."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

_CALLS_TO_WARM_UP = 3


def seconds_per_call(
    call: Callable[[], Any], budget: float = 1.0, repetitions: int = 5, *, warm: bool = False
) -> float:
    """Median time of a call that returns arrays, in seconds.

    Calls are queued, as a training loop queues them: the host's work for the next overlaps with the device's for this
    one. Each repetition lasts about `budget` seconds, one call at least. What is `warm` has been called often enough.
    """
    for _ in range(0 if warm else _CALLS_TO_WARM_UP):
        jax.block_until_ready(call())
    start = time.perf_counter()
    jax.block_until_ready(call())
    calls = max(1, int(budget / max(1e-4, time.perf_counter() - start)))
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        for _ in range(calls):
            result = call()
        jax.block_until_ready(result)
        times.append((time.perf_counter() - start) / calls)
    return statistics.median(times)


def seconds_of_one(call: Callable[[], Any]) -> float:
    """Time of one call, in seconds: nothing is queued before or behind it."""
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


def in_turns(
    calls: Mapping[str, Callable[[], Any]],
    rounds: int,
    seconds_of: Callable[[Callable[[], Any]], float] = seconds_of_one,
) -> dict[str, list[float]]:
    """Seconds of each call in each round, as `seconds_of` measures it; every call must have been made before."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            seconds[name].append(seconds_of(call))
    return seconds


def latency(call: Callable[[], Any], budget: float = 1.0, most: int = 200) -> float:
    """Median time until a call's result is there, in seconds: nothing is queued behind it.

    It takes about `budget` seconds, but ten calls at least and no more than `most`. The call must be warm.
    """
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < 10 or (time.perf_counter() - begin < budget and len(times) < most):
        times.append(seconds_of_one(call))
    return statistics.median(times)


def matrix_rate(dtype: Any, size: int, budget: float = 1.0) -> float:
    """Floating-point operations per second of a product of two square matrices."""
    a = jax.random.normal(jax.random.key(0), (size, size), dtype)
    multiply = jax.jit(lambda a: jnp.matmul(a, a))
    return 2 * size**3 / seconds_per_call(lambda: multiply(a), budget)
