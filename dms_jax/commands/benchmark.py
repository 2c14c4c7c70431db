"""`dms-jax benchmark`: what this machine does with a trained run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dms_jax.commands.output_files import check_output_file
from dms_jax.errors import UsageError

if TYPE_CHECKING:
    from dms_jax.runs.benchmarking import Timing


def add_to(commands: Any) -> None:
    """Add the sub-command to argparse's sub-parsers."""
    command = commands.add_parser(
        "benchmark",
        help="time a run's predictions on this machine",
        description="Time a run's network on this machine: milliseconds an image by batch, the first call, files from "
        "decoding to written maps, and exported files.",
    )
    command.add_argument("--workdir", type=Path, required=True, metavar="DIR", help="work directory of a run")
    command.add_argument("--batches", default="1,16", metavar="N,N", help="images predicted at once (%(default)s)")
    command.add_argument(
        "--exported", type=Path, nargs="+", default=[], metavar="FILE", help=".onnx and .jaxexport files to time too"
    )
    command.add_argument(
        "--images", nargs="+", default=[], metavar="PATH", help="predict these end to end (default: drawn ones)"
    )
    command.add_argument("--seconds", type=float, default=2.0, metavar="S", help="a measurement takes (%(default)s)")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Do what the flags say.

    Raises:
      UsageError: a flag's value is out of range.
      UserError: see `dms_jax.runs.benchmarking.benchmark_run`.
    """
    try:
        batches = [int(batch) for batch in arguments.batches.split(",")]
    except ValueError:
        batches = [0]
    if min(batches) < 1:
        raise UsageError(f"--batches={arguments.batches} must be numbers of at least 1, such as 1,16.")
    if not arguments.seconds > 0:
        raise UsageError(f"--seconds={arguments.seconds} must be above 0.")
    file = arguments.json
    if file is not None:
        check_output_file(file)
    # Imported late: a mistyped flag is answered at once.
    from dms_jax.evaluation.result_files import write_results
    from dms_jax.runs.benchmarking import as_rows, benchmark_run
    from dms_jax.runtime.compilation_cache import keep_compiled_programs
    from dms_jax.tables import Cell, format_table

    keep_compiled_programs()

    def report(timing: Timing) -> None:
        print(f"{timing.what}, batch {timing.batch}: {1e3 * timing.seconds:.2f} ms an image", file=sys.stderr)

    timings = benchmark_run(
        arguments.workdir,
        batches=sorted(set(batches)),
        exported=arguments.exported,
        images=arguments.images,
        budget=arguments.seconds,
        report=report,
    )
    rows: list[list[Cell]] = [
        [
            timing.what,
            timing.batch,
            "n/a" if timing.first_call is None else f"{timing.first_call:.2f}",
            f"{1e3 * timing.seconds:.2f}",
            f"{1 / timing.seconds:.1f}",
        ]
        for timing in timings
    ]
    print(format_table(["what", "batch", "first call (s)", "ms an image", "images/s"], rows))
    if file is not None:
        write_results({"timings": as_rows(timings)}, file)
