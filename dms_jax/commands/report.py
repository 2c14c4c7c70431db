"""`dms-jax report`: one HTML page on a run, or on a folder of predictions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dms_jax.errors import UsageError

_PREDICTION_OPTIONS = ("masks", "mask_values")
_RUN_OPTIONS = ("split", "data_dir", "manual_dir")


def add_to(commands: Any) -> None:
    """Add the sub-command to argparse's sub-parsers."""
    command = commands.add_parser(
        "report",
        help="write one HTML page on a run, or on a folder of predictions",
        description="Write one self-contained HTML page: metrics beside those of black maps, curves, and every image "
        "with its truth and its maps, worst first.",
    )
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--workdir", type=Path, metavar="DIR", help="work directory of a run")
    what.add_argument("--predictions", type=Path, metavar="DIR", help="what `dms-jax predict` wrote")
    command.add_argument(
        "--output", type=Path, metavar="FILE", help="the page (default: report.html, or report-SPLIT.html, in DIR)"
    )
    runs = command.add_argument_group("for runs")
    runs.add_argument("--split", choices=("train", "validation", "test"), help="of the run's dataset (default: test)")
    runs.add_argument("--data-dir", metavar="DIR", help="where prepared datasets are kept, if not where they were")
    runs.add_argument("--manual-dir", metavar="DIR", help="the dataset's files, if not where they were")
    predictions = command.add_argument_group("for predictions")
    predictions.add_argument("--masks", type=Path, metavar="DIR", help="masks of the same names, to score by")
    predictions.add_argument("--mask-values", metavar="LIST", help="their defective values, like 1-4,ignore:255")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Do what the flags say.

    Raises:
      UsageError: flags that do not belong together.
      UserError: there is nothing to report on, or the page cannot be written.
    """
    _refuse(arguments, _PREDICTION_OPTIONS if arguments.workdir else _RUN_OPTIONS)
    output = arguments.output
    if output is not None and output.is_dir():
        raise UsageError(f"--output={output} is a folder: name a file, such as {output / 'report.html'}.")
    if arguments.mask_values is not None and arguments.masks is None:
        raise UsageError("--mask-values says how --masks are read: give them too.")
    if arguments.workdir:
        from dms_jax.runs.reporting import report_run

        split = arguments.split or "test"
        tested, output = report_run(
            arguments.workdir, split, output, data_dir=arguments.data_dir, manual_dir=arguments.manual_dir
        )
        notes: Sequence[str] = tested.notes
    else:
        from dms_jax.data.mask_values import MaskValues
        from dms_jax.evaluation.report.page import write_report
        from dms_jax.evaluation.report.predictions import report_predictions

        values = MaskValues.parse(arguments.mask_values or "")
        report = report_predictions(arguments.predictions, arguments.masks, values)
        output = output or arguments.predictions / "report.html"
        write_report(report, output)
        notes = report.notes
    for note in notes:
        print(f"dms-jax: {note}", file=sys.stderr)
    print(f"{output} ({output.stat().st_size / 1e6:.1f} MB): open it in a browser.")


def _refuse(arguments: argparse.Namespace, options: Sequence[str]) -> None:
    beside = "--workdir" if arguments.workdir else "--predictions"
    for option in options:
        if getattr(arguments, option) is not None:
            raise UsageError(f"--{option.replace('_', '-')} has no meaning beside {beside}: leave it out.")
