"""`dms-jax export`: a trained network in one file, for machines that have none of this package."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dms_jax.errors import UsageError


def add_to(commands: Any) -> None:
    """Add the sub-command to argparse's sub-parsers."""
    command = commands.add_parser(
        "export",
        help="write a run's best network, with its preprocessing, to one file",
        description="Write the best network of a run, with its weights and preprocessing, to one file: of jax.export "
        "(.jaxexport; read by JAX alone) or ONNX (.onnx; any batch, height and width). docs/export.md has examples.",
    )
    command.add_argument("--workdir", type=Path, required=True, metavar="DIR", help="work directory of the run")
    command.add_argument("--output", type=Path, required=True, metavar="FILE", help=".jaxexport or .onnx")
    command.add_argument("--format", choices=("jax", "onnx"), help="what to write, where the suffix does not say")
    command.add_argument(
        "--outputs", choices=("final", "all"), default="final", help="the final map alone, or all, coarse to final"
    )
    command.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        help="of jax.export: what it computes in; bfloat16 is many times as fast on a GPU (default: float32)",
    )
    command.add_argument("--int8", action="store_true", help="quantise by validation images, and say what it costs")
    command.add_argument("--data-dir", metavar="DIR", help="for --int8: where prepared datasets are kept")
    command.add_argument("--manual-dir", metavar="DIR", help="for --int8: the dataset's files")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Do what the flags say.

    Raises:
      UsageError: flags that contradict each other, or the output is a folder.
      UserError: see `dms_jax.runs.exporting.export_run`.
    """
    # Imported late, and what imports JAX last: a mistyped flag is answered at once.
    from dms_jax.inference.exported.forms import choose_form
    from dms_jax.runs.config.saved import load_run

    output = arguments.output
    form = choose_form(output, arguments.format, int8=arguments.int8)
    if output.is_dir():
        raise UsageError(f"{output} is a folder: name a file to write to.")
    if arguments.dtype and form != "jax":
        raise UsageError("--dtype is for files of jax.export: leave it out.")
    for option in ("data_dir", "manual_dir"):
        if getattr(arguments, option) and not arguments.int8:
            raise UsageError(f"--{option.replace('_', '-')} has no meaning without --int8: leave it out.")
    load_run(arguments.workdir)
    from dms_jax.runs.exporting import export_run

    exported = export_run(
        arguments.workdir,
        output,
        form,
        arguments.outputs,
        dtype=arguments.dtype or "float32",
        int8=arguments.int8,
        data_dir=arguments.data_dir,
        manual_dir=arguments.manual_dir,
    )
    metadata = exported.metadata
    size = metadata.description.framing.size
    shape = "B, H, W, 3" if form == "onnx" else f"B, {size}, {size}, 3"
    print(f"{output}: {metadata.form}, step {exported.step}, {output.stat().st_size / 1e6:.1f} MB")
    seen = {
        "squash": f"whole images, shrunk or enlarged to {size} x {size}",
        "letterbox": f"whole images, fitted into {size} x {size} with padding",
        "tiles": f"tiles of images, at {size} x {size}",
    }[metadata.description.framing.mode]
    print(f"input: images uint8 [{shape}], RGB; the network was trained on {seen}")
    for note in (*exported.notes, metadata.note):
        if note:
            print(note)
