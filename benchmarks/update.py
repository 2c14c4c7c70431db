"""Times the update of BDMS's parameters by each optimiser, in one run: python benchmarks/update.py [--size full].

"muon, apart" is optax's Muon as it is, of each kernel by itself; "muon" is that of stacks of equally shaped kernels
(`dms_jax/training/stacking.py`). They take turns. Prints milliseconds of an update, the median and the least, and
seconds to trace and compile it.
"""

import argparse
import statistics
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from timing import in_turns, seconds_per_call

from dms_jax.models.dms import BDMS, SIZES
from dms_jax.training.optimizer import OPTIMIZERS, OptimizerConfig, create_optimizer
from dms_jax.training.stacking import is_matrix_kernel

_STEPS = 3500


def optimizers() -> dict[str, optax.GradientTransformation]:
    """Those of `OPTIMIZERS`, and Muon without stacks."""

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
    return {**ours, "muon, apart": apart}


def main() -> int:
    """Time them, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=tuple(SIZES), default="full", help="of the network (%(default)s)")
    parser.add_argument("--only", metavar="NAME,NAME", help="of these optimisers (default: all)")
    parser.add_argument("--turns", type=int, default=5, help="of each (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.2, help="that a turn lasts (%(default)s)")
    arguments = parser.parse_args()
    network = BDMS(num_classes=6, **SIZES[arguments.size])
    image = jnp.zeros((1, 64, 64, 3))
    shapes = jax.eval_shape(lambda key: network.init(key, image, train=False), jax.random.key(0))["params"]
    # Values of no network: what an update takes does not depend on them.
    params = jax.tree.map(lambda x: 0.02 * jax.random.normal(jax.random.key(x.size), x.shape), shapes)
    gradients = jax.tree.map(lambda x: 0.1 * x + 1e-3, params)
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, optax {optax.__version__}, BDMS {arguments.size}\n")
    updates, preparing = {}, {}
    for name, optimizer in optimizers().items():
        if arguments.only and name not in arguments.only.split(","):
            continue
        state = jax.jit(optimizer.init)(params)
        started = time.perf_counter()
        lowered = jax.jit(optimizer.update).lower(gradients, state, params)
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
        print(f"| {name} | {1e3 * statistics.median(own):.2f} | {1e3 * min(own):.2f} | {preparing[name]} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
