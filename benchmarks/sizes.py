"""How long one image takes in networks of several sizes, in turns: python benchmarks/sizes.py [--sizes NAME,NAME].

    python benchmarks/sizes.py --variant wider size=medium side_channels=160 residual_channels=80

Each round calls every network once, so that whatever else the machine does slows all of them: the ratios of a round are
worth more than its milliseconds. Of a variant, `size` is a named one and the other fields are those of
`dms_jax.models.DMS`. benchmarks/speed.py measures more, one network after another.
"""

import argparse
import ast
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

import jax
import jax.numpy as jnp
from flops import forward_flops
from timing import in_turns

from dms_jax.inference.predict_step import make_predict_step
from dms_jax.models.dms import NETWORKS, SIZES
from dms_jax.runtime.compilation_cache import keep_compiled_programs
from dms_jax.runtime.devices import data_mesh


def fields_of(parts: Sequence[str]) -> dict[str, Any]:
    """The network's fields that `size=NAME` and `FIELD=VALUE` say; of two that say the same, the later one counts."""
    fields: dict[str, Any] = {}
    for field, _, value in (part.partition("=") for part in parts):
        if field == "size":
            fields |= SIZES[value]
        else:
            fields[field] = value if value.isalpha() else ast.literal_eval(value)
    return fields


def main(argv: Sequence[str] | None = None) -> None:
    """Compile what the flags say, time it, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=tuple(NETWORKS), default="bdms")
    parser.add_argument("--sizes", default=",".join(SIZES), metavar="NAME,NAME", help="(default: %(default)s)")
    parser.add_argument("--variant", nargs="+", action="append", default=[], metavar=("NAME", "FIELD=VALUE"))
    parser.add_argument("--image-size", type=int, default=300, help="side of the images (%(default)s)")
    parser.add_argument("--rounds", type=int, default=14, help="(default: %(default)s)")
    arguments = parser.parse_args(argv)
    networks = {name: SIZES[name] for name in arguments.sizes.split(",")}
    networks |= {name: fields_of(parts) for name, *parts in arguments.variant}
    keep_compiled_programs()
    mesh, side = data_mesh(jax.devices()[:1]), arguments.image_size
    dtype = jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
    calls: dict[str, Callable[[], Any]] = {}
    facts = {}
    images = jnp.zeros((1, side, side, 3), jnp.uint8)
    for name, fields in networks.items():
        model = NETWORKS[arguments.network](num_classes=6, dtype=dtype, **fields)
        variables = jax.jit(lambda key, model=model: model.init(key, jnp.zeros((1, 64, 64, 3)), train=False))(
            jax.random.key(0)
        )
        step = make_predict_step(model, mesh, final_only=True)
        predict = step.freeze(step.prepare(variables))
        calls[name] = lambda predict=predict: predict(images)
        facts[name] = sum(leaf.size for leaf in jax.tree.leaves(variables["params"])), forward_flops(model, side, side)
        jax.block_until_ready(calls[name]())
        print(f"{name} is compiled", file=sys.stderr, flush=True)
    seconds = in_turns(calls, arguments.rounds)
    first = seconds[next(iter(seconds))]
    print(f"| {arguments.network} | parameters | GFLOP | ms | of the first's time |\n| --- | --- | --- | --- | --- |")
    for name, own in seconds.items():
        parameters, flops = facts[name]
        ratio = statistics.median(mine / theirs for mine, theirs in zip(own, first, strict=True))
        shown = f"{parameters / 1e6:.1f} M | {flops / 1e9:.1f} | {1e3 * statistics.median(own):.0f} | {ratio:.2f}"
        print(f"| {name} | {shown} |")


if __name__ == "__main__":
    main()
