"""`dms-jax prepare`: a dataset built once, and what is in it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dms_jax.commands.dataset_flags import add_dataset_flags
from dms_jax.commands.output_files import check_output_file

if TYPE_CHECKING:
    from dms_jax.data.inspect.summary import DatasetSummary
    from dms_jax.data.prepared import PreparedDataset

CONTACT_SHEET_NAME = "contact_sheet.png"


def add_to(commands: Any) -> None:
    """Add the sub-command to argparse's sub-parsers."""
    command = commands.add_parser(
        "prepare",
        help="build a dataset, and show what is in it",
        description="Build a dataset once (or open it), print counts, sizes, shares and warnings, and write a contact "
        "sheet of training images with the outlines of their masks.",
    )
    add_dataset_flags(command)
    command.add_argument("--overwrite", action="store_true", help="build it anew, even if it is built already")
    command.add_argument("--contact-sheet", type=Path, metavar="FILE", help="PNG (default: beside the built dataset)")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the counts and warnings to this file")
    command.set_defaults(run=run)


def with_vanished_defects(summary: DatasetSummary, dataset: PreparedDataset) -> DatasetSummary:
    """The summary, which also warns of defects that are lost at the default size of the network's squares."""
    from dms_jax.data.framing import Framing
    from dms_jax.data.vanishing import vanished_defects, vanishing_sentence

    framing = Framing()
    # Looked for where images are larger alone: masks are decoded for it.
    if summary.whole.sizes == 1 and max(summary.whole.largest or (0,)) <= framing.size:
        return summary
    found = vanished_defects((dataset.source(split) for split in dataset.sizes), framing)
    sentence = vanishing_sentence(found, framing)
    return summary if sentence is None else replace(summary, warnings=(*summary.warnings, sentence))


def run(arguments: argparse.Namespace) -> None:
    """Do what the flags say.

    Raises:
      UsageError: a flag's value makes no sense.
      UserError: the dataset cannot be built, or the file of --json or --contact-sheet cannot be written.
    """
    # Imported late: a mistyped flag is answered at once.
    from dms_jax.data.inspect.contact_sheet import SheetNotWrittenError, check_sheet_name, write_contact_sheet
    from dms_jax.data.inspect.summary import summarise, summary_text
    from dms_jax.data.prepare import prepare
    from dms_jax.evaluation.result_files import write_results

    # Before minutes are spent on the dataset.
    if arguments.contact_sheet:
        check_sheet_name(arguments.contact_sheet)
    if arguments.json:
        check_output_file(arguments.json)
    dataset = prepare(
        arguments.dataset,
        split=arguments.split,
        data_dir=arguments.data_dir,
        manual_dir=arguments.manual_dir,
        skip_bad=arguments.skip_bad,
        mask_values=arguments.mask_values,
        value_range=arguments.value_range,
        overwrite=arguments.overwrite,
    )
    summary = with_vanished_defects(summarise(dataset), dataset)
    print(summary_text(summary))
    for title, sentences in (("Skipped", dataset.skipped), ("Note", dataset.notes)):
        for sentence in sentences:
            print(f"{title}: {sentence}")
    sheet = arguments.contact_sheet or dataset.directory / CONTACT_SHEET_NAME
    try:
        write_contact_sheet(dataset, "train", sheet)
        print(f"Contact sheet: {sheet}")
    except SheetNotWrittenError as error:
        # Beside a dataset that may only be read, it is not asked for.
        if arguments.contact_sheet:
            raise
        print(f"Note: {str(error).removesuffix(': choose another file.')}: name a file by --contact-sheet.")
    if dataset.understood:
        print(f"Understood: {dataset.understood}")
    if arguments.json:
        facts = {
            "skipped": list(dataset.skipped),
            "notes": list(dataset.notes),
            "understood": dataset.understood or None,
        }
        write_results({**summary.as_dict(), **facts}, arguments.json)
