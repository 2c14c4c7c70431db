"""How long one image takes in networks of several sizes, in turns: python benchmarks/sizes.py [--sizes NAME,NAME].

    python benchmarks/sizes.py --variant wider size=medium side_channels=160 residual_channels=80
    python benchmarks/sizes.py --sizes full --also bdms:small:300 unet:full:300 --image-size 384 --json cpu.json

Each round calls every network once, so that whatever else the machine does slows all of them: the ratios of a round are
worth more than its milliseconds. Of a variant, `size` is a named one and the other fields are those of
`dms_jax.models.DMS`. benchmarks/speed.py measures more, one network after another; `docs/results_charts.py latency
--speed` reads the files of both.
"""

import argparse
import ast
import dataclasses
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))

import jax
import jax.numpy as jnp
from flops import forward_flops
from networks import TIMED, device_name
from timing import in_turns

from dms_jax.inference.predict_step import make_predict_step
from dms_jax.models.dms import DMS, NETWORKS, SIZES
from dms_jax.models.network import abstract_variables
from dms_jax.runtime.compilation_cache import keep_compiled_programs
from dms_jax.runtime.devices import data_mesh

# Of SDMS and BDMS, but those that a case sets itself.
_FIELDS = {field.name for field in dataclasses.fields(DMS)} - {
    *("num_classes", "dtype", "axis_name", "name", "parent"),
    "backbone",  # a class, which no text is
}
_CONSTANTS = ("True", "False", "None")


@dataclass(frozen=True)
class Case:
    """A network whose latency is measured.

    Attributes:
      network: its name, as of `config.model.network`.
      size: one of the network's named sizes, or empty: a variant.
      fields: what the size or variant sets.
      side: of its images, in pixels.
    """

    network: str
    size: str
    fields: Mapping[str, Any]
    side: int


def case_of(text: str) -> Case:
    """A network as NETWORK:SIZE:PIXELS says it.

    Raises:
      argparse.ArgumentTypeError: there is no such network or size, or no number of pixels.
    """
    network, _, rest = text.partition(":")
    size, _, side = rest.partition(":")
    if network not in TIMED or size not in TIMED[network].sizes:
        raise argparse.ArgumentTypeError(f"there is no {network!r} of size {size!r}: write NETWORK:SIZE:PIXELS")
    if not (side.isdecimal() and int(side)):
        raise argparse.ArgumentTypeError(f"there are no images of {side!r} pixels: write NETWORK:SIZE:PIXELS")
    return Case(network, size, TIMED[network].sizes[size], int(side))


def fields_of(parts: Sequence[str]) -> dict[str, Any]:
    """The network's fields that `size=NAME` and `FIELD=VALUE` say; of two that say the same, the later one counts.

    Raises:
      ValueError: there is no such field or size, or no value.
    """
    fields: dict[str, Any] = {}
    for field, _, value in (part.partition("=") for part in parts):
        if field == "size":
            if value not in SIZES:
                raise ValueError(f"there is no size {value!r}: choose among {', '.join(SIZES)}")
            fields |= SIZES[value]
        elif field not in _FIELDS:
            raise ValueError(f"the network has no field {field!r}: choose among size, {', '.join(sorted(_FIELDS))}")
        else:
            fields[field] = value if value.isalpha() and value not in _CONSTANTS else _value_of(field, value)
    return fields


def _value_of(field: str, text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{field}={text} is not a value: write a number, a name, or a tuple of them") from error


def _positive(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of 1 or more")
    return int(text)


def main(argv: Sequence[str] | None = None) -> None:
    """Compile what the flags say, time it, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=tuple(NETWORKS), default="bdms")
    parser.add_argument("--sizes", default=",".join(SIZES), metavar="NAME,NAME", help="(default: %(default)s)")
    parser.add_argument("--variant", nargs="+", action="append", default=[], metavar=("NAME", "FIELD=VALUE"))
    parser.add_argument(
        "--also", nargs="+", type=case_of, default=[], metavar="NETWORK:SIZE:PIXELS", help="such as unet:full:300"
    )
    parser.add_argument("--image-size", type=_positive, default=300, help="side of the images (%(default)s)")
    parser.add_argument("--rounds", type=_positive, default=14, help="(default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the latencies there too")
    arguments = parser.parse_args(argv)
    side, own = arguments.image_size, arguments.network
    named = [name for name in arguments.sizes.split(",") if name]
    if unknown := set(named) - SIZES.keys():
        parser.error(f"{own} has no size {min(unknown)}: choose among {', '.join(SIZES)}")
    cases = {name: Case(own, name, SIZES[name], side) for name in named}
    try:
        cases |= {name: Case(own, "", fields_of(parts), side) for name, *parts in arguments.variant}
    except ValueError as error:
        parser.error(f"--variant: {error}")
    for name, case in cases.items():
        if not case.size and (reason := _wrong_with(case)):
            parser.error(f"--variant {name} cannot be built: {reason}")
    cases |= {f"{case.network} {case.size}, {case.side} pixels": case for case in arguments.also}
    if not cases:
        parser.error("there is nothing to time: name a size, a --variant or a network --also")
    keep_compiled_programs()
    calls: dict[str, Callable[[], Any]] = {}
    facts = {}
    for name, case in cases.items():
        calls[name], *facts[name] = _prepared(case)
        jax.block_until_ready(calls[name]())
        print(f"{name} is compiled", file=sys.stderr, flush=True)
    seconds = in_turns(calls, arguments.rounds)
    first = seconds[next(iter(seconds))]
    print(f"| {own} | parameters | GFLOP | ms | of the first's time |\n| --- | --- | --- | --- | --- |")
    for name, times in seconds.items():
        parameters, flops = facts[name]
        ratio = statistics.median(mine / theirs for mine, theirs in zip(times, first, strict=True))
        shown = f"{parameters / 1e6:.1f} M | {flops / 1e9:.1f} | {1e3 * statistics.median(times):.0f} | {ratio:.3f}"
        print(f"| {name} | {shown} |")
    if arguments.json:
        rows = [_row(case, statistics.median(seconds[name])) for name, case in cases.items() if case.size]
        arguments.json.write_text(json.dumps({"device": device_name(), "steps": rows}, indent=2) + "\n")


def _wrong_with(case: Case) -> str | None:
    """Why a network of these fields cannot be built, in a line; None where it can."""
    try:
        abstract_variables(TIMED[case.network](num_classes=6, **case.fields))
    except (TypeError, ValueError, ArithmeticError) as error:
        return str(error).splitlines()[0]
    return None


def _prepared(case: Case) -> tuple[Callable[[], Any], int, int]:
    """A call that predicts one image, and the network's parameters and operations."""
    dtype = jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
    model = TIMED[case.network](num_classes=6, dtype=dtype, **case.fields)
    variables = jax.jit(lambda key: model.init(key, jnp.zeros((1, 64, 64, 3)), train=False))(jax.random.key(0))
    step = make_predict_step(model, data_mesh(jax.devices()[:1]), final_only=True)
    images = jnp.zeros((1, case.side, case.side, 3), jnp.uint8)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    call = partial(step.freeze(step.prepare(variables)), images)
    return call, parameters, forward_flops(model, case.side, case.side)


def _row(case: Case, seconds: float) -> dict[str, Any]:
    """As a row of benchmarks/speed.py."""
    of = {"network": case.network, "size": case.size, "image_size": case.side}
    return {**of, "devices": 1, "job": "latency", "batch": 1, "seconds": seconds}


if __name__ == "__main__":
    main()
