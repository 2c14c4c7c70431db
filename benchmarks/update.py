"""Times the update of BDMS's parameters by each optimiser, in one run: python benchmarks/update.py [--size full].

"muon, apart" is optax's Muon as it is, of each kernel by itself; "muon" is that of stacks of equally shaped kernels
(`dms_jax/training/stacking.py`), and on a GPU "muon, bfloat16" the same with the factors of its matrix products rounded
to bfloat16. They take turns. Prints milliseconds of an update, the median and the least, and seconds to trace and
compile it. On a GPU an update by itself is mostly the handing over of hundreds of arrays: --chained 10 makes ten in one
program, one after another, and prints the time of one.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import optax
import optax.contrib
from timing import in_turns, seconds_per_call

from dms_jax.models.dms import BDMS, SIZES
from dms_jax.models.network import abstract_variables
from dms_jax.training.optimizer import OPTIMIZERS, OptimizerConfig, create_optimizer
from dms_jax.training.stacking import is_matrix_kernel

_STEPS = 3500
# Known before JAX is started, which takes most of a GPU's memory: of `optimizers`, in their order.
NAMES = (*OPTIMIZERS, "muon, bfloat16", "muon, apart")


def optimizers() -> dict[str, optax.GradientTransformation]:
    """Those of `OPTIMIZERS`, and Muon without stacks; on a GPU with rounded factors too."""

    def matrix(path, x):
        if not is_matrix_kernel(path, x):
            return None
        return optax.contrib.MuonDimensionNumbers(tuple(range(x.ndim - 1)), x.ndim - 1)

    apart = optax.contrib.muon(
        1e-3,
        weight_decay=0.05,
        adam_b1=0.9,
        muon_weight_dimension_numbers=lambda params: jax.tree_util.tree_map_with_path(matrix, params),
        consistent_rms=0.2,
    )
    ours = {name: create_optimizer(OptimizerConfig(name, weight_decay=0.05), _STEPS) for name in OPTIMIZERS}
    muon = ours["muon"]

    def rounded(updates, state, params=None):
        with jax.default_matmul_precision("BF16_BF16_F32"):
            return muon.update(updates, state, params)

    if jax.default_backend() == "gpu":  # XLA's CPU has no such products
        ours["muon, bfloat16"] = optax.GradientTransformation(muon.init, rounded)
    return {**ours, "muon, apart": apart}


def chained(optimizer: optax.GradientTransformation, count: int) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """A function of gradients, state and parameters that makes `count` updates of the same gradients."""

    def updates(gradients, state, params):
        def update(carry, _):
            params, state = carry
            change, state = optimizer.update(gradients, state, params)
            return (optax.apply_updates(params, change), state), None

        return jax.lax.scan(update, (params, state), length=count)[0]

    return updates


def main() -> int:
    """Time them, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=tuple(SIZES), default="full", help="of the network (%(default)s)")
    parser.add_argument(
        "--only",
        action="append",
        choices=NAMES,
        metavar="NAME",
        help="of this optimiser; may be repeated (default: all)",
    )
    parser.add_argument("--chained", type=int, default=1, metavar="N", help="updates in one program (%(default)s)")
    parser.add_argument("--turns", type=int, default=5, help="of each (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.2, help="that a turn lasts (%(default)s)")
    arguments = parser.parse_args()
    if arguments.chained < 1:
        parser.error(f"--chained {arguments.chained} is too small: it must be at least 1.")
    timed = optimizers()
    if absent := set(arguments.only or ()) - timed.keys():
        parser.error(f"--only '{min(absent)}' is for a GPU: XLA's CPU has no such products.")
    network = BDMS(num_classes=6, **SIZES[arguments.size])
    shapes = abstract_variables(network)["params"]
    # Values of no network: what an update takes does not depend on them.
    params = jax.tree.map(lambda x: 0.02 * jax.random.normal(jax.random.key(x.size), x.shape), shapes)
    gradients = jax.tree.map(lambda x: 0.1 * x + 1e-3, params)
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, optax {optax.__version__}, BDMS {arguments.size}\n")
    updates, preparing = {}, {}
    for name, optimizer in timed.items():
        if arguments.only and name not in arguments.only:
            continue
        state = jax.jit(optimizer.init)(params)
        started = time.perf_counter()
        function = optimizer.update if arguments.chained == 1 else chained(optimizer, arguments.chained)
        lowered = jax.jit(function).lower(gradients, state, params)
        traced = time.perf_counter()
        update = lowered.compile()
        preparing[name] = f"{traced - started:.1f} | {time.perf_counter() - traced:.1f}"
        updates[name] = partial(update, gradients, state, params)
        jax.block_until_ready(updates[name]())
    queued = partial(seconds_per_call, budget=arguments.seconds, repetitions=1, warm=True)
    seconds = in_turns(updates, arguments.turns, queued)
    print("| optimiser | ms | least | trace, s | compile, s |")
    print("| --- | --- | --- | --- | --- |")
    for name, own in seconds.items():
        median, least = (1e3 * value / arguments.chained for value in (statistics.median(own), min(own)))
        print(f"| {name} | {median:.2f} | {least:.2f} | {preparing[name]} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
